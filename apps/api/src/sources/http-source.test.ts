import { brotliCompressSync, gzipSync } from 'node:zlib';
import { type HttpOrigin, startHttpOrigin } from '../../test/support/http-origin.js';
import { type Source, SourceRefused, SourceUnavailable } from './source.js';
import { failure, FAST, type HttpSettings, never, openLocalSource } from '../../test/support/source-calls.js';

const KEY = 'book:1';

let origin: HttpOrigin;
let sources: Source[];
beforeEach(async () => {
  sources = [];
  origin = await startHttpOrigin();
});
afterEach(async () => {
  await Promise.all(sources.map((source) => source.close()));
  await origin.stop();
});

function open(settings: HttpSettings = {}): Source {
  const source = openLocalSource(`${origin.url}/books/{suffix}`, settings);
  sources.push(source);
  return source;
}

const load = (source: Source, etag?: string, key = KEY) =>
  source.load(key, etag === undefined ? undefined : { etag }, never());

describe('a load', () => {
  test('answers the bytes as they are, with type, ttl and ETag', async () => {
    origin.answer({
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'cache-control': 'max-age=60',
        age: '10',
        etag: '"a"',
      },
      body: '{"a": 1}',
    });
    expect(await load(open())).toEqual({
      status: 'found',
      value: { contentType: 'application/json; charset=utf-8', bytes: Buffer.from('{"a": 1}') },
      ttlSeconds: 50,
      etag: '"a"',
    });
    expect(origin.requests[0]).toMatchObject({ method: 'GET', url: '/books/1' });
  });

  test('that is not to be kept has a ttl of 0', async () => {
    origin.answer({ headers: { 'cache-control': 'no-store' }, body: '1' });
    expect(await load(open({ ttl: 5 }))).toMatchObject({ ttlSeconds: 0 });
  });

  test('takes the ttl of the configuration where the answer has none, or does not count', async () => {
    origin.answer({ body: '1' }, { headers: { 'cache-control': 'no-store' }, body: '1' });
    expect(await load(open({ ttl: 5 }))).toMatchObject({ ttlSeconds: 5 });
    expect(await load(open({ ttl: 5, http: { ttl_from: 'config' } }))).toMatchObject({ ttlSeconds: 5 });
  });

  test('is revalidated with the ETag that is known', async () => {
    origin.answer({ status: 304, headers: { 'cache-control': 'max-age=7' } });
    expect(await load(open(), 'W/"a"')).toEqual({ status: 'unchanged', ttlSeconds: 7 });
    expect(origin.requests[0]?.headers['if-none-match']).toBe('W/"a"');
  });

  test.each([404, 410])('of what is not there (%d) finds it missing', async (status) => {
    origin.answer({ status, body: 'x'.repeat(100_000) });
    expect(await load(open())).toEqual({ status: 'missing' });
  });

  test.each([204, 206, 300, 304, 400, 401, 403, 418])(
    'answered with %d is refused, and not repeated',
    async (status) => {
      origin.answer({ status });
      expect(await failure(load(open(FAST)))).toMatchObject({ constructor: SourceRefused, reason: 'status' });
      expect(origin.requests).toHaveLength(1);
    },
  );

  test('of a key that would be another resource is refused unasked', async () => {
    for (const key of ['book:..', 'book:']) {
      expect(await failure(load(open(), undefined, key))).toMatchObject({ reason: 'key' });
    }
    expect(origin.requests).toHaveLength(0);
  });

  test('of another content type than expected is refused', async () => {
    origin.answer({ headers: { 'content-type': 'text/html' }, body: '<p>' });
    expect(await failure(load(open()))).toMatchObject({ reason: 'content_type' });
  });
});

describe('the size of an answer', () => {
  const limited = () => open({ http: { max_bytes: 1000 } });
  const big = Buffer.alloc(10_000_000, 'x');

  test('may be just what is allowed', async () => {
    origin.answer({ body: Buffer.alloc(1000, '1') });
    expect(await load(limited())).toMatchObject({ status: 'found' });
  });

  test.each([
    ['told beforehand', { body: big }],
    ['not told', { body: big, chunked: true }],
    ['by one byte', { body: big.subarray(0, 1001) }],
    ['after gzip', { body: gzipSync(big), headers: { 'content-encoding': 'gzip' } }],
    ['after brotli', { body: brotliCompressSync(big), headers: { 'content-encoding': 'br' } }],
  ])('is refused beyond that (%s)', async (_title, answer) => {
    origin.answer(answer);
    expect(await failure(load(open({ http: { max_bytes: 1000 } })))).toMatchObject({ reason: 'too_large' });
  });

  test.each([
    ['gzip', gzipSync('{"a":1}')],
    ['br', brotliCompressSync('{"a":1}')],
  ])('is that of the inflated bytes (%s)', async (coding, body) => {
    origin.answer({ body, headers: { 'content-encoding': coding } });
    expect(await load(limited())).toMatchObject({ value: { bytes: Buffer.from('{"a":1}') } });
  });

  test.each([
    ['an unknown coding', { body: 'x', headers: { 'content-encoding': 'zstd' } }],
    ['two codings', { body: 'x', headers: { 'content-encoding': 'gzip, gzip' } }],
    ['no gzip at all', { body: 'x', headers: { 'content-encoding': 'gzip' } }],
    ['half a gzip', { body: gzipSync('{"a":1}').subarray(0, 12), headers: { 'content-encoding': 'gzip' } }],
    ['no brotli at all', { body: 'xxxxx', headers: { 'content-encoding': 'br' } }],
  ])('matters not where it cannot be read: %s', async (_title, answer) => {
    origin.answer(answer);
    expect(await failure(load(open()))).toMatchObject({ reason: 'content_encoding' });
  });
});

describe('a write', () => {
  const writable = (more: object = {}) => open({ ...FAST, http: { store: {}, remove: {}, ...more } });
  const value = { bytes: Buffer.from('{"a":1}'), write: 'seven', turn: 7 };

  test('is not there where the source is read-only', () => {
    const source = open();
    expect('store' in source || 'remove' in source).toBe(false);
  });

  test('carries the bytes, the turn, and the same idempotency key whenever it is repeated', async () => {
    origin.answer({ status: 503 }, { status: 204 }, { status: 204 }, { status: 204 });
    const source = writable();
    await source.store?.(KEY, value, never());
    await source.store?.(KEY, value, never());
    await source.store?.(KEY, { ...value, write: 'eight', turn: 8 }, never());
    expect(origin.requests[0]).toMatchObject({ method: 'PUT', url: '/books/1', body: '{"a":1}' });
    expect(origin.requests.map(({ headers }) => headers['x-cache-version'])).toEqual(['7', '7', '7', '8']);
    const [first, ...others] = origin.requests.map(({ headers }) => headers['idempotency-key']);
    expect(first).toMatch(/^"[\w-]{43}"$/);
    expect(others.map((other) => other === first)).toEqual([true, true, false]);
  });

  test('may have a method and a URL of its own', async () => {
    const source = writable({ store: { method: 'POST', url: `${origin.url}/new?of={key}` } });
    await source.store?.(KEY, value, never());
    expect(origin.requests[0]).toMatchObject({ method: 'POST', url: '/new?of=book%3A1' });
  });

  test('that is not idempotent is sent once', async () => {
    origin.answer({ status: 503 });
    const error = await failure(writable({ store: { method: 'POST' } }).store?.(KEY, value, never()));
    expect(error).toBeInstanceOf(SourceUnavailable);
    expect(origin.requests).toHaveLength(1);
  });

  test('that is refused says so', async () => {
    origin.answer({ status: 422 }, { status: 404 });
    const source = writable();
    expect(await failure(source.store?.(KEY, value, never()))).toMatchObject({ reason: 'status' });
    expect(await failure(source.store?.(KEY, value, never()))).toMatchObject({ reason: 'status' });
  });

  test.each([200, 202, 204, 303, 404, 410])('removal answered with %d has succeeded', async (status) => {
    origin.answer({ status, headers: { location: '/elsewhere' } });
    await writable().remove?.(KEY, 9, never());
    expect(origin.requests.map(({ method }) => method)).toEqual(['DELETE']);
  });
});
