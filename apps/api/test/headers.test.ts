import type { ErrorCode } from '@cache-system/contracts';
import { type Answer, type Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService } from './support/service.js';

let service: Service;
let client: Client;
let admin: Client;

beforeAll(async () => {
  service = await startService();
  client = service.client;
  admin = await adminClient(service);
});
afterAll(() => service.stop());

/** What may differ between two answers to the same question. */
const VOLATILE = new Set(['date', 'age', 'x-request-id', 'x-response-time', 'ratelimit', 'x-rate-limit-remaining']);
const steady = ({ headers }: Answer) =>
  Object.fromEntries(
    Object.entries(headers).filter(([name]) => !VOLATILE.has(name) && !/^x-ratelimit-(remaining|reset)$/.test(name)),
  );

describe('a read', () => {
  test('tells the cache status the layer the version and the age', async () => {
    const at = entryPath('told');
    const { headers } = await client.put(`${at}?ttl=100`, { value: 1 });
    const answer = await client.get(at);
    expect(answer.headers).toMatchObject({
      etag: headers['etag'],
      'x-cache-status': 'HIT',
      'x-cache-layer': 'L1',
      'cache-control': 'private, no-cache',
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(Buffer.byteLength(answer.text)),
    });
    expect(answer.headers['etag']).toMatch(/^"[0-9a-z]+"$/);
    expect(answer.headers['age']).toMatch(/^\d+$/);
    expect(answer.headers['cache-status']).toMatch(/^cache-system; hit; ttl=(100|99); detail=L1$/);
  });

  test('of an entry without expiry tells no ttl', async () => {
    await client.put(`${entryPath('forever')}?ttl=0`, { value: 1 });
    expect((await client.get(entryPath('forever'))).headers['cache-status']).toBe('cache-system; hit; detail=L1');
  });

  test('age counts the seconds since the last write', async () => {
    const at = entryPath('ageing');
    await client.put(at, { value: 1 });
    const age = async () => Number((await client.get(at)).headers['age']);
    await eventually('the entry is a second old', async () => (await age()) >= 1);
    await client.put(at, { value: 2 });
    expect(await age()).toBe(0);
  });

  test.each(['there', 'not-there'])('HEAD sends the headers of GET and no body where the key is %s', async (key) => {
    await client.put(entryPath('there'), { value: { a: 'ü' } });
    const got = await client.get(entryPath(key));
    const head = await client.send('HEAD', entryPath(key));
    expect(head.status).toBe(got.status);
    expect(head.text).toBe('');
    const { 'content-length': length, ...others } = steady(head);
    const { 'content-length': lengthOfGet, ...othersOfGet } = steady(got);
    expect(others).toEqual(othersOfGet);
    // An error tells in its body how long it took, which may be a digit more.
    expect(Math.abs(Number(length) - Number(lengthOfGet))).toBeLessThanOrEqual(key === 'there' ? 0 : 2);
  });
});

describe('X-Request-Id', () => {
  test.each(['abc', 'A.b_c-9', 'x'.repeat(128)])('%j is kept', async (id) => {
    const answer = await client.get(entryPath('id'), { headers: { 'x-request-id': id } });
    expect(answer.headers['x-request-id']).toBe(id);
    expectError(answer, 404, 'CACHE_KEY_NOT_FOUND');
  });

  test.each(['', 'a b', 'x'.repeat(129), 'a"b', '<script>', 'a,b', '\u00e9'])('%j is replaced', async (id) => {
    const answer = await client.get(entryPath('id'), { headers: { 'x-request-id': id } });
    expect(answer.headers['x-request-id']).toMatch(/^req_[0-9a-z]{10,}$/);
  });

  test('no two requests get the same', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => client.get(entryPath('id'))));
    expect(new Set(answers.map(({ headers }) => headers['x-request-id'])).size).toBe(200);
  });
});

test('nobody keeps what is answered about people, keys and nodes', async () => {
  const answers = [
    await client.get('/v1/auth/me'),
    await client.get('/v1/auth/api-keys'),
    await client.get('/v1/admin/nodes'),
    await client.get('/v1/monitor/health'),
    await client.with({}).get('/v1/auth/me'),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 401]);
  for (const { headers } of answers) expect(headers['cache-control']).toBe('no-store');
});

describe('rate limit headers', () => {
  const asNumber = (answer: Answer, name: string) => Number(answer.headers[name]);

  test('are on every kind of answer and agree with each other', async () => {
    const at = entryPath('limited');
    const answers = [
      await client.put(at, { value: 1 }),
      await client.put(at, { value: 1 }),
      await client.get(at),
      await client.send('HEAD', at),
      await client.patch(at, { value: {}, merge_strategy: 'replace' }),
      await client.post(`${at}/touch`, { ttl: 5 }),
      await client.get(at, { headers: { 'if-none-match': '*' } }),
      await client.delete(at),
      await client.get(at),
      await client.put(at, '{'),
      await client.get('/v1/auth/me'),
    ];
    expect(answers.map(({ status }) => status)).toEqual([201, 200, 200, 200, 200, 200, 304, 204, 404, 400, 200]);
    for (const answer of answers) {
      const nowSeconds = Date.now() / 1000;
      expect(answer.headers['x-response-time']).toMatch(/^\d+ms$/);
      expect(answer.headers['x-request-id']).toEqual(expect.any(String));
      expect(asNumber(answer, 'x-ratelimit-limit')).toBe(36_000_000);
      expect(answer.headers['x-ratelimit-window']).toBe('3600');
      expect(answer.headers['x-ratelimit-policy']).toBe('token-bucket');
      expect(answer.headers['ratelimit-policy']).toBe('"key";q=36000000;w=3600');
      const remaining = answer.headers['x-ratelimit-remaining'];
      expect(remaining).toMatch(/^\d+$/);
      expect(answer.headers['x-rate-limit-remaining']).toBe(remaining);
      expect(answer.headers['ratelimit']).toMatch(new RegExp(`^"key";r=${String(remaining)};t=\\d+$`));
      expect(Math.abs(asNumber(answer, 'x-ratelimit-reset') - nowSeconds)).toBeLessThan(5);
    }
  });
});

describe('the envelope', () => {
  const cases: [name: string, status: number, code: ErrorCode, ask: () => Promise<Answer>][] = [
    ['an unknown route', 404, 'ROUTE_NOT_FOUND', () => client.get('/v1/nowhere')],
    ['an unknown root', 404, 'ROUTE_NOT_FOUND', () => client.get('/')],
    ['a wrong method', 405, 'METHOD_NOT_ALLOWED', () => client.send('OPTIONS', entryPath('k'))],
    ['no credential', 401, 'AUTHENTICATION_FAILED', () => client.with({}).get(entryPath('k'))],
    ['a wrong credential', 401, 'AUTHENTICATION_FAILED', () => client.with({ 'x-api-key': 'no' }).get(entryPath('k'))],
    ['a missing key', 404, 'CACHE_KEY_NOT_FOUND', () => client.get(entryPath('k'))],
    ['a missing API key', 404, 'RESOURCE_NOT_FOUND', () => client.get('/v1/auth/api-keys/key_x')],
    ['a bad body elsewhere', 400, 'INVALID_REQUEST', () => client.post('/v1/auth/login', '{')],
    [
      'a wrong login',
      401,
      'AUTHENTICATION_FAILED',
      () => client.post('/v1/auth/login', { email: 'a@b.co', password: 'x' }),
    ],
  ];

  test.each(cases)('is around %s', async (_name, status, code, ask) => {
    expectError(await ask(), status, code);
  });

  test('a wrong method names those that the path takes', async () => {
    const answer = await client.send('OPTIONS', entryPath('k'));
    const allowed = ['DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT'];
    expect(expectError(answer, 405, 'METHOD_NOT_ALLOWED')).toEqual({ method: 'OPTIONS', allowed });
    expect(answer.headers['allow']).toBe(allowed.join(', '));
  });

  test('a permission that is lacking is named', async () => {
    const key = (await mintKey(admin, { permissions: ['cache:read'] })).api_key;
    const reader = client.with({ 'x-api-key': key });
    expectError(await reader.get(entryPath('k')), 404, 'CACHE_KEY_NOT_FOUND');
    for (const answer of [await reader.put(entryPath('k'), { value: 1 }), await reader.delete(entryPath('k'))]) {
      expect(expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS')).toMatchObject({ required: 'cache:write' });
    }
    reader.close();
  });

  test.each<Record<string, string>>([
    {},
    { authorization: '' },
    { authorization: 'Bearer' },
    { authorization: 'Basic YWRtaW46YWRtaW4=' },
    { cookie: 'session=1' },
  ])('tells with %j what to send for a credential', async (headers) => {
    const answer = await client.with({}).get(entryPath('k'), { headers });
    const details = expectError(answer, 401, 'AUTHENTICATION_FAILED');
    expect(details).toEqual({ reason: 'send X-API-Key or Authorization: Bearer' });
    expect(answer.headers['www-authenticate']).toBe('Bearer');
  });

  test('does not tell strangers whether an entry is there', async () => {
    const stranger = client.with({});
    await client.put(entryPath('there'), { value: 1 });
    for (const method of ['GET', 'HEAD', 'DELETE', 'PUT']) {
      const body = method === 'PUT' ? { value: 1 } : undefined;
      for (const key of ['there', 'not-there']) {
        expect((await stranger.send(method, entryPath(key), { body })).status).toBe(401);
      }
    }
    stranger.close();
  });
});
