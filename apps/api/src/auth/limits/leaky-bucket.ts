import type { Rule } from './rule.js';
import type { Tally } from './tally.js';

/**
 * The leaky bucket as a meter, by virtual scheduling (ITU-T I.371; known as GCRA): each request is due one interval of
 * `window / limit` after the one before, and may come early by what a bucket of `burst` holds. With a burst of one,
 * requests are an interval apart. What is kept is how far the schedule is ahead of the clock.
 */
export class LeakyBucket implements Tally {
  readonly stamp = 0;
  readonly lifeMs = 1e15;
  private aheadMs = 0;
  /** How far it was ahead when something last changed. A refusal changes nothing. */
  private baseMs = 0;
  private changedAtMs: number;

  constructor(
    public rule: Rule,
    private nowMs: number,
  ) {
    this.changedAtMs = nowMs;
  }

  settle(nowMs: number): void {
    this.aheadMs = Math.max(0, this.baseMs - Math.max(0, nowMs - this.changedAtMs));
    this.nowMs = nowMs;
    if (nowMs < this.changedAtMs) this.changedAtMs = nowMs;
  }

  get free(): number {
    return this.rule.burst - this.aheadMs / this.intervalMs;
  }

  get waitMs(): number {
    return Math.max(0, this.aheadMs - (this.rule.burst - 1) * this.intervalMs);
  }

  get resetMs(): number {
    return this.aheadMs;
  }

  spend(count: number): void {
    this.change(this.aheadMs + count * this.intervalMs);
  }

  giveBack(count: number): void {
    this.change(Math.max(0, this.aheadMs - count * this.intervalMs));
  }

  private change(aheadMs: number): void {
    this.aheadMs = aheadMs;
    this.baseMs = aheadMs;
    this.changedAtMs = this.nowMs;
  }

  private get intervalMs(): number {
    return this.rule.windowMs / this.rule.limit;
  }
}

export const LEAKY_BUCKET_LUA = `
local interval = window / limit
local ahead = math.max(0, (state[1] or 0) - math.max(0, now - (state[2] or now)))
local stamp, life, went_back = 0, 1e15, now < (state[2] or now)
local function free() return burst - ahead / interval end
local function wait() return math.max(0, ahead - (burst - 1) * interval) end
local function reset() return ahead end
local function spend(count) ahead = ahead + count * interval end
local function give_back(count) ahead = math.max(0, ahead - count * interval) end
local function save() return {ahead, now} end
`;
