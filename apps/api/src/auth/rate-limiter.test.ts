import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, configSchema, type RateLimit, type Tier } from '@cache-system/contracts';
import { DataSource } from 'typeorm';
import { AuditLog } from '../platform/audit/audit-log.js';
import { type Layers, openLayers } from '../platform/engine/layers.js';
import { readEnvironment } from '../platform/env.js';
import { LiveConfig } from '../platform/live-config.js';
import { RateLimitRejections } from './limits/rejections.js';
import { principal } from './principal.js';
import { RateLimiter } from './rate-limiter.js';

type Limits = Partial<Record<keyof Config['rate_limits'], unknown>>;

const folder = mkdtempSync(join(tmpdir(), 'rate-limiter-'));
let layers: Layers;
beforeAll(async () => {
  layers = await openLayers(readEnvironment({ DATA_DIR: folder }), new LiveConfig(configSchema.parse({})));
});
afterAll(async () => {
  await layers.close();
  rmSync(folder, { recursive: true });
});

const configOf = (limits: Limits, server = {}) => configSchema.parse({ rate_limits: limits, server });

function limiterWith(limits: Limits, server = {}) {
  const config = new LiveConfig(configOf(limits, server));
  const database = new DataSource({ type: 'postgres' });
  const rejections = new RateLimitRejections(database, new AuditLog(database));
  return { limiter: new RateLimiter(config, layers, rejections), config };
}

function callerOf(tier: Tier, rateLimit: RateLimit | null = null) {
  return principal({
    type: 'api_key',
    id: 'key_1',
    name: 'a key',
    role: null,
    grants: ['cache:read'],
    namespace: 'default',
    keyPrefixes: [],
    tier,
    rateLimit,
    sessionId: null,
    expiresAtMs: Infinity,
  });
}

const SOCKET = { remoteAddress: '192.0.2.1' };
const ROUTE = 'GET /v1/cache/:key';

describe('a configuration that is replaced', () => {
  test('is in force with the next request, and what was used stays used', () => {
    const { limiter, config } = limiterWith({ tiers: { free: { requests_per_hour: 1, burst_size: 10 } } });
    const caller = callerOf('free');
    for (let i = 0; i < 6; i++) limiter.countAtOnce(caller, ROUTE, SOCKET);
    expect(limiter.ofCaller(caller)?.tell()).toMatchObject({ remaining: 4, limitText: '1' });
    config.replace(configOf({ tiers: { free: { requests_per_hour: 2, burst_size: 50 } } }));
    const told = { remaining: 44, limitText: '2', policyText: '"key";q=2;w=3600' };
    expect(limiter.ofCaller(caller)?.tell()).toMatchObject(told);
    config.replace(configOf({ tiers: { free: { requests_per_hour: 2, burst_size: 3 } } }));
    expect(limiter.countAtOnce(caller, ROUTE, SOCKET)).toBe(false);
    config.replace(configOf({ enabled: false }));
    expect(limiter.countAtOnce(caller, ROUTE, SOCKET)).toBeUndefined();
  });

  test('may name another strategy, which begins anew', () => {
    const { limiter, config } = limiterWith({});
    const caller = callerOf('basic');
    limiter.countAtOnce(caller, ROUTE, SOCKET);
    config.replace(configOf({ key: { strategy: 'sliding-window' } }));
    expect(limiter.ofCaller(caller)).toMatchObject({ remaining: 10_000, strategy: 'sliding-window' });
  });

  test('switches dimensions on and off', () => {
    const { limiter, config } = limiterWith({});
    expect(limiter.ofAddress('192.0.2.1')).toBeUndefined();
    config.replace(configOf({ ip: { enabled: true, limit: 7 } }));
    expect(limiter.ofAddress('192.0.2.1')).toMatchObject({ remaining: 7, strategy: 'fixed-window' });
  });
});

test('a key that is given another limit has it with the next request, and what it used stays used', () => {
  const { limiter } = limiterWith({});
  const before = callerOf('basic', { requests_per_minute: 1, burst_size: 5 });
  for (let i = 0; i < 3; i++) limiter.countAtOnce(before, ROUTE, SOCKET);
  expect(limiter.ofCaller(callerOf('basic', { requests_per_minute: 2, burst_size: 9 }))).toMatchObject({
    remaining: 6,
  });
  expect(limiter.ofCaller(callerOf('pro'))).toMatchObject({ remaining: 997, limitText: '100000' });
});

describe('a request that is counted at once', () => {
  const all = {
    endpoint: { enabled: true, limit: 5 },
    ip: { enabled: true, limit: 4 },
    global: { enabled: true, limit: 1, burst: 3 },
  };

  test('is counted against everything, or against nothing', () => {
    const { limiter } = limiterWith(all);
    const caller = callerOf('free');
    const counted = Array.from({ length: 5 }, () => limiter.countAtOnce(caller, ROUTE, SOCKET));
    expect(counted.map((each) => each !== false)).toEqual([true, true, true, false, false]);
    expect(limiter.ofCaller(caller)).toMatchObject({ remaining: 47 });
    expect(limiter.ofEndpoint(ROUTE)).toMatchObject({ remaining: 2 });
    expect(limiter.ofAddress(SOCKET.remoteAddress)).toMatchObject({ remaining: 1 });
  });

  test('tells of the limit that is nearest, and of all of them', () => {
    const { limiter } = limiterWith(all);
    const state = limiter.countAtOnce(callerOf('free'), ROUTE, SOCKET);
    expect(state && state.tell()).toMatchObject({
      limitText: '1',
      strategy: 'leaky-bucket',
      remaining: 2,
      policyText: '"ip";q=4;w=60, "key";q=1000;w=3600, "endpoint";q=5;w=60, "global";q=1;w=60',
    });
  });

  test('is not counted where a proxy says whose it is', () => {
    const { limiter } = limiterWith(all, { trusted_proxies: ['192.0.2.1'] });
    expect(limiter.countAtOnce(callerOf('free'), ROUTE, SOCKET)).toBe(false);
  });

  test('passes at once where limits are switched off, also behind a proxy', () => {
    const { limiter } = limiterWith({ ...all, enabled: false }, { trusted_proxies: ['192.0.2.1'] });
    expect(limiter.countAtOnce(callerOf('free'), ROUTE, SOCKET)).toBeUndefined();
  });
});

test('the limit of a single route goes before that of all', () => {
  const routes = { 'POST /v1/auth/login': { limit: 3, window: 10 } };
  const { limiter } = limiterWith({ endpoint: { enabled: true, routes } });
  expect(limiter.ofEndpoint('POST /v1/auth/login')).toMatchObject({ limitText: '3', windowText: '10' });
  expect(limiter.ofEndpoint('POST /v1/auth/refresh')).toMatchObject({ limitText: '600000', windowText: '60' });
  // A name that every object has is not a limit.
  expect(limiter.ofEndpoint('constructor')).toMatchObject({ limitText: '600000' });
});

test.each(['GET /v1/cache/{key}', 'GET /v1/cache/:key', 'GET /v1/cache/{name}'])(
  'the limit of a single route is found as it is documented, and as it is declared (%s)',
  (name) => {
    const { limiter } = limiterWith({ endpoint: { enabled: true, routes: { [name]: { limit: 3, window: 10 } } } });
    expect(limiter.ofEndpoint('GET /v1/cache/:key')).toMatchObject({ limitText: '3' });
    expect(limiter.ofEndpoint('GET /v1/cache/:key/events')).toMatchObject({ limitText: '600000' });
    expect(limiter.ofEndpoint('PUT /v1/cache/:key')).toMatchObject({ limitText: '600000' });
  },
);

test('of many addresses the last ones are kept, and those of before forgotten', () => {
  const { limiter } = limiterWith({ ip: { enabled: true, limit: 5 } });
  const spend = (address: string) => {
    const allowance = limiter.ofAddress(address)!;
    allowance.take(Date.now());
    return allowance;
  };
  const first = spend('198.51.100.1');
  for (let i = 0; i < 30_000; i++) {
    spend(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    // Somebody who comes all the time is not forgotten for those that come once.
    if (i % 5000 === 0) spend('198.51.100.2');
  }
  expect(limiter.ofAddress('198.51.100.1')).not.toBe(first);
  expect(limiter.ofAddress('198.51.100.2')).toMatchObject({ remaining: 0 });
});
