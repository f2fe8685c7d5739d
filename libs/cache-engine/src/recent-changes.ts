import type { Entry } from './entry.js';

/** Beyond this nothing is let through until the next generation: better slow than wrong. */
const MAX_KEYS = 100_000;

/**
 * What has happened to which key in the last seconds, so that an answer is recognised which lags behind: that of a
 * replica, or of the layer of copies before the writer has brought that up to date.
 * Two generations, of which the older is thrown away: nothing is forgotten before a generation has passed.
 */
export class RecentChanges {
  private young = new Map<string, number>();
  private old = new Map<string, number>();
  private overflowed = false;
  private bornMs = performance.now();
  private completeFromMs: number;
  private knownEpoch: number;

  /**
   * @param epoch of the backplane: where it goes up something was missed, and, nothing is let through until a generation has
   *   passed
   * @param generationMs longer than an answer may lag behind
   */
  constructor(
    private readonly epoch: () => number,
    private readonly generationMs: () => number,
  ) {
    this.knownEpoch = epoch();
    this.completeFromMs = this.bornMs + generationMs();
  }

  note(key: string, revision: number): void {
    this.age();
    if (this.young.size >= MAX_KEYS) this.overflowed = true;
    else this.young.set(key, Math.max(revision, this.young.get(key) ?? 0));
  }

  /** The last thing known to have happened to a key in the last seconds. */
  latest(key: string): number | undefined {
    return this.young.get(key) ?? this.old.get(key);
  }

  /** Whether an answer is no older than what is known. */
  allows(key: string, entry: Entry | undefined): boolean {
    this.age();
    if (this.epoch() !== this.knownEpoch) {
      this.knownEpoch = this.epoch();
      this.reset();
    }
    if (this.overflowed || performance.now() < this.completeFromMs) return false;
    const revision = this.latest(key);
    return revision === undefined || (entry !== undefined && entry.revision >= revision);
  }

  private reset(): void {
    this.completeFromMs = performance.now() + this.generationMs();
  }

  private age(): void {
    const nowMs = performance.now();
    const generationMs = this.generationMs();
    if (nowMs - this.bornMs < generationMs) return;
    this.old = nowMs - this.bornMs < 2 * generationMs ? this.young : new Map<string, number>();
    this.young = new Map();
    if (this.overflowed) this.reset();
    this.overflowed = false;
    this.bornMs = nowMs;
  }
}
