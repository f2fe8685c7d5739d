/** Pages scanned for the one that is worth clearing. */
const SCANNED_PAGES = 512;
const OPEN_PAGES = 4;
/** What of a page must be dead for the clearing to be worth the copying. */
const WORTH_CLEARING = 1 / 16;
/** After clearing so many pages in vain, fewer records are what helps. */
const MAX_CLEARED = 32;
/** So many pages are kept back, so that there is always one to clear another into. */
export const RESERVED_PAGES = 3;

export class Page {
  readonly bytes: Buffer;
  readonly doubles: Float64Array;
  /** Where the next extent goes. */
  end = 0;
  live = 0;
  index = -1;
  first: Extent | undefined;

  constructor(readonly size: number) {
    const memory = new ArrayBuffer(size);
    this.bytes = Buffer.from(memory);
    this.doubles = new Float64Array(memory);
  }
}

/** Bytes in a page. They may move to another page whenever room is made: nobody keeps where they are. */
export class Extent {
  page: Page | undefined = undefined;
  offset = 0;
  size = 0;
  /** The extent in which the same record goes on. */
  next: Extent | undefined = undefined;
  private pagePrevious: Extent | undefined = undefined;
  private pageNext: Extent | undefined = undefined;

  /** Takes the next bytes of a page. */
  enter(page: Page, size: number): void {
    this.page = page;
    this.offset = page.end;
    this.size = size;
    page.end += size;
    page.live += size;
    this.pagePrevious = undefined;
    this.pageNext = page.first;
    if (page.first) page.first.pagePrevious = this;
    page.first = this;
  }

  leave(page: Page): void {
    page.live -= this.size;
    if (this.pagePrevious) this.pagePrevious.pageNext = this.pageNext;
    else page.first = this.pageNext;
    if (this.pageNext) this.pageNext.pagePrevious = this.pagePrevious;
    this.page = this.pagePrevious = this.pageNext = undefined;
  }
}

/**
 * Memory for records of any size within a strict bound: pages that are filled from the front and, when there is no room
 * left, cleared by moving what is still alive in the emptiest of them (a log as in Rumble, Kejriwal and Ousterhout,
 * "Log-structured Memory for DRAM-based Storage", FAST 2014). No size class can run short while another has room, and
 * no memory goes through the garbage collector while entries come and go.
 */
export class Slab {
  private readonly closed: Page[] = [];
  private readonly open: Page[] = [];
  /** Kept to spare the garbage collector a page for each that is cleared. */
  private spare: Page | undefined;
  private cursor = 0;
  private pageBytes = 0;

  constructor(private pageSize: number) {}

  /** All memory taken, used or not. */
  get bytes(): number {
    return this.pageBytes + (this.spare?.size ?? 0);
  }

  /** Of pages that are made from now on. */
  setPageSize(bytes: number): void {
    this.pageSize = bytes;
    if (this.spare && this.spare.size !== bytes) this.spare = undefined;
  }

  /** Takes `size` bytes, a multiple of 8, for an extent. @returns false when `limitBytes` leaves no room for them */
  allocate(extent: Extent, size: number, limitBytes: number): boolean {
    for (let tries = 0; tries <= MAX_CLEARED; tries++) {
      if (this.pageBytes + (RESERVED_PAGES - 1) * this.pageSize <= limitBytes) {
        const page = this.openPageFor(size) ?? (this.mayGrow(limitBytes) ? this.newPage(size) : undefined);
        if (page) {
          extent.enter(page, size);
          return true;
        }
      }
      if (!this.clearOne()) return false;
    }
    return false;
  }

  free(extent: Extent): void {
    const { page } = extent;
    if (!page) return;
    extent.leave(page);
    if (page.live === 0) this.release(page);
  }

  /** Clears pages until no more than `limitBytes` are taken. @returns false when nothing is left that is worth it */
  shrinkTo(limitBytes: number): boolean {
    for (let tries = 0; this.pageBytes > 0;) {
      const { pageBytes } = this;
      if (pageBytes + (RESERVED_PAGES - 1) * this.pageSize <= limitBytes) return true;
      if (!this.clearOne()) return false;
      tries = this.pageBytes < pageBytes ? 0 : tries + 1;
      if (tries > MAX_CLEARED) return false;
    }
    return true;
  }

  private mayGrow(limitBytes: number): boolean {
    return this.pageBytes + RESERVED_PAGES * this.pageSize <= limitBytes;
  }

  private openPageFor(size: number): Page | undefined {
    for (const page of this.open) if (page.size - page.end >= size) return page;
    return undefined;
  }

  /** Only what was taken when pages were larger may need more than they have now. */
  private newPage(atLeast: number): Page {
    const { spare } = this;
    const page = spare && spare.size >= atLeast ? spare : new Page(Math.max(this.pageSize, atLeast));
    this.spare = undefined;
    this.pageBytes += page.size;
    if (this.open.length >= OPEN_PAGES) this.close();
    this.open.push(page);
    return page;
  }

  /** The open page with the least room left is open no more. */
  private close(): void {
    let fullest = 0;
    for (let index = 1; index < this.open.length; index++) {
      if (roomIn(this.open[index]) < roomIn(this.open[fullest])) fullest = index;
    }
    const [page] = this.open.splice(fullest, 1);
    if (!page) return;
    if (page.live === 0) return this.release(page);
    page.index = this.closed.length;
    this.closed.push(page);
  }

  private release(page: Page): void {
    if (page.index >= 0) {
      const last = this.closed.pop();
      if (last && last !== page) {
        this.closed[page.index] = last;
        last.index = page.index;
      }
    } else {
      const index = this.open.indexOf(page);
      if (index >= 0) this.open.splice(index, 1);
    }
    page.index = -1;
    page.end = 0;
    this.pageBytes -= page.size;
    this.spare = page.size === this.pageSize && this.pageBytes > 0 ? page : undefined;
  }

  private clearOne(): boolean {
    const page = this.emptiest();
    if (!page || page.live > page.size * (1 - WORTH_CLEARING)) return false;
    for (let extent = page.first; extent; extent = page.first) this.move(extent, page);
    this.release(page);
    return true;
  }

  private move(extent: Extent, from: Page): void {
    const { offset, size } = extent;
    const to = this.openPageFor(size) ?? this.newPage(size);
    extent.leave(from);
    extent.enter(to, size);
    from.bytes.copy(to.bytes, extent.offset, offset, offset + size);
  }

  private emptiest(): Page | undefined {
    const { closed } = this;
    let best: Page | undefined;
    for (let scanned = Math.min(closed.length, SCANNED_PAGES); scanned > 0; scanned--) {
      if (++this.cursor >= closed.length) this.cursor = 0;
      const page = closed[this.cursor];
      if (page && (!best || page.live < best.live)) best = page;
    }
    return best;
  }
}

function roomIn(page: Page | undefined): number {
  return page ? page.size - page.end : 0;
}
