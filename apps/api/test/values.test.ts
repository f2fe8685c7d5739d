import { type Client, entryPath, valueText } from './support/client.js';
import { expectError, expectWritten } from './support/expectations.js';
import { type Service, SHARED_LAYERS, startService } from './support/service.js';

const MAX_VALUE_BYTES = 1024 * 1024;

let service: Service;
let client: Client;

beforeAll(async () => {
  service = await startService();
  client = service.client;
});
afterAll(() => service.stop());

describe('a value comes back byte for byte from every layer', () => {
  test.each([
    ['an integer beyond 2^53', '9007199254740993'],
    ['an integer of 60 digits', '-123456789012345678901234567890123456789012345678901234567890'],
    ['negative zero', '-0'],
    ['a fraction of zero', '1.0'],
    ['trailing zeros', '1.500'],
    ['an exponent as it was spelled', '1E400'],
    ['an underflow', '1e-400'],
    ['plus in an exponent', '1e+2'],
    ['members in their order, numbers for names included', '{"b":1,"a":2,"10":3,"2":4,"1":5}'],
    ['escapes as they were spelled', String.raw`"\u0041\/\n\"\\ \u00e9"`],
    ['a lone high surrogate escape', String.raw`"\ud800"`],
    ['a lone low surrogate escape in a name', String.raw`{"\udead":1}`],
    ['a surrogate pair escape', String.raw`"\ud83d\ude00"`],
    ['an escaped NUL', String.raw`"\u0000"`],
    ['characters of every length in UTF-8', '"aé\u2028😀\u007f"'],
    ['whitespace inside', '{ "a" :\n\t[ 1 ,\r 2 ] }'],
    ['a name that occurs twice', '{"a":1,"a":2}'],
    ['names that JavaScript knows', '{"__proto__":{"x":1},"constructor":{"prototype":1},"toString":null}'],
    ['an empty string', '""'],
    ['an empty array', '[]'],
    ['an empty object', '{}'],
    ['null', 'null'],
    ['true', 'true'],
    ['false', 'false'],
    ['100 levels', '['.repeat(100) + ']'.repeat(100)],
  ])('%s', async (name, text) => {
    const at = entryPath(name);
    const answer = await client.put(at, `{"value":${text}}`);
    expect(expectWritten(answer, 'created').metadata.size_bytes).toBe(Buffer.byteLength(text));
    expect(valueText(await client.get(at), name)).toBe(text);
    await client.delete(`${at}?cascade=false`);
    const shared = await client.get(at);
    expect(SHARED_LAYERS).toContain(shared.headers['x-cache-layer']);
    expect(valueText(shared, name)).toBe(text);
  });

  test('whitespace around it is not part of it', async () => {
    await client.put(entryPath('around'), ' \r\n{ "value" \t:\n  { "a":1 } \r\n, "options" : { "ttl" : 5 } } \n');
    expect(valueText(await client.get(entryPath('around')), 'around')).toBe('{ "a":1 }');
  });

  test('the name value may be escaped and the members come in any order', async () => {
    await client.put(entryPath('escaped'), String.raw`{"options":{},"\u0076alue":"x"}`);
    expect(valueText(await client.get(entryPath('escaped')), 'escaped')).toBe('"x"');
  });

  test('a charset parameter changes nothing', async () => {
    const headers = { 'content-type': 'application/json; charset=iso-8859-1' };
    await client.put(entryPath('charset'), '{"value":"é"}', { headers });
    expect(valueText(await client.get(entryPath('charset')), 'charset')).toBe('"é"');
  });
});

describe('the size of a value', () => {
  const ofBytes = (bytes: number) => `"${'x'.repeat(bytes - 2)}"`;

  test('may be exactly the limit', async () => {
    const text = ofBytes(MAX_VALUE_BYTES);
    const { metadata } = expectWritten(await client.put(entryPath('full'), `{"value":${text}}`), 'created');
    expect(metadata.size_bytes).toBe(MAX_VALUE_BYTES);
    expect(valueText(await client.get(entryPath('full')), 'full') === text).toBe(true);
  });

  test('one byte above is 413 with size and limit and leaves the entry alone', async () => {
    await client.put(entryPath('kept'), { value: 'kept' });
    const answer = await client.put(entryPath('kept'), `{"value":${ofBytes(MAX_VALUE_BYTES + 1)}}`);
    const size = { size_bytes: MAX_VALUE_BYTES + 1, limit_bytes: MAX_VALUE_BYTES };
    expect(expectError(answer, 413, 'PAYLOAD_TOO_LARGE')).toEqual({ part: 'value', ...size });
    expect(valueText(await client.get(entryPath('kept')), 'kept')).toBe('"kept"');
  });

  test('counts bytes and not characters', async () => {
    const inTwoBytes = (bytes: number) => `"${'é'.repeat((bytes - 2) / 2)}"`;
    expectWritten(await client.put(entryPath('é'), `{"value":${inTwoBytes(MAX_VALUE_BYTES)}}`), 'created');
    const above = await client.put(entryPath('é'), `{"value":${inTwoBytes(MAX_VALUE_BYTES + 2)}}`);
    expect(expectError(above, 413, 'PAYLOAD_TOO_LARGE')).toMatchObject({ size_bytes: MAX_VALUE_BYTES + 2 });
  });

  test('whitespace round the value does not count', async () => {
    const body = `{"value":${' '.repeat(30_000)}${ofBytes(MAX_VALUE_BYTES)}${' '.repeat(30_000)}}`;
    expectWritten(await client.put(entryPath('blank'), body), 'created');
  });

  test('holds for what a patch makes of it', async () => {
    await client.put(entryPath('growing'), `{"value":{"a":${ofBytes(MAX_VALUE_BYTES - 6)}}}`);
    const answer = await client.patch(entryPath('growing'), { value: { b: 1 } });
    expect(expectError(answer, 413, 'PAYLOAD_TOO_LARGE')).toMatchObject({
      part: 'value',
      limit_bytes: MAX_VALUE_BYTES,
    });
    const copy = [{ op: 'copy', from: '/a', path: '/b' }];
    const headers = { 'content-type': 'application/json-patch+json' };
    expectError(await client.patch(entryPath('growing'), copy, { headers }), 413, 'PAYLOAD_TOO_LARGE');
    expect((await client.get(entryPath('growing'))).json).toMatchObject({ value: { a: expect.any(String) as string } });
  });

  test.each([2, 20])('a body of %i MiB is 413 and the connection stays usable', async (mebibytes) => {
    const body = `{"value":${ofBytes(mebibytes * MAX_VALUE_BYTES)}}`;
    for (let round = 0; round < 5; round++) {
      const answer = await client.put(entryPath('huge'), body);
      const details = expectError(answer, 413, 'PAYLOAD_TOO_LARGE');
      expect(details).toEqual({ part: 'body', limit_bytes: MAX_VALUE_BYTES + 64 * 1024 });
    }
    expectError(await client.get(entryPath('huge')), 404, 'CACHE_KEY_NOT_FOUND');
  });

  test('a body that does not say its length is held to the same limit', async () => {
    const headers = { 'transfer-encoding': 'chunked' };
    for (let round = 0; round < 5; round++) {
      const answer = await client.put(entryPath('chunked'), `{"value":${ofBytes(3 * MAX_VALUE_BYTES)}}`, { headers });
      expect(expectError(answer, 413, 'PAYLOAD_TOO_LARGE')).toMatchObject({ part: 'body' });
    }
  });
});
