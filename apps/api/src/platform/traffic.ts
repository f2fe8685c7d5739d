const WINDOW_SECONDS = 60;

interface Second {
  second: number;
  requests: number;
  errors: number;
  totalMs: number;
}

export interface TrafficSummary {
  readonly requestsPerSecond: number;
  /** null where there was no request to measure. */
  readonly averageResponseTimeMs: number | null;
  readonly errorRate: number | null;
}

/** What this node has answered during the last minute, counted in one slot per second. */
export class Traffic {
  private readonly startedAt = performance.now();
  private readonly slots: Second[] = Array.from({ length: WINDOW_SECONDS }, () => ({
    second: -1,
    requests: 0,
    errors: 0,
    totalMs: 0,
  }));

  record(status: number, elapsedMs: number): void {
    const second = Math.floor(performance.now() / 1000);
    const slot = this.slots[second % WINDOW_SECONDS] as Second;
    if (slot.second !== second) {
      slot.second = second;
      slot.requests = slot.errors = slot.totalMs = 0;
    }
    slot.requests++;
    slot.totalMs += elapsedMs;
    if (status >= 500) slot.errors++;
  }

  summary(): TrafficSummary {
    const now = performance.now();
    const oldest = Math.floor(now / 1000) - WINDOW_SECONDS;
    const recent = this.slots.filter(({ second }) => second > oldest);
    const requests = recent.reduce((sum, slot) => sum + slot.requests, 0);
    const errors = recent.reduce((sum, slot) => sum + slot.errors, 0);
    const totalMs = recent.reduce((sum, slot) => sum + slot.totalMs, 0);
    const seconds = Math.max(1, Math.min(WINDOW_SECONDS, (now - this.startedAt) / 1000));
    return {
      requestsPerSecond: round(requests / seconds),
      averageResponseTimeMs: requests === 0 ? null : round(totalMs / requests),
      errorRate: requests === 0 ? null : round(errors / requests),
    };
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
