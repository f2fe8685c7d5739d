export interface Timed {
  /** Milliseconds since the epoch. */
  readonly heldUntilMs: number;
  sooner: Timed | undefined;
  later: Timed | undefined;
  /** Which list it is in, -1 for none. */
  bucket: number;
}

export const TICK_MS = 250;
const BUCKETS = 64;
const LEVELS = 5;
/** A clock that leaps further than this was set: walking there tick by tick would take longer than starting anew. */
const LEAP_TICKS = BUCKETS ** 3;

/**
 * Knows what is due without looking at what is not: a hierarchical timing wheel (Varghese and Lauck, SOSP 1987). A level
 * has 64 lists, each for 64 times as long as one of the level below, from a quarter of a second to 49 days; what is
 * further away goes round again. Adding and cancelling are constant, and an entry moves down four times at most.
 */
export class TimingWheel {
  private readonly lists: (Timed | undefined)[] = new Array<Timed | undefined>(LEVELS * BUCKETS).fill(undefined);
  private tick: number;
  private pending = 0;

  constructor(
    nowMs: number,
    private readonly expire: (timed: Timed) => void,
  ) {
    this.tick = Math.floor(nowMs / TICK_MS);
  }

  get count(): number {
    return this.pending;
  }

  /** Before this time there is nothing to do. */
  get nextMs(): number {
    return (this.tick + 1) * TICK_MS;
  }

  add(timed: Timed): void {
    const due = Math.max(Math.ceil(timed.heldUntilMs / TICK_MS), this.tick);
    let level = 0;
    let width = 1;
    while (due - this.tick >= width * BUCKETS && level < LEVELS - 1) {
      width *= BUCKETS;
      level++;
    }
    const furthest = Math.floor(this.tick / width) + BUCKETS - 1;
    this.link(timed, level * BUCKETS + (Math.min(Math.floor(due / width), furthest) % BUCKETS));
  }

  remove(timed: Timed): void {
    if (timed.bucket < 0) return;
    if (timed.sooner) timed.sooner.later = timed.later;
    else this.lists[timed.bucket] = timed.later;
    if (timed.later) timed.later.sooner = timed.sooner;
    timed.sooner = timed.later = undefined;
    timed.bucket = -1;
    this.pending--;
  }

  /** Expires what is due by `nowMs`, but no more than `atMost`: the rest waits for the next call. */
  advance(nowMs: number, atMost: number): void {
    const target = Math.floor(nowMs / TICK_MS);
    if (target - this.tick > LEAP_TICKS) this.leap(target);
    let left = atMost;
    for (;;) {
      let due: Timed | undefined;
      while ((due = this.lists[this.tick % BUCKETS]) !== undefined) {
        if (left-- === 0) return;
        this.remove(due);
        this.expire(due);
      }
      if (this.tick >= target) return;
      this.tick++;
      for (let level = 1, turn = this.tick; level < LEVELS && turn % BUCKETS === 0; level++) {
        turn /= BUCKETS;
        this.spread(level * BUCKETS + (turn % BUCKETS));
      }
    }
  }

  /** Moves what is in a list to where it belongs now. */
  private spread(bucket: number): void {
    let timed = this.lists[bucket];
    while (timed) {
      const { later }: Timed = timed;
      this.remove(timed);
      this.add(timed);
      timed = later;
    }
  }

  private leap(tick: number): void {
    this.tick = tick;
    const filled = this.lists.map((_, bucket) => bucket).filter((bucket) => this.lists[bucket] !== undefined);
    for (const bucket of filled) this.spread(bucket);
  }

  private link(timed: Timed, bucket: number): void {
    const head = this.lists[bucket];
    timed.bucket = bucket;
    timed.sooner = undefined;
    timed.later = head;
    if (head) head.sooner = timed;
    this.lists[bucket] = timed;
    this.pending++;
  }
}
