import type { Database, RootDatabase } from 'lmdb';
import type { Mutation, Outcome } from '../mutation.js';
import { doubles } from './doubles.js';

/** The last revision that was counted; no namespace has this name. An older version that has written meanwhile leaves it behind. */
const COUNTED = Buffer.from(':');
const COLON = 0x3a;

/**
 * How many bytes the entries of each namespace take, keys and headers included: changed in the transactions that change
 * the entries, so it is exact. What has expired counts until it is removed, which is a second later at most.
 */
export class LmdbSpace {
  /** By namespace: `f64` bytes. */
  private readonly used: Database<Buffer, Buffer>;

  /** @param lastRevision of the entries; undefined where there was none */
  constructor(
    root: RootDatabase<Buffer, Buffer>,
    entries: Database<Buffer, Buffer>,
    lastRevision: () => number | undefined,
  ) {
    this.used = root.openDB({ name: 'space', encoding: 'binary', keyEncoding: 'binary' });
    root.transactionSync(() => {
      const revision = lastRevision();
      if (revision === undefined || this.used.getBinary(COUNTED)?.readDoubleBE() === revision) return;
      for (const namespace of [...this.used.getKeys()]) void this.used.remove(namespace);
      for (const key of entries.getKeys()) this.change(key, undefined, entries.getBinaryFast(key));
      this.noteRevision(revision);
    });
  }

  /** To be called in each transaction that makes revisions. */
  noteRevision(revision: number): void {
    void this.used.put(COUNTED, doubles(revision));
  }

  usedBytes(namespace: string): number {
    return this.read(Buffer.from(namespace));
  }

  /** To be called in the transaction that stores an entry in place of another one. */
  change(key: Buffer, before: Buffer | undefined, after: Buffer | undefined): void {
    const growth = bytesOf(key, after) - bytesOf(key, before);
    if (growth === 0) return;
    const namespace = namespaceOf(key);
    void this.used.put(namespace, doubles(Math.max(0, this.read(namespace) + growth)));
  }

  /** What comes of a mutation that would store an entry; `full` where its namespace may not take as much. */
  admit(mutation: Mutation, outcome: Outcome, before: Buffer | undefined, after: Buffer): Outcome {
    const limitBytes = 'limitBytes' in mutation ? mutation.limitBytes : undefined;
    if (limitBytes === undefined) return outcome;
    const key = Buffer.from(mutation.key);
    const growth = bytesOf(key, after) - bytesOf(key, before);
    const usedBytes = this.read(namespaceOf(key));
    if (growth <= 0 || usedBytes + growth <= limitBytes) return outcome;
    return { status: 'full', revision: outcome.revision, usedBytes };
  }

  private read(namespace: Buffer): number {
    return this.used.getBinary(namespace)?.readDoubleBE() ?? 0;
  }
}

function bytesOf(key: Buffer, entry: Buffer | undefined): number {
  return entry ? key.length + entry.length : 0;
}

function namespaceOf(key: Buffer): Buffer {
  const end = key.indexOf(COLON);
  return end < 0 ? key : key.subarray(0, end);
}
