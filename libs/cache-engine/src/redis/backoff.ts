const BASE_MS = 50;
const MAX_MS = 1000;

/**
 * How long to wait before the next attempt. With full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"),
 * so that nodes which lost the same server do not all come back at the same moment.
 */
export function backoffMs(failures: number): number {
  return Math.random() * Math.min(BASE_MS * 2 ** failures, MAX_MS);
}
