import type { Database, RootDatabase } from 'lmdb';
import { decodeEntry } from '../entry.js';
import {
  encodeFailures,
  NOTHING_FAILED,
  type Outbox,
  type OutboxChange,
  type OutboxCounts,
  type OutboxPage,
  type OutboxRecord,
  type OutboxState,
  splitRecord,
} from '../outbox.js';
import { doubles } from './doubles.js';

const NO_BYTES = Buffer.alloc(0);
const ALL = 'all';
const FIRST = Buffer.alloc(0);

/** The outbox of `LmdbLayer`, in databases of the same environment. */
export class LmdbOutbox implements Outbox {
  readonly lookEveryMs = 1000;
  /** By key: `f64` since when, `u8` whether it is dead, then the record. */
  private readonly records: Database<Buffer, Buffer>;
  /** `f64` since when, then the key. */
  private readonly lists: Readonly<Record<OutboxState, Database<Buffer, Buffer>>>;

  constructor(private readonly root: RootDatabase<Buffer, Buffer>) {
    const binary = { encoding: 'binary', keyEncoding: 'binary' } as const;
    this.records = root.openDB({ name: 'outbox', ...binary });
    this.lists = {
      waiting: root.openDB({ name: 'outbox-waiting', ...binary }),
      dead: root.openDB({ name: 'outbox-dead', ...binary }),
    };
  }

  /** To be called in the transaction that stores the entry. */
  note(key: Buffer, entry: Buffer, nowMs: number): void {
    const before = this.read(key);
    const sinceMs = before?.state === 'waiting' ? before.sinceMs : nowMs;
    this.write(key, before, { state: 'waiting', sinceMs, bytes: Buffer.concat([NOTHING_FAILED, entry]) });
  }

  /** To be called in the transaction that settles what was noted. */
  clear(key: Buffer): void {
    this.write(key, this.read(key), undefined);
  }

  risk(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  parts(): Promise<readonly string[]> {
    const isEmpty = [...this.records.getKeys({ limit: 1 })].length === 0;
    return Promise.resolve(isEmpty ? [] : [ALL]);
  }

  list(_part: string, state: OutboxState, cursor: string | undefined, limit: number): Promise<OutboxPage> {
    const start = cursor === undefined ? FIRST : Buffer.from(cursor, 'base64url');
    const records: OutboxRecord[] = [];
    let last: Buffer | undefined;
    for (const listed of this.lists[state].getKeys({ start })) {
      if (cursor !== undefined && listed.equals(start)) continue;
      if (records.length === limit) return Promise.resolve({ records, cursor: last?.toString('base64url') });
      last = listed;
      const record = this.record(listed.subarray(8));
      if (record) records.push(record);
    }
    return Promise.resolve({ records, cursor: undefined });
  }

  counts(): Promise<OutboxCounts> {
    const [oldest] = this.lists.waiting.getKeys({ limit: 1 });
    return Promise.resolve({
      waiting: entryCount(this.lists.waiting),
      dead: entryCount(this.lists.dead),
      oldestWaitingMs: oldest?.readDoubleBE(),
    });
  }

  find(key: string): Promise<OutboxRecord | undefined> {
    return Promise.resolve(this.record(Buffer.from(key)));
  }

  change(key: string, version: number, change: OutboxChange): Promise<boolean> {
    const name = Buffer.from(key);
    return this.root.transaction(() => {
      const before = this.read(name);
      if (!before) return false;
      const { entry } = splitRecord(before.bytes);
      if (decodeEntry(entry)?.version !== version) return false;
      if (change.to === 'gone') {
        this.write(name, before, undefined);
        return true;
      }
      const bytes = Buffer.concat([encodeFailures(change.failures), entry]);
      const sinceMs = change.to === before.state ? before.sinceMs : Date.now();
      this.write(name, before, { state: change.to, sinceMs, bytes });
      return true;
    });
  }

  private record(key: Buffer): OutboxRecord | undefined {
    const found = this.read(key);
    if (!found) return undefined;
    const { failures, entry: bytes } = splitRecord(found.bytes);
    const entry = decodeEntry(bytes);
    return entry && { key: key.toString(), entry, state: found.state, sinceMs: found.sinceMs, failures };
  }

  private read(key: Buffer): Noted | undefined {
    const bytes = this.records.getBinary(key);
    return bytes && { sinceMs: bytes.readDoubleBE(), state: bytes[8] ? 'dead' : 'waiting', bytes: bytes.subarray(9) };
  }

  private write(key: Buffer, before: Noted | undefined, after: Noted | undefined): void {
    if (before) void this.lists[before.state].remove(Buffer.concat([doubles(before.sinceMs), key]));
    if (!after) {
      if (before) void this.records.remove(key);
      return;
    }
    const { sinceMs, state, bytes } = after;
    void this.records.put(key, Buffer.concat([doubles(sinceMs), Buffer.of(state === 'dead' ? 1 : 0), bytes]));
    void this.lists[state].put(Buffer.concat([doubles(sinceMs), key]), NO_BYTES);
  }
}

interface Noted extends Pick<OutboxRecord, 'sinceMs' | 'state'> {
  readonly bytes: Buffer;
}

function entryCount(database: Database<Buffer, Buffer>): number {
  return (database.getStats() as { readonly entryCount: number }).entryCount;
}
