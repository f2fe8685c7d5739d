import { type Database, open, type RootDatabase } from 'lmdb';
import {
  decodeEntry,
  encodeEntry,
  HEADER,
  isExpired,
  readStamp,
  type Stamp,
  writeStamp,
  type Entry,
} from '../entry.js';
import type { KeyPage, Layer } from '../layer.js';
import { decide, type Mutation, type Outcome } from '../mutation.js';

const REVISION = Buffer.from('revision');
const EXPIRED_PER_SWEEP = 1000;
const SWEEP_INTERVAL_MS = 1000;
const NO_BYTES = Buffer.alloc(0);

/**
 * Entries on the disk of this machine, in an LMDB environment that several processes may share. A mutation is one
 * step of a write transaction; a transaction is visible to every process once its promise resolves, survives the death
 * of the process from then on, and reaches the disk moments later.
 */
export class LmdbLayer implements Layer {
  private readonly root: RootDatabase<Buffer, Buffer>;
  private readonly entries: Database<Buffer, Buffer>;
  /** Keys in the order in which they expire: `f64` time, then the key. Positive doubles sort like their bytes. */
  private readonly expiries: Database<Buffer, Buffer>;
  private readonly counters: Database<Buffer, Buffer>;
  private readonly sweeper: NodeJS.Timeout;
  private lastSweep: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    const binary = { encoding: 'binary', keyEncoding: 'binary' } as const;
    this.root = open<Buffer, Buffer>({ path, maxDbs: 4, ...binary });
    this.entries = this.root.openDB({ name: 'entries', ...binary });
    this.expiries = this.root.openDB({ name: 'expiries', ...binary });
    this.counters = this.root.openDB({ name: 'counters', ...binary });
    this.sweeper = setInterval(() => {
      this.lastSweep = this.removeExpired();
    }, SWEEP_INTERVAL_MS).unref();
  }

  getMany(keys: readonly string[]): Promise<readonly (Entry | undefined)[]> {
    const nowMs = Date.now();
    return Promise.resolve(
      keys.map((key) => {
        const bytes = this.entries.getBinary(Buffer.from(key));
        const entry = bytes && decodeEntry(bytes);
        return entry && !isExpired(entry.expiresAtMs, nowMs) ? entry : undefined;
      }),
    );
  }

  applyMany(mutations: readonly Mutation[]): Promise<readonly Outcome[]> {
    return this.root.transaction(() => {
      const nowMs = Date.now();
      let revision = this.lastRevision();
      const outcomes = mutations.map((mutation) => this.apply(mutation, ++revision, nowMs));
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(revision);
      void this.counters.put(REVISION, bytes);
      return outcomes;
    });
  }

  scan(prefix: string, cursor: string | undefined, limit: number): Promise<KeyPage> {
    const nowMs = Date.now();
    const start = Buffer.from(cursor ?? prefix);
    const prefixBytes = Buffer.from(prefix);
    const keys: string[] = [];
    for (const key of this.entries.getKeys({ start })) {
      if (!key.subarray(0, prefixBytes.length).equals(prefixBytes)) break;
      if (cursor !== undefined && key.equals(start)) continue;
      const bytes = this.entries.getBinaryFast(key);
      if (!bytes || isExpired(readStamp(bytes).expiresAtMs, nowMs)) continue;
      if (keys.length === limit) return Promise.resolve({ keys, cursor: keys.at(-1) });
      keys.push(key.toString());
    }
    return Promise.resolve({ keys, cursor: undefined });
  }

  check(): Promise<void> {
    this.counters.getBinary(REVISION);
    return Promise.resolve();
  }

  async close(): Promise<void> {
    clearInterval(this.sweeper);
    await this.lastSweep;
    await this.root.flushed;
    await this.root.close();
  }

  /**
   * Where the counter is lost with the rest of the data, it starts from the time in microseconds, which is ahead of any
   * count of single steps: versions never repeat.
   */
  private lastRevision(): number {
    return this.counters.getBinary(REVISION)?.readDoubleBE() ?? Date.now() * 1000;
  }

  private apply(mutation: Mutation, revision: number, nowMs: number): Outcome {
    const key = Buffer.from(mutation.key);
    const storedBytes = this.entries.getBinary(key);
    const stored = storedBytes && readStamp(storedBytes);
    const outcome = decide(mutation, stored, revision, nowMs);
    if (outcome.status === 'removed') {
      this.forgetExpiry(key, stored);
      void this.entries.remove(key);
    }
    if (!('stamp' in outcome)) return outcome;
    if (mutation.kind === 'put') {
      void this.entries.put(key, encodeEntry(mutation.content, outcome.stamp));
    } else if (storedBytes) {
      const bytes = Buffer.from(storedBytes);
      writeStamp(bytes, outcome.stamp);
      void this.entries.put(key, bytes);
    }
    this.forgetExpiry(key, stored);
    if (outcome.stamp.expiresAtMs !== 0) void this.expiries.put(expiryKey(outcome.stamp.expiresAtMs, key), NO_BYTES);
    return outcome;
  }

  private forgetExpiry(key: Buffer, stored: Stamp | undefined): void {
    if (stored && stored.expiresAtMs !== 0) void this.expiries.remove(expiryKey(stored.expiresAtMs, key));
  }

  private removeExpired(): Promise<unknown> {
    const nowMs = Date.now();
    const due = [...this.expiries.getKeys({ end: expiryKey(nowMs, NO_BYTES), limit: EXPIRED_PER_SWEEP })];
    if (due.length === 0) return Promise.resolve();
    return this.root.transaction(() => {
      for (const expiry of due) {
        const key = expiry.subarray(8);
        const bytes = this.entries.getBinary(key);
        // The entry may have been stored anew since the keys were read: its own header decides.
        if (bytes && isExpired(bytes.readDoubleBE(HEADER.offsets.expiresAt), nowMs)) void this.entries.remove(key);
        void this.expiries.remove(expiry);
      }
    });
  }
}

function expiryKey(expiresAtMs: number, key: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(8 + key.length);
  bytes.writeDoubleBE(expiresAtMs);
  key.copy(bytes, 8);
  return bytes;
}
