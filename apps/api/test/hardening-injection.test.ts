import { type Answer, type Client, entryPath } from './support/client.js';
import { findFreePort } from '../../../tools/harness/tied-process.mjs';
import { exchange, request } from './support/raw-http.js';
import { type Service, startService } from './support/service.js';
import { remember } from './support/unharmed.js';

let service: Service;
let client: Client;
let note: Awaited<ReturnType<typeof remember>>;
beforeAll(async () => {
  const source = { name: 'gone', prefix: 'gone:', type: 'http', retries: { max: 0 }, breaker: { failures: 1000 } };
  const definition = { ...source, http: { url: `http://127.0.0.1:${await findFreePort()}/{suffix}` } };
  service = await startService({
    LOG_LEVEL: 'trace',
    CACHE__SOURCES: JSON.stringify({ allowed_hosts: ['127.0.0.1'], definitions: [definition] }),
  });
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

const tagged = (tag: string) => `/v1/cache?tag=${encodeURIComponent(tag)}`;
const keysOf = ({ json }: Answer) => ((json as { keys?: { key: string }[] }).keys ?? []).map(({ key }) => key);

/** Texts that mean something to Redis, Lua, SQL, globs, shells and terminals, and are texts here. */
const HOSTILE = [
  `"]]..redis.call('FLUSHALL')--`,
  `'); redis.call("FLUSHALL") --`,
  `]] return redis.call('KEYS','*') --[[`,
  `KEYS[1]`,
  `ARGV[1]" .. "`,
  `'; DROP TABLE api_keys; --`,
  `" OR ""="`,
  '$(reboot)',
  '`reboot`',
  '${process.exit(1)}',
  '{{constructor.constructor("return process")()}}',
  '%s%n%x',
  '{a}b',
  '{}',
  '}{',
  'cache{}:default:witness',
  'default:witness',
  '*',
  '?',
  '[a-z]*',
  '\\',
  '\\*',
  '*1 $7 FLUSHDB',
  'a\u2028b\u2029c',
  '\u202egnirts',
];

describe('a text that is code elsewhere', () => {
  test.each(HOSTILE)('%j is a plain key, tag, prefix and pattern', async (text) => {
    const at = entryPath(text);
    const options = { tags: [text] };
    expect((await client.put(at, { value: text, options })).status).toBe(201);
    expect((await client.get(at)).json).toEqual({ key: text, value: text });
    expect((await client.patch(at, { value: text, merge_strategy: 'replace' })).status).toBe(200);
    expect((await client.post(`${at}/touch`, { ttl: 100 })).status).toBe(200);
    expect(keysOf(await client.get(`/v1/cache?prefix=${encodeURIComponent(text)}`))).toContain(text);
    const escaped = text.replace(/[\\*?[\]]/g, '\\$&');
    expect(keysOf(await client.get(`/v1/cache?pattern=${encodeURIComponent(escaped)}`))).toEqual([text]);
    expect(keysOf(await client.get(tagged(text)))).toEqual([text]);
    const { status, json } = await client.delete(tagged(text));
    expect([status, (json as { deleted: number }).deleted]).toEqual([200, 1]);
    expect((await client.get(at)).status).toBe(404);
    expect((await client.get(entryPath('witness'))).status).toBe(200);
  });

  test.each(['\r\nSET pwned 1\r\n', 'a\r\nSet-Cookie: a=b', 'a\0b', '\x1b[31mred', '\u009b31mred', 'a\nb', '\u007f'])(
    '%j is refused as a key, and as a tag it reaches no header and no other line',
    async (text) => {
      expect((await client.put(entryPath(text), { value: 1 })).status).toBe(400);
      expect((await client.post('/v1/cache/bulk/get', { keys: [text] })).status).toBeLessThan(500);
      const answers = [
        await client.put(entryPath('tagged'), { value: 1, options: { tags: [text] } }),
        await client.get(tagged(text)),
        await client.delete(tagged(text)),
        await client.get(`/v1/cache?prefix=${encodeURIComponent(text)}`),
        await client.get(`/v1/cache?pattern=${encodeURIComponent(text)}`),
        await client.post('/v1/cache/invalidate', { tags: [text] }),
        await client.get(`/v1/nowhere/${encodeURIComponent(text)}`),
      ];
      for (const { status, headers } of answers) {
        expect(status).toBeLessThan(500);
        expect(headers).not.toHaveProperty('set-cookie');
        for (const value of Object.values(headers)) expect(String(value)).toMatch(/^[\x20-\x7e]*$/);
      }
      await client.delete(entryPath('tagged'));
    },
  );
});

describe('patterns that make others count for ever', () => {
  test.each([
    `${'*a'.repeat(100)}b`,
    `${'*?'.repeat(100)}b`,
    `${'*'.repeat(500)}b`,
    `${'[a-z]*'.repeat(60)}!`,
    '(a+)+$',
    '^(([a-z])+.)+[A-Z]([a-z])+$',
    '['.repeat(400),
    `${'[!'.repeat(200)}]`,
    '\\'.repeat(401),
  ])('%s is answered', async (pattern) => {
    await client.put(entryPath('a'.repeat(500)), { value: 1 });
    const query = `pattern=${encodeURIComponent(pattern)}`;
    for (const answer of [
      await client.get(`/v1/cache?${query}`),
      await client.delete(`/v1/cache?${query}&dry_run=true`),
    ]) {
      expect([200, 400]).toContain(answer.status);
    }
    expect((await client.get('/health/live')).status).toBe(200);
  });
});

test('the log has a line for each record, in which nothing is anything but text', async () => {
  const evil = [
    'gone:\u2028x',
    'gone:\u202ex',
    'gone:"},{"level":60',
    "gone:' x",
    'gone:{"level":60}',
    'gone:\\n\\u001b[31m',
  ];
  for (const key of evil) {
    expect((await client.get(entryPath(key))).status).toBeGreaterThanOrEqual(500);
    await client.put(entryPath(key), { value: 1 });
  }
  for (const name of ['X-Request-Id', 'User-Agent', 'X-Forwarded-For', 'Referer', 'Authorization', 'X-API-Key']) {
    const headers = ['Host: x', `${name}: \u001b[2J"},{"level":60,"msg":"forged`, 'Connection: close'];
    await exchange(service, request('GET /v1/cache/gone:y HTTP/1.1', ...headers));
    await client.get(entryPath('gone:z'), { headers: { [name]: 'forged\u009b31m' } });
  }
  await client.with({}).post('/v1/auth/login', { email: 'a@b.co', password: '\n\u001b[31m{"level":60}' });
  const lines = service.api.output().split('\n');
  const records = lines.filter((line) => line.includes('"level":'));
  expect(records.length).toBeGreaterThan(evil.length);
  for (const line of records) {
    const { level, node } = JSON.parse(line) as { level: number; node: string };
    expect([10, 20, 30, 40, 50]).toContain(level);
    expect(node).not.toBe('');
  }
  expect(service.api.output()).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
});
