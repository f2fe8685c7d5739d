import type { Database, RootDatabase } from 'lmdb';
import { decodeEntry } from '../entry.js';
import {
  type DuePage,
  encodeFailures,
  NOTHING_FAILED,
  type Outbox,
  type OutboxChange,
  type OutboxCounts,
  type OutboxPage,
  type OutboxRecord,
  type OutboxState,
  OWN_FOR_MS,
  readItem,
  splitRecord,
} from '../outbox.js';
import { doubles } from './doubles.js';

const NO_BYTES = Buffer.alloc(0);
const ALL = 'all';
const FIRST = Buffer.alloc(0);

/** The outbox of `LmdbLayer`, in databases of the same environment. */
export class LmdbOutbox implements Outbox {
  readonly lookEveryMs = 1000;
  /** By key: `f64` since when, `f64` when it is due, `u8` whether it is dead, then the record. */
  private readonly records: Database<Buffer, Buffer>;
  /** `f64` since when, then the key. */
  private readonly lists: Readonly<Record<OutboxState, Database<Buffer, Buffer>>>;
  /** `f64` when a waiting one is to be tried by whoever can, then the key. */
  private readonly dueList: Database<Buffer, Buffer>;

  constructor(private readonly root: RootDatabase<Buffer, Buffer>) {
    const binary = { encoding: 'binary', keyEncoding: 'binary' } as const;
    this.records = root.openDB({ name: 'outbox', ...binary });
    this.lists = {
      waiting: root.openDB({ name: 'outbox-waiting', ...binary }),
      dead: root.openDB({ name: 'outbox-dead', ...binary }),
    };
    this.dueList = root.openDB({ name: 'outbox-due', ...binary });
  }

  /** To be called in the transaction that stores the entry. */
  note(key: Buffer, entry: Buffer, nowMs: number): void {
    const before = this.read(key);
    const sinceMs = before?.state === 'waiting' ? before.sinceMs : nowMs;
    const bytes = Buffer.concat([NOTHING_FAILED, entry]);
    this.write(key, before, { state: 'waiting', sinceMs, dueAtMs: nowMs + OWN_FOR_MS, bytes });
  }

  risk(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  parts(): Promise<readonly string[]> {
    const isEmpty = [...this.records.getKeys({ limit: 1 })].length === 0;
    return Promise.resolve(isEmpty ? [] : [ALL]);
  }

  due(_part: string, cursor: string | undefined, limit: number): Promise<DuePage> {
    const listed = keysFrom(this.dueList, cursor, doubles(Date.now()), limit);
    return Promise.resolve({
      keys: listed.map((each) => each.subarray(8).toString()),
      cursor: nextCursor(listed, limit),
    });
  }

  list(_part: string, state: OutboxState, cursor: string | undefined, limit: number): Promise<OutboxPage> {
    const listed = keysFrom(this.lists[state], cursor, undefined, limit);
    const items = listed.map((each) => {
      const key = each.subarray(8);
      const found = this.read(key);
      return found && readItem(key.toString(), found.bytes, found.bytes.length, found.sinceMs);
    });
    return Promise.resolve({
      items: items.filter((item) => item !== undefined),
      cursor: nextCursor(listed, limit),
    });
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
      this.write(name, before, { state: change.to, sinceMs, dueAtMs: change.failures.dueAtMs, bytes });
      return true;
    });
  }

  private record(key: Buffer): OutboxRecord | undefined {
    const found = this.read(key);
    if (!found) return undefined;
    const { failures, entry: bytes } = splitRecord(found.bytes);
    const entry = decodeEntry(bytes);
    return entry && { key: key.toString(), entry, state: found.state, failures };
  }

  private read(key: Buffer): Noted | undefined {
    const bytes = this.records.getBinary(key);
    if (!bytes) return undefined;
    const state = bytes[16] ? 'dead' : 'waiting';
    return { sinceMs: bytes.readDoubleBE(), dueAtMs: bytes.readDoubleBE(8), state, bytes: bytes.subarray(17) };
  }

  private write(key: Buffer, before: Noted | undefined, after: Noted | undefined): void {
    if (before) {
      void this.lists[before.state].remove(listKey(before.sinceMs, key));
      void this.dueList.remove(listKey(before.dueAtMs, key));
    }
    if (!after) {
      if (before) void this.records.remove(key);
      return;
    }
    const { sinceMs, dueAtMs, state, bytes } = after;
    void this.records.put(key, Buffer.concat([doubles(sinceMs, dueAtMs), Buffer.of(state === 'dead' ? 1 : 0), bytes]));
    void this.lists[state].put(listKey(sinceMs, key), NO_BYTES);
    if (state === 'waiting') void this.dueList.put(listKey(dueAtMs, key), NO_BYTES);
  }
}

interface Noted {
  readonly state: OutboxState;
  readonly sinceMs: number;
  readonly dueAtMs: number;
  readonly bytes: Buffer;
}

function listKey(atMs: number, key: Buffer): Buffer {
  return Buffer.concat([doubles(atMs), key]);
}

function keysFrom(
  list: Database<Buffer, Buffer>,
  cursor: string | undefined,
  end: Buffer | undefined,
  limit: number,
): Buffer[] {
  const start = cursor === undefined ? FIRST : Buffer.from(cursor, 'base64url');
  const keys: Buffer[] = [];
  for (const key of list.getKeys({ start, ...(end && { end }), limit: limit + 1 })) {
    if (keys.length < limit && !(cursor !== undefined && key.equals(start))) keys.push(key);
  }
  return keys;
}

function nextCursor(listed: readonly Buffer[], limit: number): string | undefined {
  return listed.length < limit ? undefined : listed.at(-1)?.toString('base64url');
}

function entryCount(database: Database<Buffer, Buffer>): number {
  return (database.getStats() as { readonly entryCount: number }).entryCount;
}
