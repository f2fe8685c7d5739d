import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { clockAhead } from '../../../tools/harness/shifted-clock.mjs';
import { Client, entryPath } from './support/client.js';
import { logIn } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { onRealStores, type Service, startService } from './support/service.js';

const HOUR_MS = 3_600_000;
/** How far nodes may differ: a query of the database takes its time. */
const TOLERANCE_MS = 1000;
const SETTINGS = { JWT_SECRET: 'a secret of this test, long enough to sign tokens with' };

onRealStores.each([
  ['an hour ahead', HOUR_MS],
  ['an hour behind', -HOUR_MS],
  ['five seconds behind', -5000],
])('a node whose clock is %s agrees with the others', (_name, aheadMs) => {
  let service: Service;
  let node: Awaited<ReturnType<typeof startApi>>;
  /** The same caller on the node whose clock is right, and on that whose clock is wrong. */
  let clients: [right: Client, wrong: Client];

  beforeAll(async () => {
    service = await startService(SETTINGS);
    const { apiKey, adminEmail, adminPassword } = service.api;
    const admin = { BOOTSTRAP_API_KEY: apiKey, ADMIN_EMAIL: adminEmail, ADMIN_PASSWORD: adminPassword };
    node = await startApi({
      env: { LOG_LEVEL: 'error', ...SETTINGS, ...service.stores, ...admin, ...clockAhead(aheadMs) },
    });
    clients = [service.client, new Client(node.url, { 'x-api-key': apiKey })];
  });
  afterAll(async () => {
    await node.stop();
    await service.stop();
  });

  const me = async (client: Client, headers: Record<string, string>) =>
    (await client.with({}).get('/v1/auth/me', { headers })).status;

  /** What is to last for so many seconds from a request on that was made since then. */
  function expectLasting(until: string | null, seconds: number, sinceMs: number): void {
    const fromMs = Date.parse(String(until)) - seconds * 1000;
    expect(fromMs).toBeGreaterThan(sinceMs - TOLERANCE_MS);
    expect(fromMs).toBeLessThan(Date.now() + TOLERANCE_MS);
  }

  test('about when a key expires', async () => {
    for (const maker of clients) {
      const sinceMs = Date.now();
      const lasting = await mintKey(maker, { expires_in: 600 });
      expectLasting(lasting.expires_at, 600, sinceMs);
      for (const client of clients) {
        expect(await me(client, { 'x-api-key': lasting.api_key })).toBe(200);
        const brief = await mintKey(maker, { expires_in: 1 });
        let lastGrantAtMs = 0;
        await eventually('it is refused', async () => {
          const sentAtMs = Date.now();
          const status = await me(client, { 'x-api-key': brief.api_key });
          if (status === 200) lastGrantAtMs = sentAtMs;
          return status === 401;
        });
        expect(lastGrantAtMs).toBeLessThan(Date.parse(String(brief.expires_at)) + TOLERANCE_MS);
      }
    }
  });

  test('about how long the text works that a rotation replaced', async () => {
    for (const maker of clients) {
      const { api_key: before, key_id: id } = await mintKey(maker);
      const sinceMs = Date.now();
      const { json } = await maker.post(`/v1/auth/api-keys/${id}/rotate`, { overlap_seconds: 600 });
      const { previous_valid_until: until } = json as { previous_valid_until: string };
      expectLasting(until, 600, sinceMs);
      for (const client of clients) expect(await me(client, { 'x-api-key': before })).toBe(200);
      await maker.post(`/v1/auth/api-keys/${id}/rotate`, { overlap_seconds: 0 });
      for (const client of clients) {
        await eventually('it is refused', async () => (await me(client, { 'x-api-key': before })) === 401);
      }
    }
  });

  test('about who is logged in', async () => {
    const [right, wrong] = clients;
    const first = await logIn(service);
    const request = { email: node.adminEmail, password: node.adminPassword };
    const second = (await wrong.with({}).post('/v1/auth/login', request)).json as typeof first;
    for (const { access_token: token, refresh_token } of [first, second]) {
      for (const client of clients) expect(await me(client, { authorization: `Bearer ${token}` })).toBe(200);
      expect((await wrong.with({}).post('/v1/auth/refresh', { refresh_token })).status).toBe(200);
    }
    for (const client of [right, wrong]) {
      expect(await me(client, { authorization: `Bearer ${first.access_token}x` })).toBe(401);
    }
  });

  test('about what is left of an entry', async () => {
    for (const [index, writer] of clients.entries()) {
      const path = entryPath(`skewed-${index}`);
      expect((await writer.put(path, { value: 1, options: { ttl: 600 } })).status).toBe(201);
      for (const client of clients) {
        const { status, headers } = await client.get(path);
        expect(status).toBe(200);
        const [, ttl] = /; ttl=(\d+)/.exec(String(headers['cache-status'])) ?? [];
        expect(Math.abs(Number(ttl) - 600)).toBeLessThanOrEqual(60);
      }
      const brief = entryPath(`brief-${index}`);
      await writer.put(brief, { value: 1, options: { ttl: 1 } });
      for (const client of clients) {
        await eventually('it has expired', async () => (await client.get(brief)).status === 404);
        expectError(await client.get(brief), 404, 'CACHE_KEY_NOT_FOUND');
      }
    }
  });
});
