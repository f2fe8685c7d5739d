import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Client as Postgres } from 'pg';
import { type Item, parseList } from 'structured-headers';
import { type Answer, type Client, entryPath } from './support/client.js';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService, STORES } from './support/service.js';

/** So long that within a test none ends; but for midnight. */
const DAY = '86400';
const LIMIT = 12;
const BEHIND_A_PROXY = { SERVER__TRUSTED_PROXIES: '["127.0.0.1","10.0.0.0/8"]' };

const anAddress = () => `203.0.${randomInt(256)}.${randomInt(256)}`;
const from = (client: Client, ...addresses: string[]) =>
  client.with({ ...client.headers, 'x-forwarded-for': addresses.join(', ') });
const me = (client: Client) => client.get('/v1/auth/me');

/** Sends until it is refused: how many got through, and the refusal. */
async function exhaust(send: () => Promise<Answer>): Promise<{ passed: number; refusal: Answer }> {
  for (let passed = 0; passed < 500; passed++) {
    const refusal = await send();
    if (refusal.status === 429) return { passed, refusal };
  }
  throw new Error('nothing was refused');
}

/** A list of strings with parameters, as both fields of the IETF's draft are: dimension to parameters. */
function parsed(field: unknown): Record<string, unknown> {
  const items = parseList(String(field)) as Item[];
  return Object.fromEntries(items.map(([name, parameters]) => [String(name), Object.fromEntries(parameters)]));
}

describe('addresses, behind a proxy that is trusted', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({
      ...BEHIND_A_PROXY,
      RATE_LIMITS__IP__ENABLED: 'true',
      RATE_LIMITS__IP__LIMIT: String(LIMIT),
      RATE_LIMITS__IP__WINDOW: DAY,
    });
  });
  afterAll(() => service.stop());

  test('have an allowance each, of which every answer tells', async () => {
    const [one, other] = [from(service.client, anAddress()), from(service.client, anAddress())];
    const { headers } = await me(one);
    expect(headers).toMatchObject({
      'x-ratelimit-limit': String(LIMIT),
      'x-ratelimit-remaining': String(LIMIT - 1),
      'x-rate-limit-remaining': String(LIMIT - 1),
      'x-ratelimit-window': DAY,
      'x-ratelimit-policy': 'fixed-window',
    });
    expect(parsed(headers['ratelimit-policy'])).toEqual({
      ip: { q: LIMIT, w: Number(DAY) },
      key: { q: 36_000_000, w: 3600 },
    });
    const resetInSeconds = Number(headers['x-ratelimit-reset']) - Math.floor(Date.now() / 1000);
    const { ip } = parsed(headers['ratelimit']) as { ip: { r: number; t: number } };
    expect(ip.r).toBe(LIMIT - 1);
    expect(Math.abs(ip.t - resetInSeconds)).toBeLessThanOrEqual(1);
    const { passed, refusal } = await exhaust(() => me(one));
    expect(passed).toBe(LIMIT - 1);
    const details = expectError(refusal, 429, 'RATE_LIMIT_EXCEEDED');
    expect(details).toMatchObject({ limit: LIMIT, window: Number(DAY) });
    expect(refusal.headers).toMatchObject({
      'retry-after': String(details['retry_after']),
      'x-ratelimit-limit': String(LIMIT),
      'x-ratelimit-remaining': '0',
    });
    expect((await me(other)).status).toBe(200);
  });

  test('are counted where nobody is known, no route matches or the body cannot be read', async () => {
    const client = from(service.client, anAddress());
    const nobody = from(service.client.with({}), client.headers['x-forwarded-for']!);
    const answers = [
      await nobody.get('/v1/auth/me'),
      await nobody.get('/v1/auth/me', { headers: { 'x-api-key': 'ck_live_wrong' } }),
      await client.get('/v1/nothing-here'),
      await client.get('/nothing-here'),
      await client.post('/v1/auth/me', {}),
      await client.put('/v1/cache/a', 'x', { headers: { 'content-type': 'text/csv' } }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 404, 404, 405, 415]);
    for (const [index, { headers }] of answers.entries()) {
      expect(headers['x-ratelimit-remaining']).toBe(String(LIMIT - 1 - index));
    }
    await exhaust(() => nobody.get('/nothing-here'));
    expect((await nobody.post('/v1/auth/login', { email: 'a@b.co', password: 'x' })).status).toBe(429);
    expect((await me(client)).status).toBe(429);
  });

  test('are not got around by other spellings of a path, other methods or other keys', async () => {
    const client = from(service.client, anAddress());
    const paths = [
      '/v1/cache/A',
      '/v1/cache/a',
      '/v1/cache/%61',
      '//v1/cache/a',
      '/v1//cache/a',
      '/V1/cache/a',
      '/v1/cache/a/',
      '/v1/./cache/a',
    ];
    for (const path of paths) expect((await client.get(path)).status).not.toBe(429);
    for (const method of ['OPTIONS', 'HEAD', 'DELETE', 'PATCH']) {
      expect((await client.send(method, '/v1/cache/a', { body: method === 'PATCH' ? {} : undefined })).status).not.toBe(
        429,
      );
    }
    for (const path of paths) expect((await client.get(path)).status).toBe(429);
  });

  test('that the client adds itself are not believed: the last one before the proxy counts', async () => {
    const address = anAddress();
    const { passed } = await exhaust(() => me(from(service.client, anAddress(), address)));
    expect(passed).toBe(LIMIT);
    expect((await me(from(service.client, anAddress(), address, '10.1.2.3'))).status).toBe(429);
    const forwarded = { headers: { forwarded: `for=${anAddress()}` } };
    expect((await from(service.client, address).get('/v1/auth/me', forwarded)).status).toBe(429);
  });

  test('of IPv6 count as their network', async () => {
    const network = `2001:db8:${randomInt(1, 65_536).toString(16)}:7`;
    let host = 0;
    const { passed } = await exhaust(() => me(from(service.client, `${network}::${(++host).toString(16)}`)));
    expect(passed).toBe(LIMIT);
  });

  test('are counted for plain reads from memory', async () => {
    const client = from(service.client, anAddress());
    await client.put(entryPath('plain'), { value: 1 });
    const { passed } = await exhaust(() => client.get(entryPath('plain')));
    expect(passed).toBe(LIMIT - 1);
  });

  test('never count for health probes, also not those of an address that is refused', async () => {
    const client = from(service.client, anAddress());
    await exhaust(() => me(client));
    for (const path of ['/health/live', '/health/ready']) {
      const { status, headers } = await client.get(path);
      expect(status).toBe(200);
      expect(headers).not.toHaveProperty('x-ratelimit-limit');
    }
  });
});

test('X-Forwarded-For and Forwarded of anybody else change nothing, and plain reads are counted like all others', async () => {
  const service = await startService({
    RATE_LIMITS__IP__ENABLED: 'true',
    RATE_LIMITS__IP__LIMIT: '300',
    RATE_LIMITS__IP__WINDOW: DAY,
  });
  try {
    const { client } = service;
    await client.put(entryPath('plain'), { value: 1 });
    const remaining = async (answer: Promise<Answer>) => Number((await answer).headers['x-ratelimit-remaining']);
    const before = await remaining(client.get(entryPath('plain')));
    for (let i = 1; i <= 10; i++) {
      const headers = { 'x-forwarded-for': anAddress(), forwarded: `for=${anAddress()}`, 'x-real-ip': anAddress() };
      expect(await remaining(client.get(entryPath('plain'), i % 2 ? { headers } : {}))).toBe(before - i);
    }
    const { passed } = await exhaust(() => from(client, anAddress()).get(entryPath('plain')));
    expect(passed).toBe(before - 10);
  } finally {
    await service.stop();
  }
});

describe('a client that waits as long as Retry-After says', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({
      ...BEHIND_A_PROXY,
      RATE_LIMITS__IP__ENABLED: 'true',
      RATE_LIMITS__IP__LIMIT: '30',
      RATE_LIMITS__IP__WINDOW: '3',
      RATE_LIMITS__ENDPOINT__ENABLED: 'true',
      RATE_LIMITS__ENDPOINT__ROUTES: JSON.stringify({ 'GET /v1/auth/me': { limit: 6, window: 3 } }),
      RATE_LIMITS__GLOBAL__ENABLED: 'true',
      RATE_LIMITS__GLOBAL__LIMIT: '1',
      RATE_LIMITS__GLOBAL__WINDOW: '1',
      RATE_LIMITS__GLOBAL__BURST: '60',
    });
  });
  afterAll(() => service.stop());

  /** Floods until something is refused, waits, and gets through. */
  async function expectTrue(send: () => Promise<Answer>, policy: string): Promise<void> {
    let answers: Answer[];
    do answers = await Promise.all(Array.from({ length: 40 }, send));
    while (answers.every(({ status }) => status !== 429));
    // The last one that was refused knows best.
    const refused = answers.filter(({ status }) => status === 429);
    const waits = refused.map(({ headers }) => Number(headers['retry-after']));
    expect(refused.map(({ headers }) => headers['x-ratelimit-policy'])).toContain(policy);
    // No condition to wait for: the time itself is what was promised.
    await delay(Math.max(...waits) * 1000);
    expect((await send()).status).not.toBe(429);
  }

  const own = async (rateLimit: object) => {
    const { api_key: key } = await mintKey(from(service.client, anAddress()), { rate_limit: rateLimit });
    return from(service.client.with({ 'x-api-key': key }), anAddress());
  };

  test('gets through a token bucket', async () => {
    const client = await own({ requests_per_minute: 60, burst_size: 2 });
    await expectTrue(() => from(client, anAddress()).get('/v1/cache/a'), 'token-bucket');
  });

  test('gets through a sliding window', async () => {
    await expectTrue(() => me(from(service.client, anAddress())), 'sliding-window');
  });

  test('gets through a fixed window', async () => {
    const nobody = from(service.client.with({}), anAddress());
    await expectTrue(() => nobody.get('/v1/nowhere'), 'fixed-window');
  });

  test('gets through a leaky bucket', async () => {
    await expectTrue(() => from(service.client, anAddress()).get('/v1/cache/a'), 'leaky-bucket');
  });
});

describe('endpoints and everybody together', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({
      RATE_LIMITS__ENDPOINT__ENABLED: 'true',
      RATE_LIMITS__ENDPOINT__ROUTES: JSON.stringify({
        'GET /v1/auth/me': { limit: 5, window: 86_400 },
        'GET /v1/cache/:key': { limit: 7, window: 86_400 },
      }),
      RATE_LIMITS__GLOBAL__ENABLED: 'true',
      RATE_LIMITS__GLOBAL__LIMIT: '1',
      RATE_LIMITS__GLOBAL__WINDOW: DAY,
      RATE_LIMITS__GLOBAL__BURST: '40',
    });
  });

  test('are limited, and what was refused is in the audit log', async () => {
    const { client } = service;
    const spellings = ['/v1/auth/me', '/v1/auth/%6de', '/v1/auth/me?a=1', '/v1/auth/me?b', '/v1/auth/me'];
    for (const path of spellings) expect((await client.get(path)).status).toBe(200);
    const refusal = await me(client);
    expect(expectError(refusal, 429, 'RATE_LIMIT_EXCEEDED')).toMatchObject({ limit: 5, window: 86_400 });
    expect(refusal.headers['x-ratelimit-policy']).toBe('sliding-window');
    expect(Object.keys(parsed(refusal.headers['ratelimit']))).toContain('endpoint');

    await client.put(entryPath('plain'), { value: 1 });
    const reads = await exhaust(() => client.get(entryPath('plain')));
    expect(reads.passed).toBe(7);
    expect((await client.get(entryPath('other'))).status).toBe(429);
    expect((await client.send('HEAD', entryPath('other'))).status).toBe(429);

    // Who is not known takes nothing from those who are.
    const nobody = client.with({});
    for (let i = 0; i < 50; i++) expect((await me(nobody)).status).toBe(401);
    const rest = await exhaust(() => client.get('/v1/auth/api-keys'));
    expect(rest.passed).toBeGreaterThan(0);
    expect(rest.refusal.headers['x-ratelimit-policy']).toBe('leaky-bucket');
    expect((await client.get('/health/ready')).status).toBe(200);

    await service.stop();
    if (STORES === 'embedded') return;
    const postgres = new Postgres({ connectionString: service.stores['DATABASE_URL']! });
    await postgres.connect();
    const { rows } = await postgres.query<{
      after: { rejections: { dimension: string; subject: string; count: number }[] };
      outcome: string;
      actor: object;
    }>("SELECT after, outcome, actor FROM audit_log WHERE action = 'rate_limit.reject'");
    await postgres.end();
    expect(rows.length).toBeGreaterThan(0);
    const rejections = rows.flatMap(({ after }) => after.rejections);
    expect(rejections).toContainEqual({ dimension: 'endpoint', subject: 'GET /v1/auth/me', count: 1 });
    expect(rejections).toContainEqual({ dimension: 'global', subject: 'all', count: expect.any(Number) as number });
    for (const { outcome, actor } of rows) {
      expect(outcome).toBe('refused');
      expect(actor).toMatchObject({ type: 'system' });
    }
  });
});
