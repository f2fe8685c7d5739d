import { randomBytes } from 'node:crypto';
import { type Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectBadKey, expectError, expectViolation, expectWritten } from './support/expectations.js';
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
afterAll(async () => {
  admin.close();
  await service.stop();
});

describe('a key is opaque', () => {
  const KEYS = [
    'user:12345',
    'a/b',
    '/',
    '//',
    '../../etc/passwd',
    '.',
    '..',
    '%',
    '%2F',
    '%252F',
    'a b',
    'a+b',
    'a?b=c&d#e',
    'a;b',
    '*',
    '[a-z]*?\\',
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'touch',
    'increment',
    'bulk',
    'default:x',
    '{slot}',
    ':',
    'null',
    '0',
    '"\'`<>|',
    '\u00e9',
    'e\u0301',
    'K',
    'k',
    'ｋ',
    '\u200b',
    '\ufeff',
    '😀',
    '👩‍👩‍👧',
    'مرحبا',
    '\u2028',
    '\uffff',
    'a'.repeat(512),
    '😀'.repeat(128),
  ];

  test('each holds its own value and none meets another', async () => {
    for (const key of KEYS) expectWritten(await client.put(entryPath(key), { value: `of ${key}` }), 'created');
    for (const key of KEYS) {
      expect((await client.get(entryPath(key))).json).toEqual({ key, value: `of ${key}` });
      expect((await client.delete(`${entryPath(key)}?cascade=false`)).status).toBe(204);
      expect((await client.get(entryPath(key))).json).toEqual({ key, value: `of ${key}` });
    }
  });

  test.each(KEYS)('every operation takes %j', async (key) => {
    const at = entryPath(key);
    expectWritten(await client.put(at, { value: { n: 1 } }), 'updated');
    expectWritten(await client.post(at, { value: { n: 2 } }), 'updated');
    expect(expectWritten(await client.patch(at, { value: { m: 3 } }), 'updated').key).toBe(key);
    expect((await client.post(`${at}/touch`, { ttl: 50 })).json).toMatchObject({ key, status: 'touched' });
    expect(expectError(await client.post(`${at}/increment`), 422, 'MERGE_NOT_POSSIBLE')).toMatchObject({ key });
    expect((await client.send('HEAD', at)).status).toBe(200);
    expect((await client.get(at)).json).toEqual({ key, value: { n: 2, m: 3 } });
    expect((await client.delete(at)).status).toBe(204);
    expect(expectError(await client.get(at), 404, 'CACHE_KEY_NOT_FOUND')).toMatchObject({ key });
  });

  test('is the same however it is percent encoded', async () => {
    await client.put('/v1/cache/user%3A%31', { value: 1 });
    for (const at of ['/v1/cache/user:1', '/v1/cache/%75ser%3a1', '/v1/cache/user:1?']) {
      expect((await client.get(at)).json).toEqual({ key: 'user:1', value: 1 });
    }
  });
});

describe('a key must be well-formed', () => {
  test.each([
    ['513 bytes', 'a'.repeat(513), /at most 512 bytes of UTF-8/],
    ['129 characters of 4 bytes', '%F0%9F%98%80'.repeat(129), /at most 512 bytes of UTF-8/],
    ['15,000 bytes', 'a'.repeat(15_000), /at most 512 bytes of UTF-8/],
    ['NUL', 'a%00b', /must not contain control characters/],
    ['a line feed', 'a%0Ab', /must not contain control characters/],
    ['CR and LF', '%0D%0ASet-Cookie:x', /must not contain control characters/],
    ['DEL', '%7F', /must not contain control characters/],
    ['a C1 control', '%C2%85', /must not contain control characters/],
    ['half an escape', 'a%2', /percent-encoded UTF-8/],
    ['an escape that is none', '%zz', /percent-encoded UTF-8/],
    ['a byte that is not UTF-8', '%FF', /percent-encoded UTF-8/],
    ['an overlong encoding', '%C0%AF', /percent-encoded UTF-8/],
    ['a surrogate', '%ED%A0%80', /percent-encoded UTF-8/],
    ['half a character', '%F0%9F', /percent-encoded UTF-8/],
  ])('%s', async (_name, encoded, rule) => {
    const at = `/v1/cache/${encoded}`;
    expectBadKey(await client.get(at), rule);
    expectBadKey(await client.put(at, { value: 1 }), rule);
    expectBadKey(await client.post(`${at}/increment`), rule);
    expectBadKey(await client.delete(at), rule);
  });

  test('a slash that is not encoded is another route', async () => {
    expectError(await client.put('/v1/cache/a/b', { value: 1 }), 404, 'ROUTE_NOT_FOUND');
  });
});

describe('namespaces never meet', () => {
  const inNamespace = (namespace: string) => ({ headers: { 'x-cache-namespace': namespace } });

  test('a user picks one with a header and gets default without', async () => {
    const at = entryPath('picked');
    for (const name of ['default', 'team-a', 'team_b']) {
      expectWritten(await admin.put(at, { value: name }, inNamespace(name)), 'created');
    }
    for (const name of ['default', 'team-a', 'team_b']) {
      expect((await admin.get(at, inNamespace(name))).json).toEqual({ key: 'picked', value: name });
    }
    expect((await admin.get(at)).json).toEqual({ key: 'picked', value: 'default' });
    expect((await client.get(at)).json).toEqual({ key: 'picked', value: 'default' });
    expect((await admin.get('/v1/auth/me', inNamespace('team-a'))).json).toMatchObject({ namespace: 'team-a' });
    expectError(await admin.get('/v1/auth/me', inNamespace('A B')), 400, 'INVALID_REQUEST');
    await admin.delete(at, inNamespace('team-a'));
    expectError(await admin.get(at, inNamespace('team-a')), 404, 'CACHE_KEY_NOT_FOUND');
    expect((await admin.get(at, inNamespace('team_b'))).status).toBe(200);
  });

  test('an API key stays in its own whatever the header says', async () => {
    const at = entryPath('kept-apart');
    const [ofA, ofB] = await Promise.all(
      ['keys-a', 'keys-b'].map(async (namespace) =>
        client.with({ 'x-api-key': (await mintKey(admin, { namespace })).api_key, 'x-cache-namespace': 'keys-a' }),
      ),
    );
    expectWritten(await ofA!.put(at, { value: 'a' }), 'created');
    expectError(await ofB!.get(at), 404, 'CACHE_KEY_NOT_FOUND');
    expectError(await ofB!.delete(at), 404, 'CACHE_KEY_NOT_FOUND');
    expectWritten(await ofB!.put(at, { value: 'b' }), 'created');
    expect((await ofA!.get(at)).json).toEqual({ key: 'kept-apart', value: 'a' });
    expect((await admin.get(at, inNamespace('keys-b'))).json).toEqual({ key: 'kept-apart', value: 'b' });
    expectError(await client.get(at), 404, 'CACHE_KEY_NOT_FOUND');
    ofA!.close();
    ofB!.close();
  });

  test.each(['', 'A', 'a:b', 'ä', '-a', 'a'.repeat(65), 'a, b', '../a'])('%j is no namespace', async (name) => {
    expectViolation(await admin.get(entryPath('k'), inNamespace(name)), 'X-Cache-Namespace', /1 to 64 of a-z/);
  });
});

describe('key prefixes', () => {
  test('an API key gets nowhere outside of its prefixes', async () => {
    const prefixes = ['member:', 'séance/'];
    const limited = client.with({ 'x-api-key': (await mintKey(admin, { key_prefixes: prefixes })).api_key });
    for (const key of ['member:1', 'member:', 'séance/x']) {
      expectWritten(await limited.put(entryPath(key), { value: 1 }), 'created');
      expect((await limited.get(entryPath(key))).status).toBe(200);
    }
    for (const key of ['members:1', 'Member:1', 'x', ' member:1', '../member:1']) {
      await client.put(entryPath(key), { value: 'of another' });
      const at = entryPath(key);
      const answers = [
        await limited.get(at),
        await limited.put(at, { value: 1 }),
        await limited.post(at, { value: 1 }),
        await limited.patch(at, { value: {} }),
        await limited.delete(at),
        await limited.post(`${at}/touch`, { ttl: 1 }),
        await limited.post(`${at}/increment`),
      ];
      for (const answer of answers) {
        const details = expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS');
        expect(details).toEqual({ key, allowed_prefixes: prefixes });
      }
      expect((await client.get(at)).json).toEqual({ key, value: 'of another' });
    }
    limited.close();
  });

  test('a prefix that is encoded in the path is the same prefix', async () => {
    const limited = client.with({ 'x-api-key': (await mintKey(admin, { key_prefixes: ['a/b'] })).api_key });
    const rest = randomBytes(4).toString('hex');
    expectWritten(await limited.put(`/v1/cache/%61%2F%62${rest}`, { value: 1 }), 'created');
    expect((await client.get(entryPath(`a/b${rest}`))).status).toBe(200);
    limited.close();
  });
});
