import { incrementResponseSchema } from '@cache-system/contracts';
import { type Answer, type Client, entryPath, valueText } from './support/client.js';
import { expectError, expectExactly, expectViolation, expectWritten } from './support/expectations.js';
import { DEEPEST_LAYER, LAYERS, type Service, startService } from './support/service.js';

let service: Service;
let client: Client;

beforeAll(async () => {
  service = await startService({ [`CACHE__LAYERS__${DEEPEST_LAYER}__TTL_DEFAULT`]: '7200' });
  client = service.client;
});
afterAll(() => service.stop());

const increment = (key: string, body?: unknown, headers: Record<string, string> = {}) =>
  client.post(entryPath(key, '/increment'), body, { headers });

/** The new value as the text that came: a number of JavaScript would lose digits. */
function newValue(answer: Answer): string | undefined {
  expect(answer.status).toBeLessThan(300);
  return /"value":([^,}]+)/.exec(answer.text)?.[1];
}

describe('increment', () => {
  test('creates with 201 from initial and goes on with 200', async () => {
    const created = await increment('counter', { by: 5, initial: 10 });
    expect(created.status).toBe(201);
    expect(expectExactly(incrementResponseSchema, created.json)).toMatchObject({
      key: 'counter',
      status: 'created',
      value: 15,
      cache_layers: LAYERS,
    });
    const updated = await increment('counter', { by: -20, initial: 1000 });
    expect([updated.status, newValue(updated)]).toEqual([200, '-5']);
    expect(updated.headers['etag']).not.toBe(created.headers['etag']);
    expect((await client.get(entryPath('counter'))).text).toBe('{"key":"counter","value":-5}');
  });

  test('without a body or with an empty one adds one to zero', async () => {
    expect(newValue(await increment('bare'))).toBe('1');
    expect(newValue(await increment('bare', {}))).toBe('2');
  });

  test('is exact beyond 2^53', async () => {
    await client.put(entryPath('big'), '{"value":9007199254740993}');
    expect(newValue(await increment('big'))).toBe('9007199254740994');
    expect(newValue(await increment('big', '{"by":123456789012345678901234567890}'))).toBe(
      '123456789012354686100489308884',
    );
    expect(newValue(await increment('big', '{"by":-123456789012345678901234567890}'))).toBe('9007199254740994');
    expect(newValue(await increment('big-start', '{"initial":18446744073709551615}'))).toBe('18446744073709551616');
    expect(valueText(await client.get(entryPath('big-start')), 'big-start')).toBe('18446744073709551616');
  });

  test('adds fractions as doubles', async () => {
    await client.put(entryPath('fraction'), { value: 1.5 });
    expect(newValue(await increment('fraction', { by: 0.25 }))).toBe('1.75');
    expect(newValue(await increment('fraction', '{"by":1e2}'))).toBe('101.75');
  });

  test('64 at once lose none and each sees a sum of its own', async () => {
    const answers = await Promise.all(Array.from({ length: 64 }, () => increment('parallel')));
    const sums = answers.map((answer) => Number(newValue(answer)));
    expect(sums.sort((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, i) => i + 1));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect((await client.get(entryPath('parallel'))).json).toEqual({ key: 'parallel', value: 64 });
  });

  test('64 at once beyond 2^53 lose none', async () => {
    await client.put(entryPath('big-parallel'), '{"value":9007199254740993}');
    await Promise.all(Array.from({ length: 64 }, () => increment('big-parallel', { by: 3 })));
    expect(valueText(await client.get(entryPath('big-parallel')), 'big-parallel')).toBe('9007199254741185');
  });
});

describe('the expiry of a counter', () => {
  const expiryOf = (answer: Answer) => expectExactly(incrementResponseSchema, answer.json).metadata.expires_at;

  test('stays unless a ttl is given', async () => {
    const first = await increment('expiring', { ttl: 100 });
    expect(expiryOf(await increment('expiring'))).toBe(expiryOf(first));
    const later = Date.parse(expiryOf(await increment('expiring', { ttl: 1000 })) ?? '');
    expect(later).toBeGreaterThan(Date.parse(expiryOf(first) ?? '') + 800_000);
    expect(expiryOf(await increment('expiring', { ttl: 0 }))).toBeNull();
    expect(expiryOf(await increment('expiring'))).toBeNull();
  });

  test('is the default for one that starts without a ttl', async () => {
    const { metadata } = expectExactly(incrementResponseSchema, (await increment('started')).json);
    expect(Date.parse(metadata.expires_at ?? '') - Date.parse(metadata.created_at)).toBe(7_200_000);
  });
});

describe('what cannot be incremented', () => {
  test.each(['"1"', 'null', 'true', '[1]', '{"a":1}', '""'])('%s is 422 and stays', async (text) => {
    const key = `not-a-number:${text}`;
    expectWritten(await client.put(entryPath(key), `{"value":${text}}`), 'created');
    const details = expectError(await increment(key), 422, 'MERGE_NOT_POSSIBLE');
    expect(details).toEqual({ key, reason: 'the stored value is not a number' });
    expect(valueText(await client.get(entryPath(key)), key)).toBe(text);
  });

  test('a sum beyond a double is 422 and the value stays', async () => {
    await client.put(entryPath('limit'), '{"value":1.7e308}');
    const details = expectError(await increment('limit', '{"by":1.7e308}'), 422, 'MERGE_NOT_POSSIBLE');
    expect(details).toMatchObject({ key: 'limit', reason: expect.stringContaining('double') as string });
    expect(valueText(await client.get(entryPath('limit')), 'limit')).toBe('1.7e308');
  });

  test('a number of very many digits is 422 and does not cost time', async () => {
    await client.put(entryPath('digits'), `{"value":${'9'.repeat(1_000_000)}}`);
    expectError(await increment('digits'), 422, 'MERGE_NOT_POSSIBLE');
  });

  test.each([
    ['{"by":"1"}', 'by', /number/],
    ['{"by":null}', 'by', /number/],
    ['{"by":1e400}', 'by', /number/],
    ['{"initial":[]}', 'initial', /number/],
    ['{"ttl":-1}', 'ttl', /whole number of seconds/],
    ['{"ttl":1.5}', 'ttl', /whole number of seconds/],
    ['{"step":1}', '', /unknown: step/],
    ['{"by":1,"by":2}', 'by', /twice/],
    ['[]', '', /must be a JSON object/],
    ['{', '', /not valid JSON/],
  ])('a body of %s is 400', async (body, field, rule) => {
    expectViolation(await increment('refused', body), field, rule);
    expectError(await client.get(entryPath('refused')), 404, 'CACHE_KEY_NOT_FOUND');
  });
});

describe('preconditions of an increment', () => {
  test('If-Match and If-None-Match are heeded', async () => {
    const { headers } = await increment('conditional');
    const etag = String(headers['etag']);
    expectError(await increment('conditional', {}, { 'if-none-match': '*' }), 412, 'PRECONDITION_FAILED');
    expectError(await increment('conditional', {}, { 'if-match': '"other"' }), 412, 'PRECONDITION_FAILED');
    expect(newValue(await increment('conditional', {}, { 'if-match': etag }))).toBe('2');
    expectError(await increment('conditional', {}, { 'if-match': etag }), 412, 'PRECONDITION_FAILED');
    expectError(await increment('unconditional', {}, { 'if-match': '*' }), 412, 'PRECONDITION_FAILED');
    expect(newValue(await increment('unconditional', {}, { 'if-none-match': '*' }))).toBe('1');
  });
});
