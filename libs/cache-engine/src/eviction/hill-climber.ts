const FIRST_STEP = 0.0625;
const STEP_DECAY = 0.98;
const RESTART_CHANGE = 0.05;
const SAMPLE_FACTOR = 20;
const MIN_SAMPLE = 64;
/** A loss of so little is chance, where the last step could not be taken. */
const NOISE = 0.01;
const MIN_WINDOW = 0.005;
const MAX_WINDOW = 0.8;

/**
 * Looks for the share of the cache that the window should have: takes a step, compares the hit ratio of the next sample
 * with that of the one before, and goes on or turns round. Steps shrink, until the load changes.
 */
export class HillClimber {
  private lastRatio = 0;
  private step = FIRST_STEP;
  private atBound = false;

  constructor(public window: number) {}

  /** How many lookups make a sample, in a cache of so many entries. */
  static sampleOf(entries: number): number {
    return Math.max(MIN_SAMPLE, SAMPLE_FACTOR * entries);
  }

  /**
   * @param ratio hit ratio of the last sample
   * @returns whether the window has changed
   */
  climb(ratio: number): boolean {
    const change = ratio - this.lastRatio;
    const amount = change >= (this.atBound ? -NOISE : 0) ? this.step : -this.step;
    this.step = Math.abs(change) >= RESTART_CHANGE ? FIRST_STEP * (amount >= 0 ? 1 : -1) : STEP_DECAY * amount;
    this.lastRatio = ratio;
    const before = this.window;
    this.window = Math.min(MAX_WINDOW, Math.max(MIN_WINDOW, this.window + amount));
    this.atBound = this.window === before;
    return !this.atBound;
  }
}
