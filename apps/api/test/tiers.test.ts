import { randomBytes } from 'node:crypto';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { startHttpOrigin } from './support/http-origin.js';
import { mintKey } from './support/keys.js';
import { type Service, startService } from './support/service.js';

const LIMIT_BYTES = 1024 * 1024;
const RATE = { requests_per_minute: 1_000_000, burst_size: 100_000 };
/** Nothing that compression makes smaller. */
const text = (bytes: number) => randomBytes(bytes).toString('base64').slice(0, bytes);
const value = (bytes: number) => ({ value: text(bytes) });

let service: Service;
let admin: Client;
let origin: Awaited<ReturnType<typeof startHttpOrigin>>;
beforeAll(async () => {
  origin = await startHttpOrigin();
  const sources = {
    allowed_hosts: ['127.0.0.1'],
    definitions: [
      {
        name: 'shop',
        prefix: 'shop:',
        namespace: 'full',
        type: 'http',
        http: { url: `${origin.url}/{suffix}`, store: {} },
      },
      {
        name: 'desk',
        prefix: 'desk:',
        namespace: 'told',
        type: 'http',
        http: { url: `${origin.url}/{suffix}`, store: {} },
      },
    ],
  };
  service = await startService({
    RATE_LIMITS__TIERS__FREE__CACHE_SIZE_MB: '1',
    RATE_LIMITS__TIERS__BASIC__CACHE_SIZE_MB: '1',
    RATE_LIMITS__TIERS__PRO__FEATURES: '["bulk"]',
    CACHE__SOURCES: JSON.stringify(sources),
  });
  admin = await adminClient(service);
  await eventually('all is counted', async () => (await cacheSize(admin)).used_bytes !== null);
});
afterAll(async () => {
  await service.stop();
  await origin.stop();
});

async function clientOf(tier: string, namespace: string): Promise<Client> {
  const permissions = ['cache:read', 'cache:write', 'monitor:read'];
  const { api_key: key } = await mintKey(admin, { permissions, tier, namespace, rate_limit: RATE });
  return service.client.with({ 'x-api-key': key });
}

async function cacheSize(client: Client) {
  const { json } = await client.get('/v1/auth/me');
  return (json as { cache_size: { used_bytes: number | null; limit_bytes: number | null } }).cache_size;
}

/** Writes until there is no room for what is written. */
async function fill(client: Client): Promise<void> {
  for (let index = 0; (await client.put(entryPath(`fill-${index}`), value(100_000))).status === 201; index++) {
    if (index > 20) throw new Error('it is never full');
  }
}

describe('a namespace that takes as much as the tier of a key allows', () => {
  let free: Client;
  beforeAll(async () => {
    free = await clientOf('free', 'full');
    await fill(free);
  });

  test('takes nothing more by that key, and says why and what to do', async () => {
    const details = expectError(await free.put(entryPath('more'), value(100_000)), 507, 'STORAGE_FULL');
    expect(details).toMatchObject({
      key: 'more',
      namespace: 'full',
      limit_bytes: LIMIT_BYTES,
      reason: expect.stringMatching(/tier/) as string,
      suggestions: [expect.stringMatching(/Delete/), expect.stringMatching(/higher tier/)],
    });
    expect(details['used_bytes']).toBeGreaterThan(0.9 * LIMIT_BYTES);
    expect(details['used_bytes']).toBeLessThanOrEqual(1.02 * LIMIT_BYTES);
    expect((await free.get(entryPath('more'))).status).toBe(404);
  });

  test.each([
    [
      'around the upper layers',
      (client: Client) => client.put(entryPath('a', '?strategy=write-around'), value(100_000)),
    ],
    ['as an object', (client: Client) => client.post('/object/a', text(100_000))],
    ['by a patch', (client: Client) => client.patch(entryPath('patched'), { value: { more: text(100_000) } })],
    ['with tags', (client: Client) => client.put(entryPath('a'), { ...value(100_000), options: { tags: ['t'] } })],
  ])('takes nothing more written %s', async (_, write) => {
    const enterprise = await clientOf('enterprise', 'full');
    await enterprise.put(entryPath('patched'), { value: {} });
    expectError(await write(free), 507, 'STORAGE_FULL');
  });

  test('takes from a bulk request what there is room for', async () => {
    const basic = await clientOf('basic', 'bulk');
    const entries = Array.from({ length: 4 }, (_, index) => ({ key: `bulk-${index}`, ...value(300_000) }));
    const { status, json } = await basic.post('/v1/cache/bulk/set', { entries });
    expect(status).toBe(200);
    const { results, summary } = json as { results: Record<string, object>; summary: object };
    expect(summary).toEqual({ total_keys: 4, created: 3, updated: 0, errors: 1 });
    expect(Object.values(results)).toContainEqual({
      status: 'error',
      code: 'STORAGE_FULL',
      error: expect.stringMatching(/tier/) as string,
    });
  });

  test('takes what is smaller than what it replaces, deletions, and then others', async () => {
    expect((await free.put(entryPath('fill-0'), value(90_000))).status).toBe(200);
    expect((await free.delete(entryPath('fill-1'))).status).toBe(204);
    expect((await free.put(entryPath('again'), value(90_000))).status).toBe(201);
  });

  test('takes more by a key of a tier that allows more, and by a user', async () => {
    const pro = await clientOf('pro', 'full');
    expect((await pro.put(entryPath('by-pro'), value(200_000))).status).toBe(201);
    const user = admin.with({ ...admin.headers, 'x-cache-namespace': 'full' });
    expect((await user.put(entryPath('by-user'), value(200_000))).status).toBe(201);
    expectError(await free.put(entryPath('more'), value(100_000)), 507, 'STORAGE_FULL');
  });

  test('is not another namespace', async () => {
    const elsewhere = await clientOf('free', 'elsewhere');
    expect((await elsewhere.put(entryPath('a'), value(100_000))).status).toBe(201);
  });

  test('keeps nothing of a source, but hands it out; and the source is not told what the cache has no room for', async () => {
    const body = JSON.stringify(text(100_000));
    origin.answer({ body }, { body });
    const read = await free.get(entryPath('shop:1'));
    expect([read.status, read.headers['x-cache-layer']]).toEqual([200, 'SOURCE']);
    const { used_bytes: used } = await cacheSize(free);
    expect((await free.get(entryPath('shop:1'))).headers['x-cache-layer']).toBe('SOURCE');
    expect((await cacheSize(free)).used_bytes).toBe(used);
    expectError(await free.put(entryPath('shop:1'), value(100_000)), 507, 'STORAGE_FULL');
    expect(origin.requests.map(({ method }) => method)).toEqual(['GET', 'GET']);
  });
});

describe('a write of which the source was told while there was room', () => {
  test('reaches the layers though it has to be tried again when there is none any more', async () => {
    const [free, enterprise] = [await clientOf('free', 'told'), await clientOf('enterprise', 'told')];
    expect((await free.put(entryPath('desk:1'), { value: { paid: false } })).status).toBe(201);
    const toldBefore = origin.requests.length;
    origin.answer({ delayMs: 700, body: 'null' });
    const patching = free.patch(entryPath('desk:1'), { value: { paid: true } });
    await origin.received(toldBefore + 1);
    await Promise.all([1, 2, 3].map((index) => enterprise.put(entryPath(`fill-${index}`), value(400_000))));
    await enterprise.post('/v1/cache/invalidate', { keys: ['desk:1'] });
    expect((await patching).status).toBeLessThan(300);
    const read = await free.get(entryPath('desk:1'));
    expect(read.json).toMatchObject({ value: { paid: true } });
    expect(read.headers['x-cache-layer']).not.toBe('SOURCE');
  });

  test('is written to the source alone where the layers are to keep nothing of it', async () => {
    const free = await clientOf('free', 'told');
    expectError(await free.put(entryPath('more'), value(100_000)), 507, 'STORAGE_FULL');
    const written = await free.put(entryPath('desk:2', '?strategy=write-around'), value(1000));
    expect(written.status).toBeLessThan(300);
    expect(origin.requests.at(-1)?.method).toBe('PUT');
  });
});

describe('who asks who they are', () => {
  test('is told what their namespace takes, and may take', async () => {
    const free = await clientOf('free', 'asked');
    expect(await cacheSize(free)).toEqual({ used_bytes: 0, limit_bytes: LIMIT_BYTES });
    await free.put(entryPath('a'), value(1000));
    await eventually('it is counted', async () => (await cacheSize(free)).used_bytes === 'asked:a'.length + 72 + 1002);
    await free.put(entryPath('b', '?ttl=1'), value(1000));
    await free.delete(entryPath('a'));
    await eventually('nothing is left', async () => (await cacheSize(free)).used_bytes === 0);
  });

  test('is told of no limit where there is none', async () => {
    expect((await cacheSize(admin)).limit_bytes).toBeNull();
  });
});

describe('a feature that the tier of a key lacks', () => {
  test.each([
    ['POST', '/v1/cache/bulk/get', 'bulk'],
    ['POST', '/v1/cache/bulk/set', 'bulk'],
    ['POST', '/v1/cache/bulk/delete', 'bulk'],
    ['GET', '/v1/monitor/health', 'monitoring'],
  ])('is refused: %s %s', async (method, path, feature) => {
    const free = await clientOf('free', 'features');
    const body = method === 'POST' ? { keys: ['a'], entries: [] } : undefined;
    const details = expectError(await free.send(method, path, { body }), 403, 'INSUFFICIENT_PERMISSIONS');
    expect(details).toEqual({ feature, tier: 'free', required_tier: 'basic' });
  });

  test('is there for a tier that has it', async () => {
    const basic = await clientOf('basic', 'features');
    expect((await basic.get('/v1/monitor/health')).status).toBe(200);
    expect((await basic.post('/v1/cache/bulk/get', { keys: ['a'] })).status).toBe(200);
  });

  test('does not keep anybody from single entries and invalidation', async () => {
    const free = await clientOf('free', 'features');
    expect((await free.put(entryPath('a'), { value: 1 })).status).toBe(201);
    expect((await free.post('/v1/cache/invalidate', { keys: ['a'] })).status).toBe(200);
  });

  test('is what the config says', async () => {
    const pro = await clientOf('pro', 'features');
    expect((await pro.post('/v1/cache/bulk/get', { keys: ['a'] })).status).toBe(200);
    expectError(await pro.get('/v1/monitor/health'), 403, 'INSUFFICIENT_PERMISSIONS');
  });
});
