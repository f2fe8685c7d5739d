import { type Entry, HEADER, headerLength } from './entry.js';

/** `waiting`: to be delivered; `dead`: given up, until somebody decides. */
export type OutboxState = 'waiting' | 'dead';

/** What became of the attempts to deliver a write. */
export interface Failures {
  readonly attempts: number;
  /** Not to be tried again before, milliseconds since the epoch. */
  readonly dueAtMs: number;
  /** What the last attempt failed of. */
  readonly reason: string;
}

/** The newest write of a key that its source does not have yet. */
export interface OutboxRecord {
  readonly key: string;
  /** The entry as it was written: its version tells the write from others of the key. */
  readonly entry: Entry;
  readonly state: OutboxState;
  readonly failures: Failures;
}

/** A record without its value, which may be large. */
export interface OutboxItem extends Pick<OutboxRecord, 'key' | 'failures'> {
  readonly version: number;
  readonly writtenAtMs: number;
  /** Bytes of the value as it is stored. */
  readonly storedBytes: number;
  /** Since when the source is behind with this key; of a dead one, when it was given up. */
  readonly sinceMs: number;
}

export interface OutboxPage {
  readonly items: readonly OutboxItem[];
  /** Undefined on the last page. */
  readonly cursor: string | undefined;
}

export interface DuePage {
  readonly keys: readonly string[];
  /** Undefined on the last page. */
  readonly cursor: string | undefined;
}

export interface OutboxCounts {
  readonly waiting: number;
  readonly dead: number;
  /** Since when the oldest waits. */
  readonly oldestWaitingMs: number | undefined;
}

/** What is to become of a record. */
export type OutboxChange =
  /** The source has the value, or need not have it. */
  { readonly to: 'gone' } | { readonly to: OutboxState; readonly failures: Failures };

/**
 * Writes on their way to a source: a transactional outbox (Richardson, "Microservices Patterns", 2018, section 3.3). A
 * `Put` notes itself there in the step in which it stores the entry, so that there is never one without the other. Of
 * each key the newest write alone is kept: what it has replaced need not be delivered any more.
 */
export interface Outbox {
  /** How often it is to be looked for writes that somebody has left behind: to look costs. */
  readonly lookEveryMs: number;
  /** Why what is noted may be lost although its layer runs; undefined where nothing of the kind is known. */
  risk(): Promise<string | undefined>;
  /** Names the parts in which there is something, as far as they can be reached. */
  parts(): Promise<readonly string[]>;
  /** Keys that are to be tried now by whoever can, page by page. */
  due(part: string, cursor: string | undefined, limit: number): Promise<DuePage>;
  /** Page by page, from the oldest on. */
  list(part: string, state: OutboxState, cursor: string | undefined, limit: number): Promise<OutboxPage>;
  counts(part: string): Promise<OutboxCounts>;
  find(key: string): Promise<OutboxRecord | undefined>;
  /** @returns false: there is a newer write by now, or none */
  change(key: string, version: number, change: OutboxChange): Promise<boolean>;
}

/** What was just noted is left so long to the node that took it. */
export const OWN_FOR_MS = 2000;
export const NO_FAILURES: Failures = { attempts: 0, dueAtMs: 0, reason: '' };
const LENGTH_BYTES = 2;
const MAX_REASON_CHARACTERS = 500;

/** Before the entry of a record that has not failed yet: `u16` length of the failures as JSON, then those. */
export const NOTHING_FAILED = Buffer.alloc(LENGTH_BYTES);

export function encodeFailures({ attempts, dueAtMs, reason }: Failures): Buffer {
  const text = Buffer.from(JSON.stringify([attempts, dueAtMs, reason.slice(0, MAX_REASON_CHARACTERS)]));
  const length = Buffer.allocUnsafe(LENGTH_BYTES);
  length.writeUInt16BE(text.length);
  return Buffer.concat([length, text]);
}

/** Takes a record apart that begins with its failures. */
export function splitRecord(bytes: Buffer): { readonly failures: Failures; readonly entry: Buffer } {
  const end = LENGTH_BYTES + bytes.readUInt16BE();
  if (end === LENGTH_BYTES) return { failures: NO_FAILURES, entry: bytes.subarray(end) };
  const [attempts, dueAtMs, reason] = JSON.parse(bytes.toString('utf8', LENGTH_BYTES, end)) as [number, number, string];
  return { failures: { attempts, dueAtMs, reason }, entry: bytes.subarray(end) };
}

/** So much of a record is enough for all but its value. */
export const ITEM_BYTES = 2048;

/** @param bytes the record, or at least its first `ITEM_BYTES`; @param totalBytes how long it is. Undefined: it is damaged */
export function readItem(key: string, bytes: Buffer, totalBytes: number, sinceMs: number): OutboxItem | undefined {
  try {
    const { failures, entry } = splitRecord(bytes);
    return {
      key,
      failures,
      sinceMs,
      version: entry.readDoubleBE(HEADER.offsets.version),
      writtenAtMs: entry.readDoubleBE(HEADER.offsets.updatedAt),
      storedBytes: totalBytes - (bytes.length - entry.length) - headerLength(entry),
    };
  } catch {
    return undefined;
  }
}
