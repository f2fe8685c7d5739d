import type { Attributes } from '../attributes.js';
import type { Entry, Format, Stamp } from '../entry.js';
import type { Evictable } from '../eviction/policy.js';
import { Extent } from './slab.js';
import type { Timed } from './timing-wheel.js';

/** Before the payload: version, revision, createdAtMs, updatedAtMs, expiresAtMs, heldUntilMs as doubles. */
export const RECORD_HEADER_BYTES = 48;
const HEADER_DOUBLES = { version: 0, revision: 1, createdAt: 2, updatedAt: 3, expiresAt: 4, heldUntil: 5 } as const;
const FLAG_ASCII = 1;
const FLAG_DEFAULT_TTL = 2;

/**
 * A place in L1. What is asked of it is read from memory that the next entry may take: ask, and use the answer, before
 * anything is awaited. `entry` is a copy, and good for as long as one likes. A slot whose entry has gone throws.
 */
export class Slot extends Extent implements Evictable, Timed, Stamp {
  /** Reads answered from this slot. */
  hits: number;
  /** Set by whoever holds entries; a small integer. */
  epoch: number;
  format: Format = 'json';
  attributes: Attributes | undefined = undefined;
  payloadBytes = 0;
  costBytes = 0;
  newer: Evictable | undefined = undefined;
  older: Evictable | undefined = undefined;
  place = 0;
  hash = 0;
  uses = 0;
  sooner: Timed | undefined = undefined;
  later: Timed | undefined = undefined;
  bucket = -1;
  private flags = 0;

  constructor(
    readonly key: string,
    hits: number,
    epoch: number,
  ) {
    super();
    this.hits = hits;
    this.epoch = epoch;
  }

  get version(): number {
    return this.header(HEADER_DOUBLES.version);
  }

  get revision(): number {
    return this.header(HEADER_DOUBLES.revision);
  }

  get createdAtMs(): number {
    return this.header(HEADER_DOUBLES.createdAt);
  }

  get updatedAtMs(): number {
    return this.header(HEADER_DOUBLES.updatedAt);
  }

  get expiresAtMs(): number {
    return this.header(HEADER_DOUBLES.expiresAt);
  }

  /** Until when the copy may be served, milliseconds since the epoch; 0: for ever. */
  get heldUntilMs(): number {
    return this.header(HEADER_DOUBLES.heldUntil);
  }

  get ascii(): boolean {
    return (this.flags & FLAG_ASCII) !== 0;
  }

  get defaultTtl(): boolean {
    return (this.flags & FLAG_DEFAULT_TTL) !== 0;
  }

  /** Whether `heldUntilMs` is a time. Asks less memory than that does: every hit asks. */
  get expires(): boolean {
    return this.bucket >= 0;
  }

  /** The text of the value, made from where it lies. */
  text(): string {
    // A character of several bytes may lie across two parts.
    if (!this.ascii && this.next) return this.payload().toString('utf8');
    let text = this.part(this, RECORD_HEADER_BYTES, this.payloadBytes);
    let left = this.payloadBytes - (this.size - RECORD_HEADER_BYTES);
    for (let extent = this.next; extent; extent = extent.next) {
      text += this.part(extent, 0, left);
      left -= extent.size;
    }
    return text;
  }

  /** A copy of the value. */
  payload(): Buffer {
    const payload = Buffer.allocUnsafeSlow(this.payloadBytes);
    this.forParts((page, start, end, at) => page.copy(payload, at, start, end));
    return payload;
  }

  /** A copy of all there is. */
  get entry(): Entry {
    return {
      version: this.version,
      revision: this.revision,
      createdAtMs: this.createdAtMs,
      updatedAtMs: this.updatedAtMs,
      expiresAtMs: this.expiresAtMs,
      format: this.format,
      ascii: this.ascii,
      defaultTtl: this.defaultTtl,
      attributes: this.attributes,
      payload: this.payload(),
    };
  }

  /** Writes an entry to the extents that were taken for it. */
  write(entry: Entry, heldUntilMs: number): void {
    const { page } = this;
    if (!page) throw new SlotIsGone(this.key);
    const at = this.offset >>> 3;
    page.doubles[at + HEADER_DOUBLES.version] = entry.version;
    page.doubles[at + HEADER_DOUBLES.revision] = entry.revision;
    page.doubles[at + HEADER_DOUBLES.createdAt] = entry.createdAtMs;
    page.doubles[at + HEADER_DOUBLES.updatedAt] = entry.updatedAtMs;
    page.doubles[at + HEADER_DOUBLES.expiresAt] = entry.expiresAtMs;
    page.doubles[at + HEADER_DOUBLES.heldUntil] = heldUntilMs;
    this.flags = (entry.ascii ? FLAG_ASCII : 0) | (entry.defaultTtl ? FLAG_DEFAULT_TTL : 0);
    this.format = entry.format;
    this.payloadBytes = entry.payload.length;
    if (!this.next) entry.payload.copy(page.bytes, this.offset + RECORD_HEADER_BYTES);
    else this.forParts((bytes, start, end, from) => entry.payload.copy(bytes, start, from, from + end - start));
  }

  private forParts(visit: (page: Buffer, start: number, end: number, at: number) => void): void {
    let skip = RECORD_HEADER_BYTES;
    let at = 0;
    const visitPart = ({ page, offset, size }: Extent) => {
      if (!page) throw new SlotIsGone(this.key);
      const length = Math.min(size - skip, this.payloadBytes - at);
      visit(page.bytes, offset + skip, offset + skip + length, at);
      at += length;
      skip = 0;
    };
    visitPart(this);
    for (let extent = this.next; extent; extent = extent.next) visitPart(extent);
  }

  private part(extent: Extent, skip: number, left: number): string {
    if (!extent.page) throw new SlotIsGone(this.key);
    const start = extent.offset + skip;
    return extent.page.bytes.toString(
      this.ascii ? 'latin1' : 'utf8',
      start,
      start + Math.min(extent.size - skip, left),
    );
  }

  private header(index: number): number {
    if (!this.page) throw new SlotIsGone(this.key);
    return this.page.doubles[(this.offset >>> 3) + index] as number;
  }
}

/** What was in the slot has been evicted, replaced or dropped since it was looked up. */
class SlotIsGone extends Error {
  constructor(key: string) {
    super(`${key} is in L1 no more: a slot is used in the turn in which it was looked up, or its entry is copied`);
  }
}
