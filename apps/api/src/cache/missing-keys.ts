const MAX_KEYS = 10_000;

/** Keys that their source does not have, remembered on this node for a while so that it is not asked for each read. */
export class MissingKeys {
  /** Until when, in milliseconds of `performance.now()`; the oldest first. */
  private readonly untilMs = new Map<string, number>();

  /** Milliseconds for which it is still known that a key is missing; 0: it is not known to be. */
  leftMs(key: string): number {
    const untilMs = this.untilMs.get(key);
    if (untilMs === undefined) return 0;
    const leftMs = untilMs - performance.now();
    if (leftMs > 0) return leftMs;
    this.untilMs.delete(key);
    return 0;
  }

  note(key: string, forMs: number): void {
    this.untilMs.delete(key);
    if (forMs === 0) return;
    const [oldest] = this.untilMs.keys();
    if (oldest !== undefined && this.untilMs.size >= MAX_KEYS) this.untilMs.delete(oldest);
    this.untilMs.set(key, performance.now() + forMs);
  }

  forget(key: string): void {
    this.untilMs.delete(key);
  }

  forgetPrefix(prefix: string): void {
    for (const key of this.untilMs.keys()) if (key.startsWith(prefix)) this.untilMs.delete(key);
  }
}
