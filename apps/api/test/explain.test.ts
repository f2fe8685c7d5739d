import { type Explain, explainSchema } from '@cache-system/contracts';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectError, expectExactly, expectViolation } from './support/expectations.js';
import { type HttpOrigin, startHttpOrigin } from './support/http-origin.js';
import { mintKey } from './support/keys.js';
import { onRealStores, type Service, startService, testOnRealStores } from './support/service.js';

type Headers = Readonly<Record<string, string>>;

const SECRET_PATH = 'only-the-service-knows';
const CALL_TIMEOUT_MS = 300;

let origin: HttpOrigin;
let service: Service;
let client: Client;
let sources: string;
beforeAll(async () => {
  origin = await startHttpOrigin();
  const source = (name: string, more: object = {}) => ({
    name,
    prefix: `${name}:`,
    type: 'http',
    hard_timeout_ms: CALL_TIMEOUT_MS,
    soft_timeout_ms: 100,
    retries: { max: 0 },
    breaker: { failures: 1000 },
    ...more,
    http: { url: `${origin.url}/${SECRET_PATH}/{suffix}` },
  });
  sources = JSON.stringify({
    allowed_hosts: ['127.0.0.1'],
    definitions: [
      source('book', { negative_ttl: 60, hard_timeout_ms: 10_000 }),
      source('swr', { ttl: 1, stale_while_revalidate: 60 }),
      source('sie', { ttl: 1, stale_if_error: 60 }),
      source('slow'),
      source('fragile', { breaker: { failures: 1, open_ms: 60_000 } }),
    ],
  });
  service = await startService({ CACHE__SOURCES: sources });
  client = service.client;
});
afterAll(async () => {
  await service.stop();
  await origin.stop();
});

/** What holds for every explanation, whatever it explains. */
function checked(explain: unknown, text: string): Explain {
  const exact = expectExactly(explainSchema, explain);
  // The whole read took at least as long as its parts.
  const parts = exact.layers.map(({ duration_ms: durationMs }) => durationMs);
  expect(parts.reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(exact.duration_ms + 0.01);
  expect(text).not.toContain(SECRET_PATH);
  expect(text).not.toMatch(/127\.0\.0\.1|default:/);
  return exact;
}

async function read(key: string, { by = client, headers = {}, query = '' }: Asked = {}) {
  const answer = await by.get(entryPath(key, `?explain=true${query}`), { headers });
  const { explain } = answer.json as { explain: unknown };
  expect(answer.status).toBe(200);
  return { answer, explain: checked(explain, answer.text) };
}
async function missing(key: string, { by = client, headers = {}, query = '' }: Asked = {}) {
  const answer = await by.get(entryPath(key, `?explain=true${query}`), { headers });
  const { explain } = expectError(answer, 404, 'CACHE_KEY_NOT_FOUND');
  expect(explain).toMatchObject({ status: 'miss', layer: null });
  return checked(explain, answer.text);
}
interface Asked {
  readonly by?: Client;
  readonly headers?: Headers;
  readonly query?: string;
}

const asked = ({ layers }: Explain) => layers.map(({ layer, outcome }) => `${layer} ${outcome}`);
const dropFromL1 = (key: string) => client.delete(entryPath(key, '?cascade=false'));
/** An entry that is there only as stale. */
async function expired(key: string, options?: object) {
  if (options) await client.put(entryPath(key), { value: 'old', options });
  else await client.get(entryPath(key));
  await eventually('it has expired', async () => {
    return (await client.get(entryPath(key), { headers: { 'cache-control': 'only-if-cached' } })).status === 404;
  });
}

describe('why an entry is the answer', () => {
  test('a copy in L1', async () => {
    await client.put(entryPath('k'), { value: { n: 1 } });
    const { answer, explain } = await read('k');
    expect(answer.json).toMatchObject({ key: 'k', value: { n: 1 } });
    expect(answer.headers).toMatchObject({ 'x-cache-status': 'HIT', 'x-cache-layer': 'L1' });
    expect(explain).toMatchObject({
      status: 'hit',
      layer: 'L1',
      result: 'L1 has the entry, which is current',
      fences: [],
      tags: [],
      lease: null,
      source: null,
      backplane: { trusted: true },
    });
    expect(asked(explain)).toEqual(['L1 hit']);
  });

  test('an entry below L1, of which L1 takes a copy then', async () => {
    await client.put(entryPath('below'), { value: 1 });
    await dropFromL1('below');
    const { answer, explain } = await read('below', { query: '&include_metadata=true' });
    expect(answer.json).toMatchObject({ metadata: { cache_layer: 'L2' } });
    expect(explain).toMatchObject({ status: 'hit', layer: 'L2', fences: [{ layer: 'L1', outcome: 'kept' }] });
    expect(explain.result).toBe('L2 has the entry, which is current; L1 has none');
    expect(asked(explain)).toEqual(['L1 miss', 'L2 hit']);
    expect(asked((await read('below')).explain)).toEqual(['L1 hit']);
  });

  test('an entry of which only the newest version will do', async () => {
    await client.put(entryPath('newest'), { value: 1 });
    const { explain } = await read('newest', { headers: { 'cache-control': 'no-cache' } });
    expect(asked(explain)).toEqual(['L1 skipped', 'L2 hit']);
    expect(explain.layers[0]!.reason).toContain('no-cache');
  });

  test('tags, whose generations are those of now', async () => {
    await client.put(entryPath('tagged'), { value: 1, options: { tags: ['one', 'zwei ü'] } });
    for (const place of ['L1', 'L2']) {
      const { explain } = await read('tagged');
      expect(explain.layer).toBe(place);
      expect(explain.tags.map(({ tag }) => tag)).toEqual(['one', 'zwei ü']);
      for (const { stored_generation: stored, current_generation: current } of explain.tags) {
        expect(stored).toMatch(/^\d+$/);
        expect(current).toBe(stored);
      }
      await dropFromL1('tagged');
    }
  });

  test('a stale entry that the caller takes', async () => {
    await expired('stale', { ttl: 1, stale_if_error: 60 });
    const { answer, explain } = await read('stale', { headers: { 'cache-control': 'max-stale' } });
    expect(answer.headers['x-cache-status']).toBe('STALE');
    expect(explain).toMatchObject({ status: 'stale', layer: 'L2', lease: { state: 'free', expires_at: null } });
    expect(asked(explain)).toEqual([expect.stringMatching(/^L1 (stale|miss)$/), 'L2 stale']);
    expect(explain.layers[1]!.reason).toMatch(/^it expired \d+ s ago and is kept as stale for \d+ s more$/);
    expect(explain.result).toContain('max-stale');
  });

  test('also where the caller has the entry already', async () => {
    const { headers } = await client.put(entryPath('known'), { value: 1 });
    const { answer } = await read('known', { headers: { 'if-none-match': String(headers['etag']) } });
    expect(answer).toMatchObject({ status: 200, headers: { etag: headers['etag'] } });
  });
});

describe('why there is no entry', () => {
  test('no layer has it, and it has no source', async () => {
    const explain = await missing('absent');
    expect(explain).toMatchObject({ source: null, lease: { state: 'free' }, fences: [] });
    expect(explain.result).toBe('no layer has the entry; the key has no source');
    expect(asked(explain)).toEqual(['L1 miss', 'L2 miss']);
  });

  test('it has expired', async () => {
    await client.put(entryPath('brief?'), { value: 1, options: { ttl: 1 } });
    await eventually('it is gone', async () => (await client.get(entryPath('brief?'))).status === 404);
    expect(asked(await missing('brief?'))).toEqual(['L1 miss', 'L2 miss']);
    await expired('was', { ttl: 1, stale_if_error: 60 });
    const explain = await missing('was');
    expect(asked(explain).at(-1)).toBe('L2 stale');
    expect(explain.result).toMatch(/L2 has a stale one: it expired \d+ s ago/);
  });

  test('a tag of it was invalidated', async () => {
    await client.put(entryPath('ended'), { value: 1, options: { tags: ['over'] } });
    await client.post('/v1/cache/invalidate', { tags: ['over'] });
    // What is left of it is cleared away by then, or is not.
    expect(asked(await missing('ended')).at(-1)).toMatch(/^L2 (fenced|miss)$/);
  });

  test('somebody has the lease to fill it', async () => {
    const sentMs = Date.now();
    const granted = await missing('leased', { query: '&lease=30' });
    expect(granted.lease).toMatchObject({ state: 'granted' });
    const refused = await missing('leased', { query: '&lease=30' });
    expect(refused.lease).toMatchObject({ state: 'taken' });
    // Who only looks neither takes it nor ends it.
    const seen = await missing('leased');
    expect(await missing('leased')).toMatchObject({ lease: seen.lease });
    expect(seen.lease).toMatchObject({ state: 'taken' });
    expect(Math.abs(Date.parse(seen.lease!.expires_at!) - sentMs - 30_000)).toBeLessThan(5000);
  });

  test('the lease that a caller waited for came to nothing', async () => {
    await missing('waited', { query: '&lease=30' });
    const explain = await missing('waited', { query: '&lease=30', headers: { prefer: 'wait=1' } });
    expect(explain.looks).toBeGreaterThan(1);
    expect(asked(explain)).toEqual(['L2 miss']);
  });
});

describe('what the source has to do with it', () => {
  test('it gave the entry, once, to all that asked for it together', async () => {
    origin.answer({ body: '{"title":"A book"}', delayMs: 1000 });
    const reads = await Promise.all([read('book:1'), read('book:1'), read('book:1')]);
    for (const { answer, explain } of reads) {
      expect(answer.headers).toMatchObject({ 'x-cache-status': 'MISS', 'x-cache-layer': 'SOURCE' });
      expect(explain).toMatchObject({
        status: 'miss',
        layer: 'SOURCE',
        lease: { state: 'used' },
        source: { name: 'book', outcome: 'found', kept: true },
      });
      expect(explain.source!.duration_ms).toBeGreaterThan(900);
    }
    expect(reads.map(({ explain }) => explain.source!.shared).sort()).toEqual([false, true, true]);
    const { explain } = await read('book:1');
    expect(explain).toMatchObject({ layer: 'L1', source: { outcome: 'not_asked', kept: null, duration_ms: null } });
  });

  test('what it gives is not to be kept', async () => {
    origin.answer({ body: '1', headers: { 'cache-control': 'no-store' } });
    const { explain } = await read('book:fleeting');
    expect(explain.source).toMatchObject({ outcome: 'found', kept: false });
    expect(explain.result).toBe('no layer has the entry; the source book has given it; it is not kept');
  });

  test('it has no such key, and is not asked again for a while', async () => {
    origin.answer({ status: 404 });
    const first = await missing('book:none');
    expect(first.source).toMatchObject({ outcome: 'missing', duration_ms: expect.any(Number) as number });
    expect(first.result).toBe('no layer has the entry; the source book has no such key');
    const again = await missing('book:none');
    expect(again.source).toMatchObject({ outcome: 'not_asked', duration_ms: null });
    expect(again.source!.reason).toMatch(/^it is known to have no such key until \d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  test('the request wants only what is cached', async () => {
    const explain = await missing('book:uncached', { headers: { 'cache-control': 'only-if-cached' } });
    expect(explain.source).toMatchObject({ name: 'book', outcome: 'not_asked' });
    expect(explain.source!.reason).toContain('only-if-cached');
  });

  test('it is asked anew while the stale entry is served', async () => {
    await expired('swr:1');
    origin.answer({ body: '"new"', delayMs: 500 });
    const { explain } = await read('swr:1');
    expect(explain).toMatchObject({ status: 'stale', layer: 'L2', source: { shared: false, duration_ms: null } });
    expect(explain.result).toContain('stale_while_revalidate');
    await eventually('the new one is there', async () => asked((await read('swr:1')).explain)[0] === 'L1 hit');
  });

  test('it fails, is slow, or says that the stale entry is still so', async () => {
    origin.answer({ body: '"old"', headers: { etag: '"v1"' } });
    await expired('sie:1');
    origin.answer({ status: 500 });
    const failed = (await read('sie:1')).explain;
    expect(failed).toMatchObject({ status: 'stale', source: { outcome: 'failed', reason: 'it is unavailable' } });
    origin.answer({ never: 'headers' });
    const slow = (await read('sie:1')).explain;
    expect(slow).toMatchObject({ status: 'stale', source: { outcome: 'pending', duration_ms: null } });
    await eventually('that call has ended', async () => {
      origin.answer({ status: 304 });
      const { explain } = await read('sie:1');
      return explain.source?.outcome === 'unchanged' && explain.layer === 'SOURCE';
    });
  });

  test('it fails, and there is nothing else', async () => {
    const explainOf = async (key: string, status: number, code: 'CACHE_TIMEOUT' | 'CACHE_UNAVAILABLE') => {
      const answer = await client.get(entryPath(key, '?explain=true'));
      return checked(expectError(answer, status, code)['explain'], answer.text);
    };
    origin.answer({ never: 'headers' });
    const late = await explainOf('slow:1', 504, 'CACHE_TIMEOUT');
    expect(late).toMatchObject({ status: 'error', layer: null, source: { name: 'slow', outcome: 'failed' } });
    expect(late.source!.reason).toBe(`it did not answer within ${CALL_TIMEOUT_MS} ms`);
    origin.answer('reset');
    await explainOf('fragile:1', 502, 'CACHE_UNAVAILABLE');
    expect((await explainOf('fragile:2', 502, 'CACHE_UNAVAILABLE')).source!.reason).toContain('circuit breaker');
  });

  // The embedded stores take one process.
  testOnRealStores('another node asks it, and this one waits', async () => {
    const other = await startApi({ env: { LOG_LEVEL: 'warn', ...service.stores, CACHE__SOURCES: sources } });
    const elsewhere = new Client(other.url, client.headers);
    try {
      // Until it trusts its L1, it has perhaps missed what others have done, and keeps nothing that it loads.
      await client.put(entryPath('trusted'), { value: 1 });
      await eventually('the other node has come to know all others', async () => {
        return (await elsewhere.get(entryPath('trusted'))).headers['x-cache-layer'] === 'L1';
      });
      const before = origin.requests.length;
      origin.answer({ body: '"far"', delayMs: 700 });
      const first = read('book:far', { by: elsewhere });
      await origin.received(before + 1);
      const { explain } = await read('book:far');
      expect(explain).toMatchObject({
        layer: 'SOURCE',
        lease: { state: 'taken' },
        source: { outcome: 'not_asked', shared: false },
      });
      expect((await first).explain).toMatchObject({ lease: { state: 'used' }, source: { outcome: 'found' } });
      expect(origin.requests).toHaveLength(before + 1);
    } finally {
      elsewhere.close();
      await other.stop();
    }
  });
});

describe('who may ask, and where', () => {
  test('whoever may read the entry, and nobody else', async () => {
    await client.put(entryPath('mine'), { value: 1 });
    const having = async (fields: object) => client.with({ 'x-api-key': (await mintKey(client, fields)).api_key });
    const reader = await having({ permissions: ['cache:read'] });
    expect((await read('mine', { by: reader })).explain).toMatchObject({ status: 'hit' });
    expect(await missing('absent', { by: reader })).toMatchObject({ lease: { state: 'free' } });
    for (const by of [await having({ permissions: ['monitor:read'] }), await having({ key_prefixes: ['a:'] })]) {
      const refused = await by.get(entryPath('mine', '?explain=true'));
      expect(expectError(refused, 403, 'INSUFFICIENT_PERMISSIONS')).not.toHaveProperty('explain');
    }
  });

  test('of another namespace nothing is told', async () => {
    await client.put(entryPath('here'), { value: 1, options: { tags: ['theirs'] } });
    const admin = await adminClient(service);
    const explain = await missing('here', { by: admin, headers: { 'x-cache-namespace': 'elsewhere' } });
    expect(explain).toMatchObject({ tags: [], lease: { state: 'free' } });
    expect(asked(explain)).toEqual(['L1 miss', 'L2 miss']);
  });

  test('a read of one entry, and no other call', async () => {
    await client.put(entryPath('k'), { value: 1 });
    expect((await client.send('HEAD', entryPath('k', '?explain=true'))).status).toBe(400);
    expect((await client.get('/object/k?explain=true')).status).toBe(400);
    expectViolation(await client.get(entryPath('k', '?explain=yes')), 'explain', /true or false/);
    expect((await client.get(entryPath('k', '?explain=false'))).text).toBe('{"key":"k","value":1}');
  });
});

/** Only a process of its own can be frozen. */
onRealStores('with a layer that is down', () => {
  test('it says which, and why a copy is served nevertheless', async () => {
    const deadlineMs = 300;
    const redis = await startRedis();
    const down = await startService({ REDIS_URL: redis.url, CACHE__LAYERS__L2__DEADLINE_MS: String(deadlineMs) });
    const explainOf = async (key: string) => {
      const answer = await down.client.get(entryPath(key, '?explain=true'));
      const { error, explain } = answer.json as { explain?: unknown; error?: { details: { explain: unknown } } };
      return checked(explain ?? error?.details.explain, answer.text);
    };
    try {
      await down.client.put(entryPath('kept'), { value: 1 });
      redis.freeze();
      const late = await explainOf('absent');
      expect(late).toMatchObject({ status: 'error', layer: null, lease: { state: 'unknown' } });
      expect(late.layers.at(1)).toMatchObject({ layer: 'L2', outcome: 'failed' });
      expect(late.layers.at(1)!.reason).toBe(`it did not answer within ${deadlineMs} ms`);
      expect(late.layers.at(1)!.duration_ms).toBeGreaterThanOrEqual(deadlineMs - 5);
      expect((await explainOf('absent')).layers.at(1)!.reason).toContain('circuit breaker is open');
      await eventually('nothing vouches for L1 any more', async () => (await explainOf('kept')).status === 'stale');
      const unchecked = await explainOf('kept');
      expect(asked(unchecked)).toEqual(['L1 skipped', 'L2 failed', 'L1 stale']);
      expect(unchecked).toMatchObject({ layer: 'L1', backplane: { trusted: false } });
    } finally {
      redis.thaw();
      await down.stop();
      await redis.stop();
    }
  });
});
