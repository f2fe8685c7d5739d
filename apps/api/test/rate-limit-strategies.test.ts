import { LIMIT_STRATEGIES, type LimitStrategy } from '@cache-system/contracts';
import { RedisServer } from '@cache-system/cache-engine';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { type Order, orderShared } from '../src/auth/limits/limit-script.js';
import type { Rule } from '../src/auth/limits/rule.js';
import { openTally } from '../src/auth/limits/strategies.js';
import { type Tally, wholeFree } from '../src/auth/limits/tally.js';
import { onRealStores } from './support/service.js';

const START_MS = 1_763_683_200_123.456;
const NOTHING: Order = { need: 0, ahead: 0, divisor: 1, back: 0, stamp: 0 };

/** What both are asked of, and what both say. */
interface Step {
  readonly atMs: number;
  readonly need: number;
  readonly back: number;
}
interface Told {
  readonly granted: number;
  readonly left: number;
  readonly stamp: number;
  readonly lifeMs: number;
  readonly waitMs: number;
  readonly resetMs: number;
}

function inMemory(tally: Tally, { atMs, need, back }: Step, stamp: number): Told {
  tally.settle(atMs);
  if (back > 0) tally.giveBack(back, stamp);
  const granted = Math.min(need, wholeFree(tally));
  if (granted > 0) tally.spend(granted);
  const { stamp: now, lifeMs, waitMs, resetMs } = tally;
  return { granted, left: wholeFree(tally), stamp: now, lifeMs, waitMs, resetMs };
}

/** Numbers that look random and are the same each time (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const RULES: readonly Omit<Rule, 'strategy'>[] = [
  { limit: 5, windowMs: 1000, burst: 3 },
  { limit: 1000, windowMs: 3_600_000, burst: 50 },
  { limit: 60_000, windowMs: 60_000, burst: 700 },
  { limit: 7, windowMs: 90_000, burst: 1 },
];

onRealStores('in Redis', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let server: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
    server = new RedisServer({
      access: { database: 0 },
      nodes: [{ host: '127.0.0.1', port: redis.port }],
      maxConnections: 5,
    });
    await server.connect();
  });
  afterAll(async () => {
    await server.close();
    await redis.stop();
  });

  const combinations = LIMIT_STRATEGIES.flatMap((strategy) =>
    RULES.map((rule, index): [LimitStrategy, number, Rule] => [strategy, index, { ...rule, strategy }]),
  );
  test.each(combinations)('a %s counts as it does in memory (rule %d)', async (strategy, index, rule) => {
    const random = randomFrom(index * 7 + LIMIT_STRATEGIES.indexOf(strategy));
    const subject = `same:${index}`;
    const tally = openTally(rule, START_MS);
    let atMs = START_MS;
    let stamp = 0;
    let held = 0;
    for (let i = 0; i < 250; i++) {
      const pause = random();
      // Mostly short, now and then longer than the window, and sometimes the clock goes back.
      if (pause < 0.9) atMs += (random() * rule.windowMs) / rule.limit;
      else if (pause < 0.97) atMs += random() * 2 * rule.windowMs;
      else if (held > 0) atMs -= random() * rule.windowMs;
      const back = held > 0 && random() < 0.3 ? Math.floor(random() * held) : 0;
      const step = { atMs, need: Math.floor((random() * rule.limit) / 3) + 1, back };
      const expected = inMemory(tally, step, stamp);
      const told = await orderShared(server, subject, rule, { ...NOTHING, ...step, stamp }, atMs);
      expect(told).toEqual(expected);
      stamp = told.stamp;
      held = told.granted;
    }
  });

  test.each(LIMIT_STRATEGIES)(
    'a %s is counted by the clock of Redis, and forgotten when nothing counts',
    async (strategy) => {
      const rule: Rule = { strategy, limit: 100, windowMs: 60_000, burst: 10 };
      const need = 4;
      const told = await orderShared(server, 'clock', rule, { ...NOTHING, need });
      expect(told.granted).toBe(4);
      const [[name, ttlMs]] = await ttls('rate:*clock');
      expect(name).toBe(`rate:${strategy}:clock`);
      expect(ttlMs).toBeGreaterThan(0);
      expect(ttlMs).toBeLessThanOrEqual(Math.ceil(told.resetMs));
      await server.send(['DEL', name]);
    },
  );

  test('a refusal writes nothing', async () => {
    const rule: Rule = { strategy: 'token-bucket', limit: 1, windowMs: 86_400_000, burst: 1 };
    await orderShared(server, 'spent', rule, { ...NOTHING, need: 1 });
    const before = await server.send<Buffer>(['GET', 'rate:token-bucket:spent']);
    expect(await orderShared(server, 'spent', rule, { ...NOTHING, need: 5 })).toMatchObject({ granted: 0, left: 0 });
    expect(await server.send<Buffer>(['GET', 'rate:token-bucket:spent'])).toEqual(before);
  });

  test('those that wait come before a lease, which takes a part of what is left only', async () => {
    const rule: Rule = { strategy: 'token-bucket', limit: 1, windowMs: 86_400_000, burst: 100 };
    const first = await orderShared(server, 'lease', rule, { ...NOTHING, need: 40, ahead: 1000, divisor: 6 });
    expect(first).toMatchObject({ granted: 50, left: 50 });
    expect(await orderShared(server, 'lease', rule, { ...NOTHING, need: 60, ahead: 1000, divisor: 6 })).toMatchObject({
      granted: 50,
      left: 0,
    });
    expect(await orderShared(server, 'lease', rule, { ...NOTHING, back: 7 })).toMatchObject({ granted: 0, left: 7 });
  });

  test('numbers of any size keep their digits', async () => {
    const rule: Rule = { strategy: 'leaky-bucket', limit: 6_000_000_000, windowMs: 3_600_000, burst: 10_000_000 };
    const tally = openTally(rule, START_MS);
    for (let i = 0; i < 50; i++) {
      const step = { atMs: START_MS + i / 7, need: 200_001, back: 0 };
      expect(await orderShared(server, 'large', rule, { ...NOTHING, ...step }, step.atMs)).toEqual(
        inMemory(tally, step, 0),
      );
    }
  });

  async function ttls(pattern: string): Promise<[[string, number], ...[string, number][]]> {
    const [, names] = await server.send<[Buffer, Buffer[]]>(['SCAN', '0', 'MATCH', pattern, 'COUNT', '10000']);
    const found = await Promise.all(
      names.map(async (name): Promise<[string, number]> => [String(name), await server.send<number>(['PTTL', name])]),
    );
    return found as [[string, number], ...[string, number][]];
  }
});
