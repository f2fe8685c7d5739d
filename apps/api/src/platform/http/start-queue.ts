/** So much of a turn of the event loop goes into requests that begin; then it looks what else there is. */
const SLICE_MS = 10;
/** What a turn counts for in the next one, and so on: the last five turns or so make the rate. */
const KEPT = 0.8;

/**
 * Requests that have come and are not begun, each kind in its order. Without it a turn of the event loop begins all that
 * came in the turn before, and who comes next is not even refused until all of that is done.
 */
export class StartQueue {
  private readonly urgent: (() => void)[] = [];
  private readonly ordinary: (() => void)[] = [];
  /** Undefined before the first request of a turn. */
  private turnStartedAt: number | undefined;
  private begunInTurn = 0;
  /** Of the turns before, the last ones more than others. */
  private readonly recent = { begun: 0, ms: 0 };

  /** @param now milliseconds, by a clock that is never set */
  constructor(private readonly now = () => performance.now()) {}

  get length(): number {
    return this.urgent.length + this.ordinary.length;
  }

  /** Whether a request may begin at once: then it counts as begun. */
  beginsNow(): boolean {
    return this.length === 0 && this.takesTime();
  }

  /** @param isUrgent it begins before all that are not */
  add(begin: () => void, isUrgent = false): void {
    (isUrgent ? this.urgent : this.ordinary).push(begin);
    // One for each: between two of them Node runs what a request has left for the end of its own turn.
    setImmediate(this.next);
  }

  /** Milliseconds until one that is added now begins, if it goes on as in the last turns, with all else that they did. */
  get waitMs(): number {
    const begun = this.recent.begun + this.begunInTurn;
    const ms = this.recent.ms + (this.turnStartedAt === undefined ? 0 : this.now() - this.turnStartedAt);
    return begun === 0 ? 0 : (this.length * ms) / begun;
  }

  private readonly next = (): void => {
    if (this.takesTime()) (this.urgent.shift() ?? this.ordinary.shift())?.();
    else setImmediate(this.next);
  };

  /** False when the slice is used up. */
  private takesTime(): boolean {
    const now = this.now();
    if (this.turnStartedAt === undefined) {
      this.turnStartedAt = now;
      // Comes first in the next turn, before those that wait; so there is no idle time in it.
      setImmediate(this.endTurn, now);
    } else if (now - this.turnStartedAt >= SLICE_MS) {
      return false;
    }
    this.begunInTurn++;
    return true;
  }

  private readonly endTurn = (startedAt: number): void => {
    this.recent.begun = KEPT * this.recent.begun + this.begunInTurn;
    this.recent.ms = KEPT * this.recent.ms + this.now() - startedAt;
    this.turnStartedAt = undefined;
    this.begunInTurn = 0;
  };
}
