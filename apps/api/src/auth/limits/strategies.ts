import type { LimitStrategy } from '@cache-system/contracts';
import { FixedWindow } from './fixed-window.js';
import { LeakyBucket } from './leaky-bucket.js';
import type { Rule } from './rule.js';
import { SlidingWindow } from './sliding-window.js';
import type { Tally } from './tally.js';
import { TokenBucket } from './token-bucket.js';

const TALLIES = {
  'token-bucket': TokenBucket,
  'leaky-bucket': LeakyBucket,
  'fixed-window': FixedWindow,
  'sliding-window': SlidingWindow,
} satisfies Record<LimitStrategy, new (rule: Rule, nowMs: number) => Tally>;

export function openTally(rule: Rule, nowMs: number): Tally {
  return new TALLIES[rule.strategy](rule, nowMs);
}
