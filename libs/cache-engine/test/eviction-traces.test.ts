import { replay } from '../../../bench/eviction/replay.mjs';
import { givenFigures, hasTraces, readTrace } from '../../../bench/eviction/traces.mjs';
import { createPolicy } from '../src/eviction/create-policy.js';

/** The traces lie beside the repository and may be absent. */
const where = hasTraces() ? describe : describe.skip;
const ROWS = hasTraces() ? givenFigures() : [];
/** How far `lfu` may stay behind the best of what is published, in points. */
const ALLOWED = 1;

where('on real traces', () => {
  const traces = new Map(ROWS.map(({ trace }) => [trace, readTrace(trace)]));

  test.each(ROWS)('lru is what LRU is: $trace with $size entries', ({ trace, size, ratios }) => {
    const ratio = replay(createPolicy('lru'), traces.get(trace)!, size);
    expect(Number(ratio.toFixed(2))).toBe(ratios['LRU']);
  });

  test.each(ROWS)('lfu keeps up with the best: $trace with $size entries', ({ trace, size, ratios }) => {
    const best = Math.max(ratios['ARC']!, ratios['S3-FIFO']!, ratios['W-TinyLFU HC']!);
    // The policy hashes with a seed of its own each time.
    const runs = [1, 2, 3].map(() => replay(createPolicy('lfu'), traces.get(trace)!, size)).sort((a, b) => a - b);
    expect(runs[1]).toBeGreaterThanOrEqual(best - ALLOWED);
  });
});
