import { gzipSync } from 'node:zlib';
import { type Client, entryPath } from './support/client.js';
import { expectBadKey, expectError, expectViolation, expectWritten } from './support/expectations.js';
import { type Service, startService } from './support/service.js';
import { remember } from './support/unharmed.js';

let service: Service;
let client: Client;
let note: Awaited<ReturnType<typeof remember>>;
const at = entryPath('bad');

beforeAll(async () => {
  service = await startService();
  client = service.client;
  note = await remember(service);
});
afterAll(async () => {
  try {
    await note.expectUnharmed();
  } finally {
    await service.stop();
  }
});
// Nothing in this file may store anything.
afterEach(async () => expectError(await client.get(at), 404, 'CACHE_KEY_NOT_FOUND'));

const TTL_RULE = /must be a whole number of seconds from 0 \(no expiry\) to 315360000/;
const NOT_JSON = /the body is not valid JSON/;
const NO_OBJECT = /the body must be a JSON object/;
const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))));

describe('a body is refused with the field and the rule', () => {
  test.each<[name: string, body: unknown, field: string, rule: RegExp]>([
    ['nothing', '', '', /a JSON body is required/],
    ['blanks', ' \n', '', NOT_JSON],
    ['half an object', '{"value":', '', NOT_JSON],
    ['a trailing comma', '{"value":1,}', '', NOT_JSON],
    ['single quotes', "{'value':1}", '', NOT_JSON],
    ['a comment', '{"value":1}//', '', NOT_JSON],
    ['NaN', '{"value":NaN}', '', NOT_JSON],
    ['two documents', '{"value":1}{"value":2}', '', NOT_JSON],
    ['a raw control character', '{"value":"\u0001"}', '', NOT_JSON],
    ['a byte order mark', bytes([0xef, 0xbb, 0xbf], '{"value":1}'), '', NOT_JSON],
    ['invalid UTF-8', bytes('{"value":"', [0xc3, 0x28], '"}'), '', /not valid UTF-8/],
    ['a surrogate in UTF-8', bytes('{"value":"', [0xed, 0xa0, 0x80], '"}'), '', /not valid UTF-8/],
    ['an overlong slash', bytes('{"value":"', [0xc0, 0xaf], '"}'), '', /not valid UTF-8/],
    ['UTF-16', Buffer.from('\ufeff{"value":1}', 'utf16le'), '', /not valid UTF-8/],
    ['gzip that does not say so', gzipSync('{"value":1}'), '', /not valid UTF-8/],
    ['an array', '[{"value":1}]', '', NO_OBJECT],
    ['a string', '"value"', '', NO_OBJECT],
    ['a number', '1', '', NO_OBJECT],
    ['null', 'null', '', NO_OBJECT],
    ['no value', '{}', 'value', /is required/],
    ['an inherited value', '{"__proto__":{"value":1}}', 'value', /is required/],
    ['an unknown field', '{"value":1,"extra":1}', '', /unknown: extra/],
    ['a field in other letters', '{"value":1,"Options":{}}', '', /unknown: Options/],
    ['__proto__ as a field', '{"value":1,"__proto__":{"options":{"ttl":1}}}', '', /unknown: __proto__/],
    ['constructor as a field', '{"value":1,"constructor":{"prototype":{"ttl":1}}}', '', /unknown: constructor/],
    ['__proto__ as an option', '{"value":1,"options":{"__proto__":{"ttl":1}}}', 'options', /unknown: __proto__/],
    ['an unknown option', '{"value":1,"options":{"lifetime":1}}', 'options', /unknown: lifetime/],
    ['the value twice', '{"value":1,"value":1}', 'value', /is there twice/],
    ['the value twice, once escaped', String.raw`{"value":1,"\u0076alue":1}`, 'value', /is there twice/],
    ['options twice', '{"value":1,"options":{},"options":{}}', 'options', /is there twice/],
    ['an option twice', '{"value":1,"options":{"ttl":1,"ttl":2}}', 'options.ttl', /is there twice/],
    ['options that are null', '{"value":1,"options":null}', 'options', /expected object/],
    ['options that are a list', '{"value":1,"options":[]}', 'options', /expected object/],
    ['options that are a text', '{"value":1,"options":"{}"}', 'options', /expected object/],
    ['a negative ttl', '{"value":1,"options":{"ttl":-1}}', 'options.ttl', TTL_RULE],
    ['a fractional ttl', '{"value":1,"options":{"ttl":1.5}}', 'options.ttl', TTL_RULE],
    ['a huge ttl', '{"value":1,"options":{"ttl":315360001}}', 'options.ttl', TTL_RULE],
    ['an infinite ttl', '{"value":1,"options":{"ttl":1e400}}', 'options.ttl', TTL_RULE],
    ['a ttl that is a text', '{"value":1,"options":{"ttl":"60"}}', 'options.ttl', TTL_RULE],
    ['a ttl that is null', '{"value":1,"options":{"ttl":null}}', 'options.ttl', TTL_RULE],
    [
      'an if_version that is a number',
      '{"value":1,"options":{"if_version":1}}',
      'options.if_version',
      /expected string/,
    ],
    ['101 levels', `{"value":${'['.repeat(101)}${']'.repeat(101)}}`, 'value', /nested deeper than 100 levels/],
    ['100,000 arrays', `{"value":${'['.repeat(1e5)}${']'.repeat(1e5)}}`, 'value', /nested deeper than 100 levels/],
    [
      '100,000 objects',
      `{"value":${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}}`,
      'value',
      /nested deeper than 100 levels/,
    ],
    ['100,000 arrays left open', `{"value":${'['.repeat(1e5)}`, '', NOT_JSON],
  ])('%s', async (_name, body, field, rule) => {
    expectViolation(await client.put(at, body), field, rule);
    expectViolation(await client.post(at, body), field, rule);
    expectViolation(await client.patch(at, body), field, rule);
  });

  test('the server keeps its defaults after bodies that aim at the prototype', async () => {
    const written = expectWritten(await client.put(entryPath('clean'), { value: {} }), 'created');
    const { created_at, expires_at } = written.metadata;
    expect(Date.parse(expires_at ?? '') - Date.parse(created_at)).toBe(3_600_000);
    expect((await client.get(entryPath('clean'))).text).toBe('{"key":"clean","value":{}}');
  });
});

test('a value of 2 MiB is 413 again and again', async () => {
  const body = `{"value":"${'x'.repeat(2 * 1024 * 1024)}"}`;
  for (let round = 0; round < 50; round++) {
    expect(expectError(await client.put(at, body), 413, 'PAYLOAD_TOO_LARGE')).toMatchObject({ part: 'body' });
  }
});

describe('a query is refused with the field and the rule', () => {
  test.each([
    '-1',
    '1e400',
    'abc',
    '1.5',
    '',
    '%20',
    '+5',
    '0x10',
    '315360001',
    '99999999999999999999',
    '%00',
    '%EF%BC%91',
  ])('ttl=%s', async (ttl) => {
    expectViolation(await client.put(`${at}?ttl=${ttl}`, { value: 1 }), 'ttl', TTL_RULE);
    expectViolation(await client.patch(`${at}?ttl=${ttl}`, { value: {} }), 'ttl', TTL_RULE);
  });

  test.each([
    ['PUT', 'ttl=1&ttl=2', 'ttl', /expected string, received array/],
    ['PUT', 'strategy=write-never', 'strategy', /write-through.*write-behind.*write-around/],
    ['PUT', 'format=xml', 'format', /must be one of json, msgpack/],
    ['PUT', 'tll=5', '', /unknown: tll/],
    ['PUT', '__proto__=1', '', /unknown: __proto__/],
    ['PUT', 'ttl[$gt]=1', '', /unknown: ttl\[\$gt\]/],
    ['PATCH', 'strategy=write-around', '', /unknown: strategy/],
    ['GET', 'include_metadata=1', 'include_metadata', /must be true or false/],
    ['GET', 'include_metadata=true&include_metadata=true', 'include_metadata', /must be true or false/],
    ['GET', 'ttl=5', '', /unknown: ttl/],
    ['DELETE', 'cascade=no', 'cascade', /must be true or false/],
    ['DELETE', 'pattern', 'pattern', /Too small/],
  ])('%s with %s', async (method, query, field, rule) => {
    const body = method === 'PUT' || method === 'PATCH' ? { value: {} } : undefined;
    expectViolation(await client.send(method, encodeURI(`${at}?${query}`), { body }), field, rule);
  });
});

describe('a body in another type is 415 and told what is spoken', () => {
  const ALL = [
    'application/json',
    'application/msgpack',
    'application/x-msgpack',
    'application/vnd.msgpack',
    'application/protobuf',
    'application/x-protobuf',
    'application/bson',
  ];
  const FOR_PATCH = [...ALL, 'application/merge-patch+json', 'application/json-patch+json'];

  test.each([
    ['PUT', 'text/plain', ALL],
    ['PUT', '', ALL],
    ['PUT', 'nonsense', ALL],
    ['PUT', 'application/jsonx', ALL],
    ['PUT', 'application/xml', ALL],
    ['PUT', 'multipart/form-data; boundary=x', ALL],
    ['PUT', 'application/x-www-form-urlencoded', ALL],
    ['PUT', 'application/merge-patch+json', ALL],
    ['POST', 'application/json-patch+json', ALL],
    ['POST', 'text/json', ALL],
    ['PATCH', 'text/plain', FOR_PATCH],
  ])('%s as %j', async (method, type, supported) => {
    const answer = await client.send(method, at, { body: '{"value":1}', headers: { 'content-type': type } });
    expect(expectError(answer, 415, 'UNSUPPORTED_MEDIA_TYPE')).toEqual({ header: 'Content-Type', supported });
    expect(answer.headers['accept']).toBe(supported.join(', '));
  });

  test.each(['compress', 'zstd', 'gzip, identity', 'nonsense'])('or encoded as %s', async (encoding) => {
    const headers = { 'content-encoding': encoding };
    const answer = await client.put(at, gzipSync('{"value":1}'), { headers });
    const details = expectError(answer, 415, 'UNSUPPORTED_MEDIA_TYPE');
    expect(details).toEqual({ header: 'Content-Encoding', supported: ['gzip', 'deflate', 'br', 'identity'] });
    expect(answer.headers['accept-encoding']).toBe('gzip, deflate, br, identity');
  });

  test('but identity is no encoding and type names know no case', async () => {
    const headers = { 'content-encoding': 'identity', 'content-type': 'Application/JSON;charset=UTF-8' };
    expectWritten(await client.put(entryPath('identity'), '{"value":1}', { headers }), 'created');
  });
});

describe('a path', () => {
  test.each([
    '/',
    '/v1',
    '/v2/cache/bad',
    '/V1/cache/bad',
    '//v1/cache/bad',
    '/v1//cache/bad',
    '/v1/cache/bad/',
    '/v1/schema',
  ])('%s is no route', async (path) => {
    const details = expectError(await client.send('PROPFIND', path), 404, 'ROUTE_NOT_FOUND');
    expect(details).toEqual({ method: 'PROPFIND', path });
  });

  test.each([
    ['TRACE', '/v1/cache/bad', 'DELETE, GET, HEAD, PATCH, POST, PUT'],
    ['PROPFIND', '/v1/cache/bad', 'DELETE, GET, HEAD, PATCH, POST, PUT'],
    ['GET', '/v1/cache/bad/touch', 'POST'],
    ['PUT', '/v1/cache/bad/increment', 'POST'],
    ['DELETE', '/v1/auth/login', 'POST'],
    ['POST', '/health/live', 'GET, HEAD'],
  ])('%s %s is 405 with Allow', async (method, path, allow) => {
    const answer = await client.send(method, path);
    expect(expectError(answer, 405, 'METHOD_NOT_ALLOWED')).toEqual({ method, allowed: allow.split(', ') });
    expect(answer.headers['allow']).toBe(allow);
  });

  test.each(['/v1/cache/%zz', '/v1/cache/%zz?x=1', '/v1/cache/%zz?format=bson'])('%s is a bad key', async (path) => {
    const answer = await client.get(path, { headers: { accept: 'application/json' } });
    expect(answer.status).toBe(400);
    expect((await client.get('/health/live')).status).toBe(200);
  });

  test('of 20 KB is 413 and one of 15 KB says that the key is too long', async () => {
    const answer = await client.get(`/v1/cache/${'k'.repeat(20_000)}`);
    const details = expectError(answer, 413, 'PAYLOAD_TOO_LARGE');
    expect(details).toEqual({ part: 'request line and headers', limit_bytes: 16_384 });
    expectBadKey(await client.get(`/v1/cache/${'k'.repeat(15_000)}`), /at most 512 bytes/);
  });
});
