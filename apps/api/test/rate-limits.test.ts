import { setTimeout as delay } from 'node:timers/promises';
import type { Answer, Client } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService } from './support/service.js';

const LIMIT_HEADERS = [
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'x-ratelimit-reset',
  'x-ratelimit-window',
  'x-ratelimit-policy',
  'x-rate-limit-remaining',
  'ratelimit',
  'ratelimit-policy',
];

let service: Service;
let admin: Client;
beforeAll(async () => {
  service = await startService();
  admin = await adminClient(service);
});
afterAll(() => service.stop());

/** A client whose allowance comes back so slowly that within a test it does not. */
async function limitedTo(burst: number, perMinute = 1): Promise<Client> {
  const { api_key: key } = await mintKey(admin, {
    permissions: ['cache:read', 'cache:write'],
    rate_limit: { requests_per_minute: perMinute, burst_size: burst },
  });
  return service.client.with({ 'x-api-key': key });
}

const me = (client: Client) => client.get('/v1/auth/me');
const nowSeconds = () => Math.floor(Date.now() / 1000);

function expectLimited(answer: Answer): Record<string, unknown> {
  const details = expectError(answer, 429, 'RATE_LIMIT_EXCEEDED');
  expect(answer.json).toMatchObject({ error: { message: 'Request rate limit exceeded' } });
  expect(Object.keys(details).sort()).toEqual(['limit', 'reset_at', 'retry_after', 'window']);
  expect(answer.headers['retry-after']).toBe(String(details['retry_after']));
  expect(answer.headers['x-ratelimit-remaining']).toBe('0');
  return details;
}

describe('a caller', () => {
  test('is told with each answer what is left, counting down', async () => {
    const client = await limitedTo(3);
    for (const remaining of ['2', '1', '0']) {
      const { status, headers } = await me(client);
      expect(status).toBe(200);
      expect(headers).toMatchObject({
        'x-ratelimit-limit': '1',
        'x-ratelimit-remaining': remaining,
        'x-rate-limit-remaining': remaining,
        'x-ratelimit-window': '60',
        'x-ratelimit-policy': 'token-bucket',
        'ratelimit-policy': '"key";q=1;w=60',
        ratelimit: expect.stringMatching(new RegExp(`^"key";r=${remaining};t=\\d+$`)) as string,
      });
      const resetInSeconds = Number(headers['x-ratelimit-reset']) - nowSeconds();
      // A token a minute: as many minutes as tokens are missing.
      expect(resetInSeconds).toBeGreaterThan(60 * (2 - Number(remaining)));
      expect(resetInSeconds).toBeLessThanOrEqual(60 * (3 - Number(remaining)) + 1);
    }
    const details = expectLimited(await me(client));
    expect(details).toMatchObject({ limit: 1, window: 60 });
    expect(Date.parse(String(details['reset_at']))).toBeGreaterThan(Date.now());
  });

  test('that waits as long as Retry-After says gets through', async () => {
    const client = await limitedTo(2, 60);
    let answer: Answer;
    do answer = await me(client);
    while (answer.status === 200);
    const { retry_after: waitSeconds } = expectLimited(answer);
    expect(waitSeconds).toBe(1);
    // No condition to wait for: the time itself is what was promised.
    await delay(Number(waitSeconds) * 1000);
    expect((await me(client)).status).toBe(200);
  });

  test('gets its burst and not one request more, however many come at once', async () => {
    const client = await limitedTo(10);
    const answers = await Promise.all(Array.from({ length: 60 }, () => me(client)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
    answers.filter(({ status }) => status !== 200).forEach(expectLimited);
  });

  test('has one allowance, whichever way it sends its key', async () => {
    const { api_key: key } = await mintKey(admin, { rate_limit: { requests_per_minute: 1, burst_size: 2 } });
    const anyone = service.client.with({});
    expect((await anyone.get('/v1/auth/me', { headers: { 'x-api-key': key } })).status).toBe(200);
    expect((await anyone.get('/v1/auth/me', { headers: { authorization: `Bearer ${key}` } })).status).toBe(200);
    expectLimited(await anyone.get(`/v1/auth/me?api_key=${key}`));
  });

  test('has no allowance of another', async () => {
    const [spent, fresh] = [await limitedTo(1), await limitedTo(1)];
    await me(spent);
    expectLimited(await me(spent));
    expect((await me(fresh)).status).toBe(200);
    expect((await me(admin)).status).toBe(200);
  });

  test('is counted on every route and for every answer', async () => {
    const client = await limitedTo(5);
    const answers = [
      await client.get('/v1/cache/not-there'),
      await client.put('/v1/cache/limited', { value: 1 }),
      await client.get('/v1/cache/limited'),
      await client.put('/v1/cache/limited', 'not json'),
      await client.get('/v1/auth/api-keys'),
    ];
    expect(answers.map(({ status }) => status)).toEqual([404, 201, 200, 400, 403]);
    expect(answers.map(({ headers }) => headers['x-ratelimit-remaining'])).toEqual(['4', '3', '2', '1', '0']);
    expectLimited(await client.get('/v1/cache/limited'));
    expectLimited(await client.put('/v1/cache/limited', { value: 2 }));
    expect((await service.client.get('/v1/cache/limited')).json).toMatchObject({ value: 1 });
  });

  test.each([
    ['free', '1000', '49'],
    ['basic', '10000', '199'],
    ['pro', '100000', '999'],
    ['enterprise', '36000000', '19999'],
  ])('of the tier %s has that tier’s limits', async (tier, limit, remaining) => {
    const { api_key: key } = await mintKey(admin, { tier });
    const { headers } = await me(service.client.with({ 'x-api-key': key }));
    expect(headers).toMatchObject({ 'x-ratelimit-limit': limit, 'x-ratelimit-remaining': remaining });
  });
});

describe('health probes', () => {
  test('are never limited, also not for a caller who is', async () => {
    const client = await limitedTo(1);
    await me(client);
    expectLimited(await me(client));
    const probes = Array.from({ length: 100 }, (_, i) => client.get(i % 2 ? '/health/live' : '/health/ready'));
    for (const { status, headers } of await Promise.all(probes)) {
      expect(status).toBe(200);
      for (const name of LIMIT_HEADERS) expect(headers).not.toHaveProperty(name);
    }
  });
});

describe('limits that are switched off', () => {
  test('limit nobody and are not told', async () => {
    const unlimited = await startService({ RATE_LIMITS__ENABLED: 'false' });
    try {
      const { api_key: key } = await mintKey(unlimited.client, {
        rate_limit: { requests_per_minute: 1, burst_size: 1 },
      });
      const client = unlimited.client.with({ 'x-api-key': key });
      for (const { status, headers } of await Promise.all(Array.from({ length: 20 }, () => me(client)))) {
        expect(status).toBe(200);
        for (const name of LIMIT_HEADERS) expect(headers).not.toHaveProperty(name);
      }
    } finally {
      await unlimited.stop();
    }
  });
});
