/** So much of a turn of the event loop goes into requests that begin; then it looks what else there is. */
const SLICE_MS = 10;

/**
 * Requests that have come and are not begun, in their order. Without it a turn of the event loop begins all that came
 * in the turn before, and who comes next is not even refused until all of that is done.
 */
export class StartQueue {
  private readonly waiting: (() => void)[] = [];
  private sliceEndsAt: number | undefined;
  private begunInSlice = 0;

  get length(): number {
    return this.waiting.length;
  }

  /** Whether a request may begin at once: then it counts as begun. */
  beginsNow(): boolean {
    return this.waiting.length === 0 && this.takesTime();
  }

  add(begin: () => void): void {
    this.waiting.push(begin);
    // One for each: between two of them Node runs what a request has left for the end of its own turn.
    setImmediate(this.next);
  }

  /** Milliseconds until one that is added now begins, if those before it take as long as those that have just begun. */
  get waitMs(): number {
    return (this.waiting.length / Math.max(1, this.begunInSlice)) * SLICE_MS;
  }

  private readonly next = (): void => {
    if (!this.takesTime()) {
      setImmediate(this.next);
      return;
    }
    this.waiting.shift()?.();
  };

  /** False when the slice is used up. */
  private takesTime(): boolean {
    const now = performance.now();
    if (this.sliceEndsAt === undefined) {
      this.sliceEndsAt = now + SLICE_MS;
      this.begunInSlice = 0;
      // Comes first in the next turn, before those that wait.
      setImmediate(() => (this.sliceEndsAt = undefined));
    } else if (now >= this.sliceEndsAt) {
      return false;
    }
    this.begunInSlice++;
    return true;
  }
}
