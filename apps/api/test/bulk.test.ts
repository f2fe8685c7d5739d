import { bulkDeleteResponseSchema, bulkGetResponseSchema, bulkSetResponseSchema } from '@cache-system/contracts';
import { type Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectError, expectExactly, expectViolation } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { LAYERS, type Service, SHARED_LAYERS, startService } from './support/service.js';

let service: Service;
let client: Client;
let admin: Client;
beforeAll(async () => {
  service = await startService();
  client = service.client;
  admin = await adminClient(service);
});
afterAll(async () => {
  admin.close();
  await service.stop();
});

async function bulkGet(keys: readonly string[], options?: object) {
  const answer = await client.post('/v1/cache/bulk/get', { keys, options });
  expect(answer).toMatchObject({ status: 200 });
  return expectExactly(bulkGetResponseSchema, answer.json);
}
async function bulkSet(entries: readonly object[], options?: object) {
  const answer = await client.post('/v1/cache/bulk/set', { entries, options });
  expect(answer).toMatchObject({ status: 200 });
  return expectExactly(bulkSetResponseSchema, answer.json);
}
async function bulkDelete(keys: readonly string[]) {
  const answer = await client.post('/v1/cache/bulk/delete', { keys });
  expect(answer).toMatchObject({ status: 200 });
  return expectExactly(bulkDeleteResponseSchema, answer.json);
}

describe('a bulk get', () => {
  test('gives each key its own result, with the layer it came from', async () => {
    await client.put(entryPath('g:1'), { value: { id: 1 } });
    await client.put(entryPath('g:2'), { value: null });
    await client.delete(`${entryPath('g:2')}?cascade=false`);
    const { results, summary } = await bulkGet(['g:1', 'g:2', 'g:3']);
    const layer = results['g:2']?.cache_layer;
    expect(SHARED_LAYERS).toContain(layer);
    expect({ results, summary }).toEqual({
      results: {
        'g:1': { status: 'hit', value: { id: 1 }, cache_layer: 'L1' },
        'g:2': { status: 'hit', value: null, cache_layer: layer },
        'g:3': { status: 'miss', error: 'Key not found' },
      },
      summary: { total_keys: 3, hits: 2, misses: 1, hit_ratio: 0.67 },
    });
  });

  test('with metadata says what a single read says', async () => {
    await client.put(entryPath('g:meta'), { value: [1] });
    const { json } = await client.get(`${entryPath('g:meta')}?include_metadata=true`);
    const { results } = await bulkGet(['g:meta'], { include_metadata: true });
    const single = (json as { metadata: Record<string, unknown> }).metadata;
    expect(results['g:meta']?.metadata).toEqual({ ...single, hit_count: (single['hit_count'] as number) + 1 });
  });

  test('gives values byte for byte', async () => {
    const text = String.raw`{"b":1.0,"a":12345678901234567890, "u":"\u0041","__proto__":{"x":1}}`;
    await client.put(entryPath('g:bytes'), `{"value":${text}}`);
    const answer = await client.post('/v1/cache/bulk/get', { keys: ['g:bytes'] });
    expect(answer.text).toContain(`"value":${text}`);
  });

  test('takes 1,000 keys, and as many at a time as is said', async () => {
    const keys = Array.from({ length: 1000 }, (_, index) => `thousand:${index}`);
    const stored = await bulkSet(keys.map((key, index) => ({ key, value: index })));
    expect(stored.summary).toEqual({ total_keys: 1000, created: 1000, updated: 0, errors: 0 });
    for (const options of [{}, { max_concurrent: 3 }]) {
      const { results, summary } = await bulkGet(keys, options);
      expect(summary).toEqual({ total_keys: 1000, hits: 1000, misses: 0, hit_ratio: 1 });
      expect(keys.every((key, index) => results[key]?.value === index)).toBe(true);
    }
    expect((await bulkDelete(keys)).summary).toEqual({ total_keys: 1000, deleted: 1000, misses: 0, errors: 0 });
    expectViolation(await client.post('/v1/cache/bulk/get', { keys: [...keys, 'one more'] }), 'keys', /1000/);
  });

  test('has a result for a key that no entry can have, and for one that is there twice only one', async () => {
    const { results, summary } = await bulkGet(['', 'g:\u0000', 'x'.repeat(513), 'none', 'none', 'toString']);
    expect(Object.keys(results)).toHaveLength(5);
    expect(results['']).toMatchObject({ status: 'error', code: 'INVALID_KEY_FORMAT' });
    expect(results['g:\u0000']).toMatchObject({ status: 'error', code: 'INVALID_KEY_FORMAT' });
    expect(results['none']).toEqual({ status: 'miss', error: 'Key not found' });
    expect(Object.entries(results)).toContainEqual(['toString', results['none']]);
    expect(summary).toEqual({ total_keys: 5, hits: 0, misses: 2, errors: 3, hit_ratio: 0 });
  });
});

describe('a bulk set', () => {
  test('stores each entry as a single write would, and says so for each', async () => {
    const before = Date.now();
    await client.put(entryPath('s:1'), { value: 'before' });
    const { results, summary } = await bulkSet(
      [
        { key: 's:1', value: { id: 1 }, ttl: 60 },
        { key: 's:2', value: 'two', options: { tags: ['bulk'], ttl: 120 } },
        { key: 's:3', value: null },
      ],
      { ttl: 600 },
    );
    expect(summary).toEqual({ total_keys: 3, created: 2, updated: 1, errors: 0 });
    expect(results['s:1']).toMatchObject({ status: 'updated', cache_layers: LAYERS });
    const seconds = ['s:1', 's:2', 's:3'].map((key) =>
      Math.round((Date.parse(results[key]!.expires_at!) - before) / 10_000),
    );
    expect(seconds).toEqual([6, 12, 60]);
    const read = await client.get(entryPath('s:1'));
    expect(read).toMatchObject({ json: { value: { id: 1 } }, headers: { etag: `"${results['s:1']!.version!}"` } });
    await client.post('/v1/cache/invalidate', { tags: ['bulk'] });
    expect((await client.get(entryPath('s:2'))).status).toBe(404);
  });

  test('keeps every digit and spelling of a value', async () => {
    const text = String.raw`{"b":1.0,"a":12345678901234567890, "u":"\u0041","__proto__":{"x":1}}`;
    await client.post('/v1/cache/bulk/set', `{"entries":[{"key":"s:bytes", "value" : ${text} }]}`);
    expect((await client.get(entryPath('s:bytes'))).text).toBe(`{"key":"s:bytes","value":${text}}`);
  });

  test('fails for the entries that cannot be stored and for no others', async () => {
    const limit = 1024 * 1024;
    await client.put(entryPath('s:taken'), { value: 1 });
    const { results, summary } = await bulkSet([
      { key: 's:large', value: 'x'.repeat(limit) },
      { key: 's:\u0007', value: 1 },
      { key: 's:taken', value: 2, options: { if_version: '1' } },
      { key: 's:good', value: 'x'.repeat(limit - 2) },
    ]);
    expect(summary).toEqual({ total_keys: 4, created: 1, updated: 0, errors: 3 });
    expect(results['s:large']).toMatchObject({ status: 'error', code: 'PAYLOAD_TOO_LARGE' });
    expect(results['s:\u0007']).toMatchObject({ status: 'error', code: 'INVALID_KEY_FORMAT' });
    expect(results['s:taken']).toMatchObject({ status: 'error', code: 'CACHE_KEY_CONFLICT' });
    expect((await client.get(entryPath('s:taken'))).json).toMatchObject({ value: 1 });
    expect((await client.get(entryPath('s:good'))).status).toBe(200);
  });

  test('of a key that comes twice keeps the last value', async () => {
    await bulkSet([
      { key: 's:twice', value: 1 },
      { key: 's:twice', value: 2 },
    ]);
    expect((await client.get(entryPath('s:twice'))).json).toMatchObject({ value: 2 });
  });

  test.each([
    ['no entries', { entries: [] }, 'entries'],
    ['an entry without a value', { entries: [{ key: 'a' }] }, 'entries.0.value'],
    ['an entry without a key', { entries: [{ value: 1 }] }, 'entries.0.key'],
    ['an unknown member', { entries: [{ key: 'a', value: 1, tll: 5 }] }, 'entries.0'],
    ['a bad option', { entries: [{ key: 'a', value: 1, options: { ttl: -1 } }] }, 'entries.0.options.ttl'],
    ['a bad common option', { entries: [{ key: 'a', value: 1 }], options: { strategy: 'none' } }, 'options.strategy'],
  ])('with %s stores nothing', async (_, body, where) => {
    expectViolation(await client.post('/v1/cache/bulk/set', body), where, /./);
    expect((await client.get(entryPath('a'))).status).toBe(404);
  });

  test('is refused where a value is nested too deep or a member is there twice, and stores nothing', async () => {
    const deep = '['.repeat(101) + ']'.repeat(101);
    for (const text of [
      `{"entries":[{"key":"b","value":1},{"key":"a","value":${deep}}]}`,
      '{"entries":[{"key":"b","value":1,"value":2}]}',
      '{"entries":[{"key":"b","value":1}],"entries":[]}',
      '{"entries":[{"key":"b","value":1}',
    ])
      expectError(await client.post('/v1/cache/bulk/set', text), 400, 'INVALID_REQUEST');
    expect((await client.get(entryPath('b'))).status).toBe(404);
  });
});

describe('a bulk delete', () => {
  test('says of each key where it was', async () => {
    await bulkSet([
      { key: 'd:1', value: 1 },
      { key: 'd:2', value: 2 },
    ]);
    expect(await bulkDelete(['d:1', 'd:2', 'd:3'])).toEqual({
      results: {
        'd:1': { status: 'deleted', deleted_from: LAYERS },
        'd:2': { status: 'deleted', deleted_from: LAYERS },
        'd:3': { status: 'miss', error: 'Key not found' },
      },
      summary: { total_keys: 3, deleted: 2, misses: 1, errors: 0 },
    });
  });
});

test('keys outside of the prefixes of an API key fail, each by itself', async () => {
  const { api_key: key } = await mintKey(admin, { key_prefixes: ['mine:'] });
  const limited = client.with({ 'x-api-key': key });
  await client.put(entryPath('theirs'), { value: 1 });
  const keys = ['mine:1', 'theirs'];
  const set = await limited.post('/v1/cache/bulk/set', { entries: keys.map((each) => ({ key: each, value: 2 })) });
  const got = await limited.post('/v1/cache/bulk/get', { keys });
  const removed = await limited.post('/v1/cache/bulk/delete', { keys });
  limited.close();
  const refused = { status: 'error', code: 'INSUFFICIENT_PERMISSIONS' };
  expect(set.json).toMatchObject({ results: { 'mine:1': { status: 'created' }, theirs: refused } });
  expect(got.json).toMatchObject({ results: { 'mine:1': { status: 'hit', value: 2 }, theirs: refused } });
  expect(removed.json).toMatchObject({ results: { 'mine:1': { status: 'deleted' }, theirs: refused } });
  expect((await client.get(entryPath('theirs'))).json).toMatchObject({ value: 1 });
});
