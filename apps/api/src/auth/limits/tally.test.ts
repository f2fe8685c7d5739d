import { LIMIT_STRATEGIES, type LimitStrategy } from '@cache-system/contracts';
import { isBucket, type Rule } from './rule.js';
import { openTally } from './strategies.js';
import { takeOne, type Tally, wholeFree } from './tally.js';

/** The beginning of a window of any length up to an hour. */
const START_MS = 1_763_683_200_000;
/** 60 in a minute: one a second. */
const rule = (strategy: LimitStrategy, more: Partial<Rule> = {}): Rule => ({
  strategy,
  limit: 60,
  windowMs: 60_000,
  burst: 5,
  ...more,
});

function takeAll(tally: Tally, atMs: number): number {
  let taken = 0;
  while (takeOne(tally, atMs)) taken++;
  return taken;
}

/** Times at which a caller gets through who asks all the time. */
function greedily(tally: Tally, fromMs: number, durationMs: number, everyMs: number): number[] {
  const times: number[] = [];
  for (let atMs = fromMs; atMs < fromMs + durationMs; atMs += everyMs) {
    while (takeOne(tally, atMs)) times.push(atMs);
  }
  return times;
}

describe.each(LIMIT_STRATEGIES)('a %s', (strategy) => {
  const bucket = isBucket(rule(strategy));

  test('lets its capacity through at once, and no more', () => {
    const tally = openTally(rule(strategy), START_MS);
    expect(takeAll(tally, START_MS)).toBe(bucket ? 5 : 60);
    expect(takeOne(tally, START_MS)).toBe(false);
    expect(wholeFree(tally)).toBe(0);
  });

  test.each([
    [60, 60_000],
    [1000, 3_600_000],
    [7, 1000],
    [3, 86_400_000],
    [10_000, 3_600_000],
  ])('lets through who has waited as long as it says, and not before (%d in %d ms)', (limit, windowMs) => {
    const tally = openTally(rule(strategy, { limit, windowMs }), START_MS + 1234.5);
    let atMs = START_MS + 1234.5;
    for (let i = 0; i < 10; i++) {
      takeAll(tally, atMs);
      const { waitMs } = tally;
      expect(waitMs).toBeGreaterThan(0);
      expect(takeOne(tally, atMs + waitMs * 0.9)).toBe(false);
      atMs += waitMs;
      expect(takeOne(tally, atMs)).toBe(true);
    }
  });

  test('says after how long it is as new', () => {
    const tally = openTally(rule(strategy), START_MS);
    takeAll(tally, START_MS);
    tally.settle(START_MS + tally.resetMs + 0.001);
    expect(wholeFree(tally)).toBe(bucket ? 5 : 60);
  });

  test('keeps over a long time to its limit', () => {
    const tally = openTally(rule(strategy), START_MS);
    const windows = 20;
    const admitted = greedily(tally, START_MS, windows * 60_000, 100).length;
    expect(admitted).toBeGreaterThanOrEqual(60 * windows * (strategy === 'sliding-window' ? 0.95 : 0.99));
    expect(admitted).toBeLessThanOrEqual(60 * windows + (bucket ? 5 : 0));
  });

  test('gives nothing away, and does not close for long, when the clock goes back', () => {
    const tally = openTally(rule(strategy), START_MS);
    takeAll(tally, START_MS);
    const backMs = START_MS - 3_600_000 * 5;
    expect(takeAll(tally, backMs)).toBe(0);
    expect(tally.waitMs).toBeLessThanOrEqual(62_000);
    expect(takeOne(tally, backMs + tally.waitMs)).toBe(true);
  });

  test('takes back what was counted and not made', () => {
    const tally = openTally(rule(strategy), START_MS);
    takeAll(tally, START_MS);
    tally.giveBack(2, tally.stamp);
    expect(takeAll(tally, START_MS)).toBe(2);
    tally.giveBack(1_000_000, tally.stamp);
    expect(takeAll(tally, START_MS)).toBe(bucket ? 5 : 60);
  });

  test('keeps what was used when its rule changes', () => {
    const tally = openTally(rule(strategy), START_MS);
    for (let i = 0; i < 4; i++) takeOne(tally, START_MS);
    tally.rule = rule(strategy, bucket ? { burst: 20 } : { limit: 20 });
    expect(takeAll(tally, START_MS)).toBe(16);
    tally.rule = rule(strategy, bucket ? { burst: 1 } : { limit: 1 });
    expect(takeAll(tally, START_MS)).toBe(0);
  });
});

describe('a bucket', () => {
  test.each(['token-bucket', 'leaky-bucket'] as const)(
    'keeps parts of a request: asking often costs nothing (%s)',
    (strategy) => {
      const tally = openTally(rule(strategy, { burst: 1 }), START_MS);
      takeAll(tally, START_MS);
      for (let i = 1; i < 10; i++) expect(takeOne(tally, START_MS + i * 100)).toBe(false);
      expect(takeOne(tally, START_MS + 1000)).toBe(true);
    },
  );

  test('that leaks, with a burst of one, lets requests through an interval apart', () => {
    const tally = openTally(rule('leaky-bucket', { burst: 1 }), START_MS);
    const times = greedily(tally, START_MS, 60_000, 50);
    expect(times).toHaveLength(60);
    for (let i = 1; i < times.length; i++) expect(times[i]! - times[i - 1]!).toBeGreaterThanOrEqual(1000);
  });
});

describe('a window', () => {
  test('that is fixed begins anew at the same time for everybody', () => {
    const tally = openTally(rule('fixed-window'), START_MS + 59_000);
    expect(takeAll(tally, START_MS + 59_000)).toBe(60);
    expect(tally.waitMs).toBe(1000);
    expect(takeAll(tally, START_MS + 60_000)).toBe(60);
  });

  test('that is fixed does not take back what was counted in the one before', () => {
    const tally = openTally(rule('fixed-window'), START_MS);
    takeAll(tally, START_MS);
    const { stamp } = tally;
    tally.settle(START_MS + 60_000);
    takeAll(tally, START_MS + 60_000);
    tally.giveBack(10, stamp);
    expect(takeAll(tally, START_MS + 60_000)).toBe(0);
  });

  test('that slides never has more than the limit in any span of its length', () => {
    const tally = openTally(rule('sliding-window', { limit: 25 }), START_MS);
    const times = greedily(tally, START_MS, 600_000, 370);
    for (const [first, atMs] of times.entries()) {
      const within = times.slice(first).filter((each) => each - atMs < 60_000);
      expect(within.length).toBeLessThanOrEqual(25);
    }
  });

  test('that slides keeps no more than a slot for each sixtieth of it', () => {
    const tally = openTally(rule('sliding-window', { limit: 1_000_000 }), START_MS);
    greedilyOnce(tally, 10_000);
    expect((tally as unknown as { slots: number[] }).slots.length).toBeLessThanOrEqual(62);
  });
});

/** One request every 37 ms. */
function greedilyOnce(tally: Tally, requests: number): void {
  for (let i = 0; i < requests; i++) takeOne(tally, START_MS + i * 37);
}
