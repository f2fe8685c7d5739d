import { LIMIT_STRATEGIES } from '@cache-system/contracts';
import { nowMs } from './allowance.js';
import { LeasedAllowance } from './leased-allowance.js';
import type { ScriptRunner } from './limit-script.js';
import type { Rule } from './rule.js';
import { SharedLimits } from './shared-limits.js';
import { openTally } from './strategies.js';
import { type Tally, wholeFree } from './tally.js';

const ROUND_TRIP_MS = 2;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Answers orders as the scripts do, which `rate-limit-strategies.test.ts` holds to the same results. */
class TalliesOfAll implements ScriptRunner {
  isAway = false;
  orders = 0;
  private readonly tallies = new Map<string, Tally>();

  async run<T>(_script: unknown, [key = '']: readonly string[], args: readonly string[]): Promise<T> {
    await sleep(ROUND_TRIP_MS);
    if (this.isAway) throw new Error('is away');
    const [limit = 0, windowMs = 0, burst = 0, need = 0, ahead = 0, divisor = 1, back = 0, stamp = 0] =
      args.map(Number);
    if (!key.endsWith(':probe')) this.orders++;
    const strategy = LIMIT_STRATEGIES.find((each) => key.startsWith(`rate:${each}:`))!;
    const tally = this.tallies.get(key) ?? openTally({ strategy, limit, windowMs, burst }, nowMs());
    this.tallies.set(key, tally);
    tally.settle(nowMs());
    if (back > 0) tally.giveBack(back, stamp);
    let granted = Math.min(need, wholeFree(tally));
    granted += Math.min(ahead, Math.floor((wholeFree(tally) - granted) / divisor));
    if (granted > 0) tally.spend(granted);
    const told = [granted, wholeFree(tally), tally.stamp, tally.lifeMs, tally.waitMs, tally.resetMs];
    return Buffer.from(told.join(' ')) as T;
  }
}

let redis: TalliesOfAll;
let opened: SharedLimits[];
beforeEach(() => {
  jest.useFakeTimers();
  // From the beginning of a window on, whenever the test runs.
  jest.advanceTimersByTime(Math.ceil(DAY_MS - (nowMs() % DAY_MS)));
  redis = new TalliesOfAll();
  opened = [];
});
afterEach(async () => {
  await pass(Promise.all(opened.map((shared) => shared.close())));
  jest.useRealTimers();
});

/** One for each of three nodes. */
function onNodes(rule: Rule): [LeasedAllowance, LeasedAllowance, LeasedAllowance] {
  const peers = ['a', 'b', 'c'].map((id) => ({ id, name: id, silentMs: 0 }));
  const open = ({ id: selfId }: { id: string }) => {
    const backplane = { state: () => ({ selfId, trusted: true, epoch: 0, gaps: 0, peers }) };
    const shared = new SharedLimits(redis, backplane, 100);
    opened.push(shared);
    return new LeasedAllowance('key', 'somebody', rule, shared);
  };
  return peers.map(open) as [LeasedAllowance, LeasedAllowance, LeasedAllowance];
}

/** Lets time pass until something is over. */
async function pass<T>(work: Promise<T>): Promise<T> {
  let isOver = false;
  const over = () => (isOver = true);
  work.then(over, over);
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- set when it is over
  while (!isOver) await jest.advanceTimersByTimeAsync(1);
  return work;
}

async function takeFrom(allowance: LeasedAllowance): Promise<boolean> {
  const verdict = allowance.take(nowMs());
  return verdict === 'ask' ? allowance.ask() : verdict === 'taken';
}

/** Requests of as many connections, each of which sends the next one when the last is answered. */
async function takeInLoops(allowance: LeasedAllowance, connections: number, requests: number): Promise<number> {
  let left = requests;
  let taken = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (left-- > 0) {
        if (await takeFrom(allowance)) taken++;
        await sleep(1);
      }
    }),
  );
  return taken;
}

describe('what a node takes in advance', () => {
  const large: Rule = { strategy: 'token-bucket', limit: 36_000_000, windowMs: HOUR_MS, burst: 100_000 };

  test.each([1, 8, 50])('grows to the rate of %d connections, and Redis is asked seldom', async (connections) => {
    const [allowance] = onNodes(large);
    for (let i = 0; i < 5; i++) {
      redis.orders = 0;
      expect(await pass(takeInLoops(allowance, connections, 3000))).toBe(3000);
      expect(redis.orders).toBeLessThan(30);
    }
  });

  test('goes back where it is more than is used, before a bucket has filled up behind it', async () => {
    const rule: Rule = { strategy: 'token-bucket', limit: 100, windowMs: 1000, burst: 1000 };
    const nodes = onNodes(rule);
    await pass(Promise.all(nodes.map((node) => takeInLoops(node, 50, 150))));
    // Now and then one, so that a lease is never idle.
    for (let i = 0; i < 8; i++) {
      await pass(Promise.all(nodes.map(takeFrom)));
      await jest.advanceTimersByTimeAsync(1000);
    }
    const atOnce = await pass(Promise.all(nodes.map((node) => takeInLoops(node, 100, 1500))));
    const total = atOnce.reduce((sum, each) => sum + each, 0);
    expect(total).toBeGreaterThanOrEqual(950);
    expect(total).toBeLessThanOrEqual(1000 + 22 + 20);
  });

  test.each([
    ['token-bucket', 600, 50],
    ['token-bucket', 600, 1000],
    ['leaky-bucket', 100_000, 20],
  ] as const)('is at most two percent of what a %s of %d a minute lets through', async (strategy, limit, burst) => {
    const nodes = onNodes({ strategy, limit, windowMs: MINUTE_MS, burst });
    for (let second = 0; second < 12; second++) {
      await pass(Promise.all(nodes.map(takeFrom)));
      await jest.advanceTimersByTimeAsync(1000);
    }
    const startedAtMs = nowMs();
    const atOnce = await pass(Promise.all(nodes.map((node) => takeInLoops(node, 50, 2000))));
    const refilled = ((nowMs() - startedAtMs) * limit) / MINUTE_MS;
    const total = atOnce.reduce((sum, each) => sum + each, 0);
    expect(total).toBeGreaterThanOrEqual(0.98 * burst);
    expect(total).toBeLessThanOrEqual(burst + Math.ceil(refilled) + 0.02 * (burst + limit / 60));
  });

  test.each(['fixed-window', 'sliding-window'] as const)(
    'is not lost to a %s where it was not used',
    async (strategy) => {
      const rule: Rule = { strategy, limit: 1000, windowMs: MINUTE_MS, burst: 1 };
      const [first, second] = onNodes(rule);
      await pass(takeInLoops(first, 10, 100));
      await jest.advanceTimersByTimeAsync(5000);
      expect(await pass(takeInLoops(second, 10, 1500))).toBe(900);
    },
  );
});

describe('while Redis is away', () => {
  async function takeAll(allowance: LeasedAllowance): Promise<number> {
    let taken = 0;
    while (await pass(takeFrom(allowance))) taken++;
    return taken;
  }

  test.each(LIMIT_STRATEGIES)('short outages, one after the other, give a %s out once', async (strategy) => {
    const nodes = onNodes({ strategy, limit: 300, windowMs: DAY_MS, burst: 300 });
    let taken = 0;
    for (let outage = 0; outage < 5; outage++) {
      redis.isAway = true;
      for (const node of nodes) taken += await takeAll(node);
      redis.isAway = false;
      while (!opened.every(({ available }) => available)) await jest.advanceTimersByTimeAsync(1);
      for (const node of nodes) taken += Number(await pass(takeFrom(node)));
    }
    expect(taken).toBeGreaterThanOrEqual(250);
    expect(taken).toBeLessThanOrEqual(305);
  });

  test.each(LIMIT_STRATEGIES)('what a %s has got back since it was heard of counts', async (strategy) => {
    const nodes = onNodes({ strategy, limit: 300, windowMs: MINUTE_MS, burst: 300 });
    for (const node of nodes) await takeAll(node);
    // None of them hears of it that everything is there again.
    await jest.advanceTimersByTimeAsync(2 * MINUTE_MS);
    redis.isAway = true;
    for (const node of nodes) expect(await takeAll(node)).toBeGreaterThanOrEqual(100);
  });

  test('the headers tell of the part of the node', async () => {
    const [node] = onNodes({ strategy: 'token-bucket', limit: 60, windowMs: MINUTE_MS, burst: 30 });
    redis.isAway = true;
    expect(await pass(takeFrom(node))).toBe(true);
    // A third of 30 at once, and of one a second.
    expect(node.tell()).toMatchObject({ remaining: 9, resetInSeconds: 3, limitText: '60' });
    expect(node.partOf(9)).toBe(0.9);
  });
});
