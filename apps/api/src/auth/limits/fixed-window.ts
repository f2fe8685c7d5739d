import type { Rule } from './rule.js';
import type { Tally } from './tally.js';

/** `limit` requests in each window; windows follow each other from the epoch on, the same ones for everybody. */
export class FixedWindow implements Tally {
  private count = 0;
  /** Of the window, counted from the epoch. */
  stamp: number;

  constructor(
    public rule: Rule,
    private nowMs: number,
  ) {
    this.stamp = Math.floor(nowMs / rule.windowMs);
  }

  settle(nowMs: number): void {
    const index = Math.floor(nowMs / this.rule.windowMs);
    if (index > this.stamp) this.count = 0;
    this.stamp = index;
    this.nowMs = nowMs;
  }

  get free(): number {
    return this.rule.limit - this.count;
  }

  get lifeMs(): number {
    return (this.stamp + 1) * this.rule.windowMs - this.nowMs;
  }

  get waitMs(): number {
    return this.free >= 1 ? 0 : this.lifeMs;
  }

  get resetMs(): number {
    return this.lifeMs;
  }

  spend(count: number): void {
    this.count += count;
  }

  giveBack(count: number, stamp: number): void {
    if (stamp === this.stamp) this.count = Math.max(0, this.count - count);
  }
}

export const FIXED_WINDOW_LUA = `
local stamp = math.floor(now / window)
local count = state[1] or 0
if stamp > (state[2] or stamp) then count = 0 end
local went_back = stamp < (state[2] or stamp)
local life = (stamp + 1) * window - now
local function free() return limit - count end
local function wait() if free() >= 1 then return 0 end return life end
local function reset() return life end
local function spend(more) count = count + more end
local function give_back(less, from) if from == stamp then count = math.max(0, count - less) end end
local function save() return {count, stamp} end
`;
