import type { Rule } from './rule.js';
import type { Tally } from './tally.js';

const SLOTS_PER_WINDOW = 60;
const MIN_SLOT_MS = 250;

/**
 * At most `limit` requests in any span as long as the window. They are counted in slots of a sixtieth of the window, and a
 * slot counts until all of it is out of the window: never a request too many, and one that is out of it counts for a slot
 * longer at most. What two counters estimate of the window before (the usual approximation) would keep no such promise.
 */
export class SlidingWindow implements Tally {
  /** Of the slots in which there were requests, oldest first, counted from the epoch. */
  private readonly slots: number[] = [];
  private readonly counts: number[] = [];
  private total = 0;
  /** Of the slot now. */
  stamp = 0;

  constructor(
    public rule: Rule,
    private nowMs: number,
  ) {
    this.settle(nowMs);
  }

  settle(nowMs: number): void {
    this.nowMs = nowMs;
    this.stamp = Math.floor(nowMs / this.slotMs);
    const aheadSlots = (this.slots.at(-1) ?? this.stamp) - this.stamp;
    if (aheadSlots > 0) for (let i = 0; i < this.slots.length; i++) this.slots[i] = (this.slots[i] ?? 0) - aheadSlots;
    while (this.slots.length > 0 && this.endMs(0) <= nowMs) {
      this.slots.shift();
      this.total -= this.counts.shift() ?? 0;
    }
  }

  get free(): number {
    return this.rule.limit - this.total;
  }

  get lifeMs(): number {
    return (this.stamp + 1) * this.slotMs - this.nowMs;
  }

  get waitMs(): number {
    let free = this.free;
    if (free >= 1) return 0;
    for (let i = 0; i < this.slots.length; i++) {
      free += this.counts[i] ?? 0;
      if (free >= 1) return this.endMs(i) - this.nowMs;
    }
    return this.resetMs;
  }

  get resetMs(): number {
    return this.slots.length === 0 ? 0 : this.endMs(this.slots.length - 1) - this.nowMs;
  }

  spend(count: number): void {
    if (this.slots.at(-1) !== this.stamp) {
      this.slots.push(this.stamp);
      this.counts.push(0);
    }
    this.counts[this.counts.length - 1] = (this.counts.at(-1) ?? 0) + count;
    this.total += count;
  }

  giveBack(count: number, stamp: number): void {
    const at = this.slots.indexOf(stamp);
    if (at === -1) return;
    const kept = Math.max(0, (this.counts[at] ?? 0) - count);
    this.total -= (this.counts[at] ?? 0) - kept;
    this.counts[at] = kept;
  }

  /** When a slot does not count any more. */
  private endMs(at: number): number {
    return ((this.slots[at] ?? 0) + 1) * this.slotMs + this.rule.windowMs;
  }

  private get slotMs(): number {
    return Math.max(this.rule.windowMs / SLOTS_PER_WINDOW, MIN_SLOT_MS);
  }
}

/** The state is slot, count, slot, count, … */
export const SLIDING_WINDOW_LUA = `
local slot = math.max(window / ${SLOTS_PER_WINDOW}, ${MIN_SLOT_MS})
local stamp = math.floor(now / slot)
local life = (stamp + 1) * slot - now
local slots, counts, total = {}, {}, 0
local ahead = math.max(0, (state[#state - 1] or stamp) - stamp)
local went_back = ahead > 0
for i = 1, #state, 2 do
  local at = state[i] - ahead
  if (at + 1) * slot + window > now then
    slots[#slots + 1] = at
    counts[#counts + 1] = state[i + 1]
    total = total + state[i + 1]
  end
end
local function ends(i) return (slots[i] + 1) * slot + window - now end
local function free() return limit - total end
local function reset() if #slots == 0 then return 0 end return ends(#slots) end
local function wait()
  local room = free()
  if room >= 1 then return 0 end
  for i = 1, #slots do
    room = room + counts[i]
    if room >= 1 then return ends(i) end
  end
  return reset()
end
local function spend(more)
  if slots[#slots] ~= stamp then
    slots[#slots + 1] = stamp
    counts[#counts + 1] = 0
  end
  counts[#counts] = counts[#counts] + more
  total = total + more
end
local function give_back(less, from)
  for i = 1, #slots do
    if slots[i] == from then
      local kept = math.max(0, counts[i] - less)
      total = total - (counts[i] - kept)
      counts[i] = kept
    end
  end
end
local function save()
  local flat = {}
  for i = 1, #slots do
    flat[#flat + 1] = slots[i]
    flat[#flat + 1] = counts[i]
  end
  return flat
end
`;
