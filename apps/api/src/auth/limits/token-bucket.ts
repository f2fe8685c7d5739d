import type { Rule } from './rule.js';
import type { Tally } from './tally.js';

/**
 * A bucket of `burst` tokens, of which each request takes one, refilled evenly with `limit` per window. What is kept is
 * how many are missing, so that a bucket that is made larger or smaller remembers what was used.
 */
export class TokenBucket implements Tally {
  readonly stamp = 0;
  readonly lifeMs = 1e15;
  private missing = 0;
  /** What was missing when something last changed. A refusal changes nothing. */
  private base = 0;
  private changedAtMs: number;

  constructor(
    public rule: Rule,
    private nowMs: number,
  ) {
    this.changedAtMs = nowMs;
  }

  settle(nowMs: number): void {
    this.missing = Math.max(0, this.base - Math.max(0, nowMs - this.changedAtMs) * this.perMs);
    this.nowMs = nowMs;
    if (nowMs < this.changedAtMs) this.changedAtMs = nowMs;
  }

  get free(): number {
    return this.rule.burst - this.missing;
  }

  get waitMs(): number {
    return Math.max(0, (1 - this.free) / this.perMs);
  }

  get resetMs(): number {
    return this.missing / this.perMs;
  }

  spend(count: number): void {
    this.change(this.missing + count);
  }

  giveBack(count: number): void {
    this.change(Math.max(0, this.missing - count));
  }

  private change(missing: number): void {
    this.missing = missing;
    this.base = missing;
    this.changedAtMs = this.nowMs;
  }

  private get perMs(): number {
    return this.rule.limit / this.rule.windowMs;
  }
}

export const TOKEN_BUCKET_LUA = `
local per = limit / window
local missing = math.max(0, (state[1] or 0) - math.max(0, now - (state[2] or now)) * per)
local stamp, life, went_back = 0, 1e15, now < (state[2] or now)
local function free() return burst - missing end
local function wait() return math.max(0, (1 - free()) / per) end
local function reset() return missing / per end
local function spend(count) missing = missing + count end
local function give_back(count) missing = math.max(0, missing - count) end
local function save() return {missing, now} end
`;
