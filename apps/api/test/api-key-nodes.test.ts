import type { CreatedApiKey } from '@cache-system/contracts';
import { Client as Postgres } from 'pg';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { startTcpProxy } from '../../../tools/harness/tcp-proxy.mjs';
import { mintApiKey } from '../src/auth/api-key-format.js';
import { type Answer, Client, entryPath } from './support/client.js';
import { EventReader } from './support/event-reader.js';
import { adminClient } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { onRealStores, type Service, startService } from './support/service.js';

const KEYS = '/v1/auth/api-keys';
/** On whichever node, after the change is answered. */
const BOUND_MS = 1000;
const KEY = 'in-l1-of-both';

onRealStores('what is changed of a key on one node is in force on the other within a second', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let service: Service;
  let second: Awaited<ReturnType<typeof startApi>>;
  let admin: Client;

  beforeAll(async () => {
    redis = await startRedis();
    // What L1 has is read on while Redis is frozen, however long a busy machine takes.
    const settings = { REDIS_URL: redis.url, CACHE__LAYERS__L1__OUTAGE_GRACE: '600' };
    service = await startService(settings);
    const env = { ...service.stores, ...settings, LOG_LEVEL: 'error', BOOTSTRAP_API_KEY: service.api.apiKey };
    second = await startApi({ env });
    admin = service.client;
    await admin.put(entryPath(KEY), { value: 1 });
  });
  afterAll(async () => {
    await second.stop();
    await service.stop();
    await redis.stop();
  });

  const there = ({ api_key: key }: Pick<CreatedApiKey, 'api_key'>) => new Client(second.url, { 'x-api-key': key });
  const patch = ({ key_id: id }: CreatedApiKey, change: object) => admin.patch(`${KEYS}/${id}`, change);

  /** Reads on the other node, by the short way, until it answers so; nothing else is answered once the time is over. */
  async function becomes(status: number, key: CreatedApiKey, change: () => Promise<Answer>): Promise<void> {
    const client = there(key);
    const read = () => client.get(entryPath(KEY));
    await eventually('it is read from L1', async () => (await read()).headers['x-cache-layer'] === 'L1');
    expect((await change()).status).toBeLessThan(300);
    const changedAt = performance.now();
    let lastOtherAt = changedAt;
    await eventually(`the answer is ${status}`, async () => {
      const sentAt = performance.now();
      const answer = await read();
      if (answer.status !== status) lastOtherAt = sentAt;
      return answer.status === status;
    });
    expect(lastOtherAt - changedAt).toBeLessThan(BOUND_MS);
    for (let i = 0; i < 5; i++) expect((await read()).status).toBe(status);
    client.close();
  }

  const CHANGES: [string, number, (key: CreatedApiKey) => Promise<Answer>][] = [
    ['it is revoked', 401, ({ key_id: id }) => admin.delete(`${KEYS}/${id}`)],
    ['it is disabled', 401, (key) => patch(key, { disabled: true })],
    ['it is rotated', 401, ({ key_id: id }) => admin.post(`${KEYS}/${id}/rotate`, { overlap_seconds: 0 })],
    ['it loses the permission', 403, (key) => patch(key, { permissions: ['cache:write'] })],
    ['it loses the prefix', 403, (key) => patch(key, { key_prefixes: ['other:'] })],
    ['it may come from elsewhere only', 403, (key) => patch(key, { allowed_ips: ['203.0.113.7'] })],
  ];

  test.each(CHANGES)('%s', async (_, status, change) => {
    const key = await mintKey(admin, { tier: 'enterprise' });
    await becomes(status, key, () => change(key));
  });

  test.each<[string, number, (key: CreatedApiKey) => Promise<Answer>]>([
    ['is revoked', 401, ({ key_id: id }) => admin.delete(`${KEYS}/${id}`)],
    ['is rotated', 401, ({ key_id: id }) => admin.post(`${KEYS}/${id}/rotate`, { overlap_seconds: 0 })],
    ['may not any more', 403, (key) => patch(key, { permissions: ['cache:read'] })],
  ])('a key that %s makes no other, not even within that second', async (_, status, change) => {
    const key = await mintKey(admin, { permissions: ['admin:write', 'cache:read'], tier: 'enterprise' });
    const make = () => there(key).post(KEYS, { name: 'a successor', permissions: ['cache:read'] });
    expect((await make()).status).toBe(201);
    expect((await change(key)).status).toBeLessThan(300);
    expect((await make()).status).toBe(status);
  });

  test('it may less often, and more often again', async () => {
    const key = await mintKey(admin, { tier: 'enterprise' });
    const slow = { requests_per_minute: 1, burst_size: 1 };
    const me = async () => (await there(key).get('/v1/auth/me')).status;
    expect(await me()).toBe(200);
    await patch(key, { rate_limit: slow });
    await eventually('it is limited', async () => (await me()) === 429);
    await patch(key, { rate_limit: null });
    await eventually('it is not limited', async () => (await me()) === 200);
  });

  test('the old text ends with the overlap', async () => {
    const key = await mintKey(admin, { tier: 'enterprise' });
    const me = () => there(key).get('/v1/auth/me');
    expect((await me()).status).toBe(200);
    const { json } = await admin.post(`${KEYS}/${key.key_id}/rotate`, { overlap_seconds: 2 });
    const { previous_valid_until: until, api_key: next } = json as CreatedApiKey;
    let lastGrantAt = 0;
    await eventually('the overlap is over', async () => {
      const sentAt = Date.now();
      const { status } = await me();
      if (status === 200) lastGrantAt = sentAt;
      return status === 401;
    });
    expect(lastGrantAt).toBeGreaterThan(Date.parse(until!) - 2000);
    expect(lastGrantAt).toBeLessThan(Date.parse(until!));
    expect((await there({ api_key: next }).get('/v1/auth/me')).status).toBe(200);
  });

  test.each<[string, object]>([
    ['loses the permission', { permissions: ['cache:write'] }],
    ['is disabled', { disabled: true }],
    ['gets other prefixes', { key_prefixes: ['other:'] }],
  ])('a stream of events ends where its key %s, and no other does', async (_, change) => {
    const key = await mintKey(admin);
    const [stream, other] = [await EventReader.open(there(key)), await EventReader.open(there(await mintKey(admin)))];
    await patch(key, change);
    expect(await stream.ends()).toMatchObject({ event: 'end', data: { reason: 'not_authorized' } });
    expect(other.hasEnded).toBe(false);
    other.close();
  });

  test('it is said when a key that is served from memory was used', async () => {
    const key = await mintKey(admin, { tier: 'enterprise' });
    const client = there(key);
    const read = () => client.get(entryPath(KEY));
    await eventually('it is read from L1', async () => (await read()).headers['x-cache-layer'] === 'L1');
    const postgres = new Postgres({ connectionString: service.stores['DATABASE_URL'] });
    await postgres.connect();
    const usedAt = async () => {
      const { rows } = await postgres.query('SELECT last_used_at FROM api_keys WHERE id = $1', [key.key_id]);
      return (rows as { last_used_at: Date | null }[])[0]!.last_used_at;
    };
    await eventually('the first use is written down', async () => (await usedAt()) !== null);
    const long = new Date(0);
    await postgres.query('UPDATE api_keys SET last_used_at = $1 WHERE id = $2', [long, key.key_id]);
    await eventually('a later use is written down', async () => {
      await read();
      return (await usedAt())! > long;
    });
    await postgres.end();
  });

  test('the audit log says who changed what, from what to what, and no secret', async () => {
    const key = await mintKey(admin, { name: 'audited' });
    await patch(key, { name: 'audited again' });
    const { json } = await admin.post(`${KEYS}/${key.key_id}/rotate`, { overlap_seconds: 60 });
    await admin.delete(`${KEYS}/${key.key_id}`);
    expectError(await patch(key, { name: 'too late' }), 404, 'RESOURCE_NOT_FOUND');
    const postgres = new Postgres({ connectionString: service.stores['DATABASE_URL'] });
    await postgres.connect();
    const { rows } = await postgres.query<Record<'action' | 'actor' | 'before' | 'after', unknown>>(
      `SELECT action, actor, before, after FROM audit_log WHERE target->>'id' = $1 ORDER BY seq`,
      [key.key_id],
    );
    await postgres.end();
    const actor = expect.objectContaining({ type: 'api_key', name: 'bootstrap', address: '127.0.0.1' }) as unknown;
    const named = (name: string) => expect.objectContaining({ name, key_id: key.key_id }) as unknown;
    expect(rows).toEqual([
      { action: 'api_key.create', actor, before: null, after: named('audited') },
      { action: 'api_key.change', actor, before: named('audited'), after: named('audited again') },
      { action: 'api_key.rotate', actor, before: named('audited again'), after: named('audited again') },
      { action: 'api_key.revoke', actor, before: named('audited again'), after: null },
    ]);
    for (const { api_key: text } of [key, json as CreatedApiKey])
      expect(JSON.stringify(rows)).not.toContain(text.slice(12));
  });

  describe('also while Redis does not answer, and so no node hears of another:', () => {
    beforeAll(() => redis.freeze());
    afterAll(() => redis.thaw());

    test.each(CHANGES)('%s', async (_, status, change) => {
      const key = await mintKey(admin, { tier: 'enterprise' });
      await becomes(status, key, () => change(key));
    });
  });
});

onRealStores('while the database is away', () => {
  let database: Awaited<ReturnType<typeof startTcpProxy>>;
  let service: Service;
  let admin: Client;
  beforeAll(async () => {
    const url = new URL(process.env['TEST_DATABASE_URL']!);
    database = await startTcpProxy(Number(url.port));
    const direct = await startService();
    await direct.stop();
    const through = new URL(direct.stores['DATABASE_URL']!);
    through.port = String(database.port);
    service = await startService({
      DATABASE_URL: through.href,
      BOOTSTRAP_API_KEY: direct.api.apiKey,
      ADMIN_PASSWORD: direct.api.adminPassword,
      SECURITY__AUTHENTICATION__DATABASE_OUTAGE_GRACE: '600',
    });
    admin = service.client;
  });
  afterAll(async () => {
    await service.stop();
    await database.stop();
  });
  const me = async ({ api_key: key }: Pick<CreatedApiKey, 'api_key'>) =>
    (await service.client.with({ 'x-api-key': key }).get('/v1/auth/me')).status;

  test('known keys work, no longer than they would; the others get 503, and so does every change; then all is as before', async () => {
    const [known, unknown, unused] = [await mintKey(admin), { api_key: mintApiKey() }, await mintKey(admin)];
    const expiring = await mintKey(admin, { expires_in: 10, tier: 'enterprise' });
    const rotated = await mintKey(admin, { tier: 'enterprise' });
    await admin.post(`${KEYS}/${rotated.key_id}/rotate`, { overlap_seconds: 10 });
    expect(await Promise.all([known, expiring, rotated].map(me))).toEqual([200, 200, 200]);

    const user = await adminClient(service);
    expect((await user.get('/v1/auth/me')).status).toBe(200);
    const mistyped = { api_key: mintApiKey().replace(/.$/, (last) => (last === 'a' ? 'b' : 'a')) };

    database.reset();
    expect(await me(known)).toBe(200);
    expect((await user.get('/v1/auth/me')).status).toBe(200);
    expect([await me(unknown), await me(unused)]).toEqual([503, 503]);
    expect(await me(mistyped)).toBe(401);
    for (const answer of [
      await admin.post(KEYS, { name: 'x', permissions: ['cache:read'] }),
      await admin.get(KEYS),
      await admin.patch(`${KEYS}/${known.key_id}`, { name: 'x' }),
      await admin.post(`${KEYS}/${known.key_id}/rotate`, { overlap_seconds: 0 }),
      await admin.delete(`${KEYS}/${known.key_id}`),
      await user.get('/v1/admin/users'),
      await user.post('/v1/admin/users', { email: 'new@example.com', role: 'viewer' }),
      await user.post('/v1/auth/logout'),
      await user.post('/v1/auth/change-password', { current_password: 'x', new_password: 'a longer horse has more' }),
      await user.with({}).post('/v1/auth/login', { email: 'admin@example.com', password: 'x' }),
      await user.with({}).post('/v1/auth/refresh', { refresh_token: 'x' }),
    ]) {
      expect(expectError(answer, 503, 'SERVICE_OVERLOADED')).toEqual({ dependency: 'database' });
    }
    // Not 401: whether it was extended meanwhile, nobody knows here.
    for (const ended of [expiring, rotated])
      await eventually('it has ended', async () => (await me(ended)) === 503, 30_000);
    expect(await me(known)).toBe(200);

    await database.pass();
    await eventually('keys are looked up again', async () => (await me(unused)) === 200);
    expect(await Promise.all([known, unknown, expiring, rotated].map(me))).toEqual([200, 401, 401, 401]);
    expect((await admin.patch(`${KEYS}/${known.key_id}`, { name: 'again' })).status).toBe(200);
  });
});
