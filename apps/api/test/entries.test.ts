import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readResponseSchema } from '@cache-system/contracts';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { Client, entryPath, valueText } from './support/client.js';
import { expectError, expectExactly, expectWritten } from './support/expectations.js';
import { DEEPEST_LAYER, LAYERS, type Service, SHARED_LAYERS, startService } from './support/service.js';

let service: Service;
let client: Client;

beforeAll(async () => {
  service = await startService();
  client = service.client;
});
afterAll(() => service.stop());

describe('PUT', () => {
  test('creates with 201 and exactly the fields of the contract', async () => {
    const before = Date.now();
    const answer = await client.put(entryPath('user:1'), '{"value": {"name":"Jürgen"} }');
    const after = Date.now();
    const { metadata, ...rest } = expectWritten(answer, 'created');
    expect(rest).toEqual({ key: 'user:1', status: 'created', cache_layers: LAYERS });
    expect(metadata).toMatchObject({ size_bytes: 18, compression_ratio: 1, replicated_to: [] });
    const createdAt = Date.parse(metadata.created_at);
    expect(createdAt).toBeGreaterThanOrEqual(before);
    expect(createdAt).toBeLessThanOrEqual(after);
    expect(metadata.updated_at).toBe(metadata.created_at);
  });

  test('replaces with 200 a new version and the old creation time', async () => {
    const first = expectWritten(await client.put(entryPath('again'), { value: 1 }), 'created');
    const second = expectWritten(await client.put(entryPath('again'), { value: 2 }), 'updated');
    expect(second.metadata.created_at).toBe(first.metadata.created_at);
    expect(second.metadata.version).not.toBe(first.metadata.version);
    expect((await client.get(entryPath('again'))).json).toEqual({ key: 'again', value: 2 });
  });

  test('the same value stored again is a new version', async () => {
    const first = expectWritten(await client.put(entryPath('same'), { value: 1 }), 'created');
    const second = expectWritten(await client.put(entryPath('same'), { value: 1 }), 'updated');
    expect(second.metadata.version).not.toBe(first.metadata.version);
  });

  test.each([
    ['write-through', LAYERS, 'L1'],
    ['write-behind', LAYERS, 'L1'],
    ['write-around', [DEEPEST_LAYER], DEEPEST_LAYER],
  ])('strategy %s leaves the entry in %j', async (strategy, layers, firstReadFrom) => {
    const at = entryPath(`strategy:${strategy}`);
    const written = expectWritten(await client.put(`${at}?strategy=${strategy}`, { value: 1 }), 'created');
    expect(written.cache_layers).toEqual(layers);
    expect((await client.get(at)).headers['x-cache-layer']).toBe(firstReadFrom);
    expect((await client.get(at)).headers['x-cache-layer']).toBe('L1');
  });

  test('write-around leaves no old copy in the upper layer', async () => {
    await client.put(entryPath('around'), { value: 'old' });
    await client.put(`${entryPath('around')}?strategy=write-around`, { value: 'new' });
    const answer = await client.get(entryPath('around'));
    expect(answer.json).toEqual({ key: 'around', value: 'new' });
    expect(answer.headers['x-cache-layer']).toBe(DEEPEST_LAYER);
  });
});

describe('GET', () => {
  test('answers key and value and nothing else', async () => {
    await client.put(entryPath('plain'), { value: { a: [1, null, 'x'] } });
    const answer = await client.get(entryPath('plain'));
    expect(answer.status).toBe(200);
    expect(answer.text).toBe('{"key":"plain","value":{"a":[1,null,"x"]}}');
  });

  test('include_metadata adds the metadata of the contract', async () => {
    const written = expectWritten(await client.put(`${entryPath('meta')}?ttl=60`, { value: 'x' }), 'created');
    const answer = await client.get(`${entryPath('meta')}?include_metadata=true`);
    const { metadata } = expectExactly(readResponseSchema, answer.json);
    const { created_at, updated_at, expires_at, version } = written.metadata;
    const times = { created_at, updated_at, expires_at, version };
    expect(metadata).toEqual({ ...times, hit_count: 1, size_bytes: 3, cache_layer: 'L1' });
    expect((await client.get(`${entryPath('meta')}?include_metadata=false`)).json).not.toHaveProperty('metadata');
  });

  test('hit_count counts the reads and not the writes', async () => {
    const at = entryPath('counted');
    await client.put(at, { value: 1 });
    await client.get(at);
    await client.send('HEAD', at);
    await client.put(at, { value: 2 });
    const { metadata } = readResponseSchema.parse((await client.get(`${at}?include_metadata=true`)).json);
    expect(metadata?.hit_count).toBe(3);
  });

  test('null is a value and a hit', async () => {
    expectWritten(await client.put(entryPath('null'), { value: null }), 'created');
    const answer = await client.get(entryPath('null'));
    expect(answer.status).toBe(200);
    expect(answer.text).toBe('{"key":"null","value":null}');
    expect(answer.headers['x-cache-status']).toBe('HIT');
  });

  test('a missing key is a 404 that names the key and the layers', async () => {
    const answer = await client.get(entryPath('nobody/knows'));
    const details = expectError(answer, 404, 'CACHE_KEY_NOT_FOUND');
    expect(details).toMatchObject({ key: 'nobody/knows', searched_layers: LAYERS });
    expect(answer.headers['x-cache-status']).toBe('MISS');
    expect(answer.headers['cache-status']).toBe('cache-system; fwd=miss');
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  test('accept without json is 406 and with json or any is fine', async () => {
    await client.put(entryPath('accept'), { value: 1 });
    const read = (accept: string) => client.get(entryPath('accept'), { headers: { accept } });
    expect(expectError(await read('text/html'), 406, 'NOT_ACCEPTABLE')).toEqual({
      supported: ['application/json', 'application/msgpack', 'application/protobuf', 'application/bson'],
    });
    expectError(await read('application/json;q=0'), 406, 'NOT_ACCEPTABLE');
    for (const accept of ['application/json', 'text/html, application/*;q=0.1', '*/*']) {
      expect((await read(accept)).status).toBe(200);
    }
  });
});

describe('POST', () => {
  test('replaces what is there', async () => {
    await client.put(entryPath('posted'), { value: 1 });
    expectWritten(await client.post(entryPath('posted'), { value: 2 }), 'updated');
    expect((await client.get(entryPath('posted'))).json).toEqual({ key: 'posted', value: 2 });
  });

  test('is 404 where nothing is there and creates nothing', async () => {
    expectError(await client.post(entryPath('not-there'), { value: 1 }), 404, 'CACHE_KEY_NOT_FOUND');
    expectError(await client.get(entryPath('not-there')), 404, 'CACHE_KEY_NOT_FOUND');
  });
});

describe('DELETE', () => {
  test('is 204 and names the layers and the time', async () => {
    await client.put(entryPath('gone'), { value: 1 });
    const answer = await client.delete(entryPath('gone'));
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(answer.headers['x-deleted-from']).toBe(LAYERS.join());
    expect(answer.headers['x-deletion-time']).toMatch(/^\d+ms$/);
    expectError(await client.get(entryPath('gone')), 404, 'CACHE_KEY_NOT_FOUND');
    expectError(await client.delete(entryPath('gone')), 404, 'CACHE_KEY_NOT_FOUND');
  });

  test('names only the layers that held the entry', async () => {
    await client.put(`${entryPath('deep-only')}?strategy=write-around`, { value: 1 });
    expect((await client.delete(entryPath('deep-only'))).headers['x-deleted-from']).toBe(DEEPEST_LAYER);
  });

  test('cascade=false drops the copies in L1 only, whether there are any on this node or not', async () => {
    const at = entryPath('uncascaded');
    await client.put(at, { value: 1 });
    const answer = await client.delete(`${at}?cascade=false`);
    expect([answer.status, answer.headers['x-deleted-from']]).toEqual([204, 'L1']);
    expect((await client.delete(`${at}?cascade=false`)).status).toBe(204);
    const read = await client.get(at);
    expect(read.status).toBe(200);
    expect(SHARED_LAYERS).toContain(read.headers['x-cache-layer']);
    expect((await client.delete(`${at}?cascade=false`, { headers: { 'If-Match': '"1"' } })).status).toBe(412);
    expectError(await client.delete(`${entryPath('never-there')}?cascade=false`), 404, 'CACHE_KEY_NOT_FOUND');
  });
});

test('a process started again on the same stores has every entry and its metadata', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cs-restart-'));
  const first = await startService({ DATA_DIR: folder });
  const texts = Array.from({ length: 50 }, (_, i) => `{"n":${i},"big":1234567890123456789${i}}`);
  const versions: unknown[] = [];
  for (const [i, text] of texts.entries()) {
    const answer = await first.client.put(`${entryPath(`kept:${i}`)}?ttl=${i * 1000}`, `{"value":${text}}`);
    versions.push(expectWritten(answer, 'created').metadata);
  }
  await first.stop();

  const env = { LOG_LEVEL: 'warn', ...first.stores, DATA_DIR: folder, BOOTSTRAP_API_KEY: first.api.apiKey };
  const second = await startApi({ env });
  const secondClient = new Client(second.url, { 'x-api-key': second.apiKey });
  try {
    for (const [i, text] of texts.entries()) {
      const at = entryPath(`kept:${i}`);
      const answer = await secondClient.get(at);
      expect(valueText(answer, `kept:${i}`)).toBe(text);
      expect(SHARED_LAYERS).toContain(answer.headers['x-cache-layer']);
      const { metadata } = readResponseSchema.parse((await secondClient.get(`${at}?include_metadata=true`)).json);
      const { created_at, updated_at, expires_at, version } = metadata ?? {};
      expect(versions[i]).toMatchObject({ created_at, updated_at, expires_at, version });
    }
  } finally {
    secondClient.close();
    await second.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('Cache-Control: no-cache asks past the copy in L1', async () => {
  const at = entryPath('no-cache');
  await client.put(at, { value: 1 });
  expect((await client.get(at)).headers['x-cache-layer']).toBe('L1');
  const fresh = await client.get(at, { headers: { 'Cache-Control': 'max-age=0, no-cache' } });
  expect([fresh.status, fresh.headers['x-cache-layer']]).toEqual([200, DEEPEST_LAYER]);
  const missing = await client.get(entryPath('nowhere'), { headers: { 'Cache-Control': 'no-cache' } });
  expect(expectError(missing, 404, 'CACHE_KEY_NOT_FOUND')).toMatchObject({ searched_layers: [DEEPEST_LAYER] });
});
