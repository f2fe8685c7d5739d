import type { Rule } from './rule.js';

/** What parts of a request may be lost to rounding, so that who has waited as long as was said gets through. */
const ROUNDING = 1e-6;

/**
 * What one subject has used of its rule, by one of the strategies. Times are milliseconds since the epoch. Each strategy is
 * written twice, as such a class and as the Lua beside it: `rate-limit-strategies.test.ts` holds them to the same results.
 */
export interface Tally {
  /** May be replaced by another of the same strategy: what was used stays used. */
  rule: Rule;
  /** Brings the count to a time, which everything else is about. A clock that goes back gives nothing away. */
  settle(nowMs: number): void;
  /** Requests that would be let through, with the part of one that is there already. */
  readonly free: number;
  /** Names what requests are counted in now. */
  readonly stamp: number;
  /** For how long requests that are counted now may still be made: later they would be in the next window. */
  readonly lifeMs: number;
  /** Until one request is let through; 0: now. */
  readonly waitMs: number;
  /** Until nothing counts any more. */
  readonly resetMs: number;
  spend(count: number): void;
  /** Takes requests back that were counted under `stamp` and not made. */
  giveBack(count: number, stamp: number): void;
}

/** Whole requests that would be let through. */
export function wholeFree(tally: Tally): number {
  return Math.max(0, Math.floor(tally.free + ROUNDING));
}

/** Counts one request, if it is let through. */
export function takeOne(tally: Tally, nowMs: number): boolean {
  tally.settle(nowMs);
  if (wholeFree(tally) < 1) return false;
  tally.spend(1);
  return true;
}
