import { healthSchema, probeSchema } from '@cache-system/contracts';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { Client, entryPath } from './support/client.js';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { expectError, expectExactly, expectViolation } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { onRealStores, type Service, startService, STORES } from './support/service.js';

const HEALTH = '/v1/monitor/health';

let service: Service;
let anyone: Client;
beforeAll(async () => {
  service = await startService();
  anyone = service.client.with({});
});
afterAll(() => service.stop());

describe('the probes', () => {
  test('answer everybody, whatever credentials come along', async () => {
    for (const path of ['/health/live', '/health/ready']) {
      for (const headers of [{}, { 'x-api-key': 'wrong' }, { authorization: 'Bearer a.b.c' }]) {
        const answer = await anyone.get(path, { headers });
        expect(answer.status).toBe(200);
        expect(expectExactly(probeSchema, answer.json).status).toBe('ok');
      }
    }
  });

  test('tell of every part that the service needs', async () => {
    const { details } = probeSchema.parse((await anyone.get('/health/ready')).json);
    const up = { status: 'up' };
    expect(details).toEqual({ lifecycle: up, cache_l1: up, cache_l2: up, database: up });
  });

  test('are at the root and nowhere else', async () => {
    expectError(await anyone.get('/v1/health/live'), 404, 'ROUTE_NOT_FOUND');
    expectError(await anyone.get('/health'), 404, 'ROUTE_NOT_FOUND');
    expectError(await anyone.post('/health/ready'), 405, 'METHOD_NOT_ALLOWED');
  });
});

describe('the health of the node', () => {
  const health = async (query = '') => {
    const answer = await service.client.get(HEALTH + query);
    expect(answer.status).toBe(200);
    return expectExactly(healthSchema, answer.json);
  };

  test('is told without the components unless they are asked for', async () => {
    const basic = await health();
    expect(basic).toMatchObject({ status: 'healthy', uptime: expect.stringMatching(/^\d+d \d+h \d+m$/) as string });
    expect(Math.abs(Date.parse(basic.timestamp) - Date.now())).toBeLessThan(5000);
    expect(basic).not.toHaveProperty('components');
    expect(await health('?detailed=false')).not.toHaveProperty('components');
    const real = STORES === 'real';
    expect((await health('?detailed=true')).components).toMatchObject({
      cache_l1: { status: 'healthy', type: 'memory', memory_usage_percent: expect.any(Number) as number },
      cache_l2: {
        status: 'healthy',
        type: real ? 'redis' : 'embedded',
        response_time_ms: expect.any(Number) as number,
      },
      database: { status: 'healthy', type: real ? 'postgres' : 'embedded' },
    });
  });

  test('measures, and says null where there is nothing to measure', async () => {
    const fresh = await startService();
    const read = () => fresh.client.get(HEALTH).then(({ json }) => healthSchema.parse(json).overall_performance);
    expect((await read()).cache_hit_ratio).toBeNull();
    await fresh.client.put(entryPath('there'), { value: 1 });
    for (const key of ['there', 'there', 'there', 'not-there']) await fresh.client.get(entryPath(key));
    const measured = await read();
    expect(measured.cache_hit_ratio).toBe(0.75);
    expect(measured.error_rate).toBe(0);
    expect(measured.requests_per_second).toBeGreaterThan(0);
    expect(measured.average_response_time_ms).toBeGreaterThan(0);
    await fresh.stop();
  });

  test.each([
    ['detailed=yes', 'detailed'],
    ['timeout=0', 'timeout'],
    ['timeout=-1', 'timeout'],
    ['timeout=61', 'timeout'],
    ['timeout=soon', 'timeout'],
    ['detail=true', ''],
  ])('is not told for a query that is wrong: %s', async (query, field) => {
    expectViolation(await service.client.get(`${HEALTH}?${query}`), field, /./);
  });

  test('is told to who may monitor, and to nobody else', async () => {
    const { api_key: key } = await mintKey(service.client, { permissions: ['monitor:read'] });
    expect((await anyone.get(HEALTH, { headers: { 'x-api-key': key } })).status).toBe(200);
    expectError(await anyone.get(HEALTH), 401, 'AUTHENTICATION_FAILED');
  });
});

/** Freezing needs a Redis of one's own. */
onRealStores('a node whose Redis is frozen', () => {
  test('is alive and not ready, says why, and is ready again after the thaw', async () => {
    const redis = await startRedis();
    const frozen = await startService({ REDIS_URL: redis.url, CACHE__LAYERS__L2__DEADLINE_MS: '200' });
    const ready = () => frozen.client.with({}).get('/health/ready');
    redis.freeze();
    const startedAt = performance.now();
    const details = expectError(await ready(), 503, 'SERVICE_OVERLOADED');
    expect(performance.now() - startedAt).toBeLessThan(3000);
    expect(details).toEqual({ cache_l2: { status: 'down', message: 'L2 did not answer within 200 ms' } });
    expect((await anyoneOf(frozen).get('/health/live')).status).toBe(200);

    const { json } = await frozen.client.get(`${HEALTH}?detailed=true`);
    expect(expectExactly(healthSchema, json)).toMatchObject({
      status: 'unhealthy',
      components: { cache_l2: { status: 'unhealthy', response_time_ms: null }, database: { status: 'healthy' } },
    });
    redis.thaw();
    await eventually('it is ready', async () => (await ready()).status === 200);
    await frozen.stop();
    await redis.stop();
  });
});

function anyoneOf({ api }: Service): Client {
  return new Client(api.url);
}
