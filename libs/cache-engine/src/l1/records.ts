import { Extent, RESERVED_PAGES, Slab } from './slab.js';
import { RECORD_HEADER_BYTES } from './slot.js';

/** Pages may be full to this part before memory is moved: the more, the more there is to move for each new entry. */
const FULL_PAGES = 8 / 9;
const PAGES = 256;
const MIN_PAGE_BYTES = 1024;
const MAX_PAGE_BYTES = 1024 * 1024;
/** A larger record is cut into pieces, so that little remains unused at the end of a page. */
const PIECES_PER_PAGE = 8;

/** What the value of a counter may shrink by, say, without the record being moved. */
const MAX_UNUSED_BYTES = 16;

/** Records in pages: a record is an extent, or a chain of them where it is large. */
export class Records {
  private pageBytes: number;
  private readonly slab: Slab;

  constructor(limitBytes: number) {
    this.pageBytes = pageSize(limitBytes);
    this.slab = new Slab(this.pageBytes);
  }

  /** All memory taken, holes included. */
  get bytes(): number {
    return this.slab.bytes;
  }

  /** What is kept back for moving records about. */
  get reservedBytes(): number {
    return (RESERVED_PAGES + 1) * this.pageBytes;
  }

  /** Of how many extents the record of a payload consists. */
  pieces(payloadBytes: number): number {
    return Math.ceil(((RECORD_HEADER_BYTES + payloadBytes) * PIECES_PER_PAGE) / this.pageBytes);
  }

  /** What a record takes, with its share of the holes that there may be. */
  cost(payloadBytes: number): number {
    return Math.ceil((RECORD_HEADER_BYTES + payloadBytes + 8 * this.pieces(payloadBytes)) / FULL_PAGES);
  }

  /** Takes memory for a record, of which `head` is the first extent. @returns false, and nothing taken, without room */
  allocate(head: Extent, payloadBytes: number, limitBytes: number): boolean {
    const total = RECORD_HEADER_BYTES + payloadBytes;
    const pieceBytes = roundUp(total / this.pieces(payloadBytes));
    let extent = head;
    for (let left = total; this.slab.allocate(extent, roundUp(Math.min(left, pieceBytes)), limitBytes);) {
      left -= extent.size;
      if (left <= 0) return true;
      extent.next = new Extent();
      extent = extent.next;
    }
    this.free(head);
    return false;
  }

  /** Whether a payload can take the place of the one that is there. What it leaves unused must be next to nothing. */
  fits(head: Extent, payloadBytes: number): boolean {
    const total = RECORD_HEADER_BYTES + payloadBytes;
    return head.next === undefined && total <= head.size && total > head.size - MAX_UNUSED_BYTES;
  }

  /** @returns of how many extents the record consisted */
  free(head: Extent): number {
    let pieces = 0;
    for (let extent: Extent | undefined = head; extent; extent = extent.next, pieces++) this.slab.free(extent);
    head.next = undefined;
    return pieces;
  }

  /** The size of the pages follows the limit, those that are there excepted. */
  resize(limitBytes: number): void {
    this.pageBytes = pageSize(limitBytes);
    this.slab.setPageSize(this.pageBytes);
  }

  /** Gives pages back. @returns false when that takes fewer records */
  shrinkTo(bytes: number): boolean {
    return this.slab.shrinkTo(bytes);
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

function pageSize(limitBytes: number): number {
  const wanted = 2 ** Math.floor(Math.log2(Math.max(1, limitBytes / PAGES)));
  return Math.min(MAX_PAGE_BYTES, Math.max(MIN_PAGE_BYTES, wanted));
}
