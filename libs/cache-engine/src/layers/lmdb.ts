import { MalformedCursor } from '../errors.js';
import { type Database, open, type RootDatabase } from 'lmdb';
import type { Journal } from '../backplane/journal-backplane.js';
import { MARKS } from '../backplane/mark.js';
import {
  decodeEntry,
  decodeHead,
  encodeEntry,
  type Entry,
  type Head,
  HEADER,
  isExpired,
  writeStamp,
} from '../entry.js';
import type { Page, Layer } from '../layer.js';
import {
  contentAfter,
  decide,
  type Known,
  type LeaseHeld,
  type Mutation,
  type Outcome,
  endsLease,
} from '../mutation.js';
import { doubles } from './doubles.js';
import { LmdbOutbox } from './lmdb-outbox.js';
import { LmdbSpace } from './lmdb-space.js';

/** The last revision and the number of the last page of the journal, both `f64`. */
const COUNTERS = Buffer.from('revision');
/** So many write transactions back can be told from the journal what they have changed. */
const JOURNAL_PAGES = 8192;
const EXPIRED_PER_SWEEP = 1000;
const SWEEP_INTERVAL_MS = 1000;
/** A lease that nobody made use of is forgotten so long after its end. */
const ENDED_LEASE_MS = 60_000;
const NO_BYTES = Buffer.alloc(0);
/** Of LMDB; no key of ours comes near it. */
const MAX_KEY_BYTES = 1978;

/**
 * Entries on the disk of this machine, in an LMDB environment that several processes may share. A mutation is one
 * step of a write transaction; a transaction is visible to every process once its promise resolves, survives the death
 * of the process from then on, and reaches the disk moments later.
 */
export class LmdbLayer implements Layer, Journal {
  readonly outbox: LmdbOutbox;
  private readonly root: RootDatabase<Buffer, Buffer>;
  private readonly entries: Database<Buffer, Buffer>;
  /** Keys in the order in which they expire: `f64` time, then the key. Positive doubles sort like their bytes. */
  private readonly expiries: Database<Buffer, Buffer>;
  private readonly counters: Database<Buffer, Buffer>;
  /** Who may fill a key that has no entry: `f64` token, `f64` end of the lease. */
  private readonly leases: Database<Buffer, Buffer>;
  /** A ring of pages, by number modulo its length: `f64` number, then the text of the page (see `Journal`). */
  private readonly journal: Database<Buffer, Buffer>;
  private readonly space: LmdbSpace;
  private readonly sweeper: NodeJS.Timeout;
  private lastSweep: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    const binary = { encoding: 'binary', keyEncoding: 'binary' } as const;
    this.root = open<Buffer, Buffer>({ path, maxDbs: 10, ...binary });
    this.entries = this.root.openDB({ name: 'entries', ...binary });
    this.expiries = this.root.openDB({ name: 'expiries', ...binary });
    this.counters = this.root.openDB({ name: 'counters', ...binary });
    this.leases = this.root.openDB({ name: 'leases', ...binary });
    this.journal = this.root.openDB({ name: 'journal', ...binary });
    this.outbox = new LmdbOutbox(this.root);
    this.space = new LmdbSpace(this.root, this.entries, () => this.counters.getBinary(COUNTERS)?.readDoubleBE());
    this.sweeper = setInterval(() => {
      // One that fails is tried again with the next.
      this.lastSweep = this.removeExpired().catch(() => undefined);
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
      const counters = this.readCounters();
      const changes: string[] = [];
      const outcomes = mutations.map((mutation) => this.apply(mutation, ++counters.revision, nowMs, changes));
      if (changes.length > 0) this.writePage(++counters.page, changes.join('\n'));
      this.writeCounters(counters);
      return outcomes;
    });
  }

  lastPage(): number {
    // The snapshot that earlier reads of this turn were made from does not show what others have done since.
    this.root.resetReadTxn();
    return this.readCounters().page;
  }

  lastRevision(): number {
    this.root.resetReadTxn();
    return this.readCounters().revision;
  }

  page(number: number): string | undefined {
    const bytes = this.journal.getBinary(pageKey(number));
    return bytes?.readDoubleBE() === number ? bytes.toString('utf8', 8) : undefined;
  }

  append(mark: string, text: string): Promise<void> {
    return this.root.transaction(() => {
      const counters = this.readCounters();
      this.writePage(++counters.page, journalLine(mark, ++counters.revision, text));
      this.writeCounters(counters);
    });
  }

  scan(prefix: string, cursor: string | undefined, limit: number): Promise<Page> {
    const nowMs = Date.now();
    if (cursor !== undefined && (!cursor.startsWith(prefix) || Buffer.byteLength(cursor) > MAX_KEY_BYTES)) {
      return Promise.reject(new MalformedCursor());
    }
    const start = Buffer.from(cursor ?? prefix);
    const prefixBytes = Buffer.from(prefix);
    const heads: Head[] = [];
    for (const key of this.entries.getKeys({ start })) {
      if (!key.subarray(0, prefixBytes.length).equals(prefixBytes)) break;
      if (cursor !== undefined && key.equals(start)) continue;
      const bytes = this.entries.getBinaryFast(key);
      if (!bytes || isExpired(bytes.readDoubleBE(HEADER.offsets.expiresAt), nowMs)) continue;
      if (heads.length === limit) return Promise.resolve({ heads, cursor: heads.at(-1)?.key });
      const head = decodeHead(key.toString(), bytes, bytes.length);
      if (head) heads.push(head);
    }
    return Promise.resolve({ heads, cursor: undefined });
  }

  usedBytes(namespace: string): Promise<number> {
    this.root.resetReadTxn();
    return Promise.resolve(this.space.usedBytes(namespace));
  }

  check(): Promise<void> {
    this.counters.getBinary(COUNTERS);
    return Promise.resolve();
  }

  async close(): Promise<void> {
    clearInterval(this.sweeper);
    await this.lastSweep;
    await this.root.flushed;
    await this.root.close();
  }

  /**
   * Where the counters are lost with the rest of the data, revisions start from the time in microseconds, which is ahead
   * of any count of single steps: versions never repeat.
   */
  private readCounters(): { revision: number; page: number } {
    const bytes = this.counters.getBinary(COUNTERS);
    if (!bytes || bytes.length < 16) return { revision: Date.now() * 1000, page: 0 };
    return { revision: bytes.readDoubleBE(), page: bytes.readDoubleBE(8) };
  }

  private writeCounters({ revision, page }: { revision: number; page: number }): void {
    void this.counters.put(COUNTERS, doubles(revision, page));
    this.space.noteRevision(revision);
  }

  private writePage(number: number, changes: string): void {
    void this.journal.put(pageKey(number), Buffer.concat([doubles(number), Buffer.from(changes)]));
  }

  private apply(mutation: Mutation, revision: number, nowMs: number, changes: string[]): Outcome {
    const key = Buffer.from(mutation.key);
    const storedBytes = this.entries.getBinary(key);
    const stored = storedBytes && decodeEntry(storedBytes);
    const lease = this.readLease(key, mutation);
    const text = mutation.kind === 'increment' && stored ? shortText(stored) : undefined;
    const known: Known = { stored, text, lease };
    const decided = decide(mutation, known, revision, nowMs);
    const content = 'stamp' in decided ? contentAfter(mutation, decided, stored) : undefined;
    const bytes = content && 'stamp' in decided ? encodeEntry(content, decided.stamp) : undefined;
    const outcome = bytes ? this.space.admit(mutation, decided, storedBytes, bytes) : decided;
    if (outcome.status === 'leased' && mutation.kind === 'lease') {
      void this.leases.put(key, doubles(revision, nowMs + mutation.leaseMs));
    } else if (lease && endsLease(mutation, outcome)) {
      void this.leases.remove(key);
    }
    if (outcome.status === 'removed') {
      this.forgetExpiry(key, stored);
      void this.entries.remove(key);
      this.space.change(key, storedBytes, undefined);
      changes.push(journalLine(MARKS.removed, revision, mutation.key));
    }
    if (!('stamp' in outcome)) return outcome;
    if (stored && isExpired(stored.expiresAtMs, nowMs)) {
      changes.push(journalLine(MARKS.expired, revision, mutation.key));
    }
    changes.push(journalLine(MARKS[outcome.status], revision, mutation.key));
    if (bytes) {
      void this.entries.put(key, bytes);
      this.space.change(key, storedBytes, bytes);
      if (mutation.kind === 'put' && mutation.noted) this.outbox.note(key, bytes, nowMs);
    } else if (storedBytes) {
      const touched = Buffer.from(storedBytes);
      writeStamp(touched, outcome.stamp);
      void this.entries.put(key, touched);
    }
    this.forgetExpiry(key, stored);
    if (outcome.stamp.expiresAtMs !== 0) void this.expiries.put(expiryKey(outcome.stamp.expiresAtMs, key), NO_BYTES);
    return outcome;
  }

  /** A lease is looked for only where it can matter: what removes or writes an entry ends one that may be there. */
  private readLease(key: Buffer, mutation: Mutation): LeaseHeld | undefined {
    if (mutation.kind === 'touch') return undefined;
    const bytes = this.leases.getBinary(key);
    return bytes && { token: bytes.readDoubleBE(), endsAtMs: bytes.readDoubleBE(8) };
  }

  private forgetExpiry(key: Buffer, stored: Entry | undefined): void {
    if (stored && stored.expiresAtMs !== 0) void this.expiries.remove(expiryKey(stored.expiresAtMs, key));
  }

  private async removeExpired(): Promise<void> {
    const nowMs = Date.now();
    const due = [...this.expiries.getKeys({ end: expiryKey(nowMs, NO_BYTES), limit: EXPIRED_PER_SWEEP })];
    const ended = [...this.leases.getRange({ limit: EXPIRED_PER_SWEEP })].filter(
      ({ value }) => value.readDoubleBE(8) < nowMs - ENDED_LEASE_MS,
    );
    if (due.length === 0 && ended.length === 0) return;
    await this.root.transaction(() => {
      for (const { key } of ended) void this.leases.remove(key);
      const counters = this.readCounters();
      const changes: string[] = [];
      for (const expiry of due) {
        const key = expiry.subarray(8);
        const bytes = this.entries.getBinary(key);
        // The entry may have been stored anew since the keys were read: its own header decides.
        if (bytes && isExpired(bytes.readDoubleBE(HEADER.offsets.expiresAt), nowMs)) {
          void this.entries.remove(key);
          this.space.change(key, bytes, undefined);
          changes.push(journalLine(MARKS.expired, ++counters.revision, key.toString()));
        }
        void this.expiries.remove(expiry);
      }
      if (changes.length === 0) return;
      this.writePage(++counters.page, changes.join('\n'));
      this.writeCounters(counters);
    });
    if (due.length === EXPIRED_PER_SWEEP) await this.removeExpired();
  }
}

function journalLine(mark: string, revision: number, key: string): string {
  return `${mark}${revision} ${key}`;
}

function expiryKey(expiresAtMs: number, key: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(8 + key.length);
  bytes.writeDoubleBE(expiresAtMs);
  key.copy(bytes, 8);
  return bytes;
}

function pageKey(number: number): Buffer {
  const bytes = Buffer.allocUnsafe(2);
  bytes.writeUInt16BE(number % JOURNAL_PAGES);
  return bytes;
}

function shortText({ format, payload }: Entry): string | undefined {
  return format === 'json' && payload.length <= 16 ? payload.toString('latin1') : undefined;
}
