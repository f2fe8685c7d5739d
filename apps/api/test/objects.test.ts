import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Packr } from 'msgpackr';
import { type Client, entryPath, valueText } from './support/client.js';
import { expectBadKey, expectError, expectExactly, expectViolation } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { adminClient } from './support/credentials.js';
import { type Service, SHARED_LAYERS, startService } from './support/service.js';
import { writeResponseSchema } from '@cache-system/contracts';

const LIMIT_BYTES = 1024 * 1024;

let service: Service;
let client: Client;
beforeAll(async () => {
  service = await startService();
  client = service.client;
});
afterAll(() => service.stop());

const at = (key: string) => `/object/${encodeURIComponent(key)}`;
const put = (key: string, body: Uint8Array | string, type = 'application/octet-stream', query = '') =>
  client.put(at(key) + query, body, { headers: { 'content-type': type } });

describe('an object comes back byte for byte under its own media type', () => {
  test.each([
    ['no bytes', Buffer.alloc(0), 'application/octet-stream'],
    ['a NUL', Buffer.from([0]), 'application/octet-stream'],
    ['random bytes', randomBytes(5000), 'image/png'],
    ['as many bytes as there may be', randomBytes(LIMIT_BYTES), 'application/octet-stream'],
    ['a page', Buffer.from('<script>alert(1)</script>'), 'text/html; charset=utf-8'],
    ['JSON with its whitespace', Buffer.from(' {"a": 1.0,\n"b":[ ] } \n'), 'application/json'],
    ['JSON with a charset', Buffer.from('"x"'), 'application/json; charset=utf-8'],
    ['what is no JSON', Buffer.from('{'), 'application/json'],
    ['MessagePack', new Packr({ useRecords: false }).pack({ a: [1, Buffer.from([255])] }), 'application/msgpack'],
    ['a message of Protocol Buffers', Buffer.from([8, 1, 18, 1, 97]), 'application/protobuf'],
    ['a BSON document', Buffer.from([5, 0, 0, 0, 0]), 'application/bson'],
    ['text', Buffer.from('grün 🎈'), 'text/plain'],
  ])('%s', async (name, bytes, type) => {
    const stored = await put(name, bytes, type);
    expect(stored.status).toBe(200);
    expect(expectExactly(writeResponseSchema, stored.json)).toMatchObject({
      key: name,
      status: 'created',
      metadata: { size_bytes: bytes.length },
    });
    for (const layers of [['L1'], SHARED_LAYERS]) {
      const answer = await client.get(at(name));
      expect(answer).toMatchObject({ status: 200, headers: { 'content-type': type } });
      expect(layers).toContain(answer.headers['x-cache-layer']);
      expect(answer.bytes.equals(bytes)).toBe(true);
      expect(answer.headers['x-content-type-options']).toBe('nosniff');
      expect(answer.headers['content-security-policy']).toBe("default-src 'none'; sandbox");
      await client.delete(`${entryPath(name)}?cascade=false`);
    }
    const head = await client.send('HEAD', at(name));
    expect(head).toMatchObject({ status: 200, text: '', headers: { 'content-length': String(bytes.length) } });
  });

  test('without a media type as bytes, and without its compression', async () => {
    const bytes = randomBytes(100);
    const { status } = await fetch(service.api.url + at('typeless'), {
      method: 'PUT',
      body: gzipSync(bytes),
      headers: { ...client.headers, 'content-encoding': 'gzip' },
    });
    expect(status).toBe(200);
    const answer = await client.get(at('typeless'));
    expect(answer.headers['content-type']).toBe('application/octet-stream');
    expect(answer.bytes.equals(bytes)).toBe(true);
  });
});

describe('objects are the same entries as those of the cache', () => {
  test('JSON and MessagePack are values there, and everything else is binary', async () => {
    await put('same:json', '{"a":1}', 'application/json');
    expect(valueText(await client.get(entryPath('same:json')), 'same:json')).toBe('{"a":1}');
    await client.patch(entryPath('same:json'), { value: { b: 2 } });
    expect((await client.get(at('same:json'))).text).toBe('{"a":1,"b":2}');
    await put('same:msgpack', new Packr({ useRecords: false }).pack([1, 'x']), 'application/msgpack');
    expect((await client.get(entryPath('same:msgpack'))).json).toMatchObject({ value: [1, 'x'] });
    await put('same:raw', Buffer.from([1, 2]), 'image/png');
    expect((await client.get(entryPath('same:raw'))).json).toMatchObject({ value: { $binary: 'AQI=' } });
    expectError(await client.patch(entryPath('same:raw'), { value: {} }), 422, 'MERGE_NOT_POSSIBLE');
    await client.put(entryPath('same:value'), { value: [1] });
    expect(await client.get(at('same:value'))).toMatchObject({
      text: '[1]',
      headers: { 'content-type': 'application/json' },
    });
  });

  test('their ttl is that of the query, or the default; 0 is for ever', async () => {
    const expiry = async (query: string) =>
      expectExactly(writeResponseSchema, (await put('ttl', 'x', 'text/plain', query)).json).metadata.expires_at;
    expect(await expiry('?ttl=0')).toBeNull();
    expect(Date.parse((await expiry('?ttl=100'))!) - Date.now()).toBeLessThanOrEqual(100_000);
    expect(Date.parse((await expiry(''))!) - Date.now()).toBeGreaterThan(1_000_000);
    expectViolation(await put('ttl', 'x', 'text/plain', '?ttl=-1'), 'ttl', /whole number/);
    expectViolation(await put('ttl', 'x', 'text/plain', '?tll=1'), '', /unknown: tll/);
  });
});

test('POST stores as PUT does, DELETE is 200 and then 404, a missing object is 404', async () => {
  const posted = await client.post(at('posted'), 'x', { headers: { 'content-type': 'text/plain' } });
  expect(posted.status).toBe(200);
  expect((await client.get(at('posted'))).text).toBe('x');
  expect((await client.delete(at('posted'))).status).toBe(200);
  expectError(await client.delete(at('posted')), 404, 'CACHE_KEY_NOT_FOUND');
  expectError(await client.get(at('posted')), 404, 'CACHE_KEY_NOT_FOUND');
});

test('preconditions hold, and what has not changed is 304', async () => {
  const { headers } = await put('etag', 'x');
  const etag = headers['etag'] as string;
  expect((await client.get(at('etag'), { headers: { 'if-none-match': etag } })).status).toBe(304);
  const refused = await client.put(at('etag'), 'y', { headers: { 'if-none-match': '*' } });
  expectError(refused, 412, 'PRECONDITION_FAILED');
  expect((await client.get(at('etag'))).text).toBe('x');
});

test('what is too large, too long or not allowed is refused and stores nothing', async () => {
  expectError(await put('large', randomBytes(LIMIT_BYTES + 1)), 413, 'PAYLOAD_TOO_LARGE');
  expectBadKey(await client.get(at('x'.repeat(513))), /512 bytes/);
  expect((await client.get(at('large'))).status).toBe(404);
  const admin = await adminClient(service);
  const { api_key: key } = await mintKey(admin, { permissions: ['cache:read'], key_prefixes: ['mine:'] });
  const reader = client.with({ 'x-api-key': key });
  expectError(await reader.get(at('etag')), 403, 'INSUFFICIENT_PERMISSIONS');
  expectError(await reader.put(at('mine:x'), 'x'), 403, 'INSUFFICIENT_PERMISSIONS');
  reader.close();
  admin.close();
});
