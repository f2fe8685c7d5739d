import { type ApiKey, apiKeyListSchema, apiKeySchema, type CreatedApiKey } from '@cache-system/contracts';
import { Client as Postgres } from 'pg';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { mintApiKey } from '../src/auth/api-key-format.js';
import { type Answer, Client } from './support/client.js';
import { adminClient, logIn } from './support/credentials.js';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { query } from './support/database.js';
import { expectError, expectExactly, expectViolation } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { onRealStores, type Service, startService } from './support/service.js';

const KEYS = '/v1/auth/api-keys';
const JWT_SECRET = 'a secret of this test, long enough to sign tokens with';

let service: Service;
let admin: Client;
beforeAll(async () => {
  service = await startService({ JWT_SECRET });
  admin = await adminClient(service);
});
afterAll(() => service.stop());

const using = ({ api_key: key }: Pick<CreatedApiKey, 'api_key'>) => service.client.with({ 'x-api-key': key });
const whoIs = (key: string) => service.client.with({}).get('/v1/auth/me', { headers: { 'x-api-key': key } });
const expectRefused = (answer: Answer) => expectError(answer, 401, 'AUTHENTICATION_FAILED');

describe('a new API key', () => {
  test('has exactly the fields of the specification and the documented extras', async () => {
    const made = await mintKey(admin, {
      name: 'Production Cache Access',
      permissions: ['cache:read', 'cache:write', 'monitor:read'],
      expires_in: 2_592_000,
    });
    expect(made).toEqual({
      api_key: expect.stringMatching(/^ck_live_[0-9A-Za-z]{38}$/) as string,
      key_id: expect.stringMatching(/^key_[0-9a-f]{20}$/) as string,
      name: 'Production Cache Access',
      permissions: ['cache:read', 'cache:write', 'monitor:read'],
      created_at: expect.any(String) as string,
      expires_at: expect.any(String) as string,
      rate_limit: { requests_per_minute: 166, burst_size: 200 },
      key_hint: made.api_key.slice(0, 12),
      namespace: 'default',
      key_prefixes: [],
      tier: 'basic',
      environment: 'live',
      state: 'active',
      has_own_rate_limit: false,
      allowed_ips: [],
      disabled: false,
      rotated_at: null,
      previous_valid_until: null,
      revoked_at: null,
      created_by: service.api.adminEmail,
      last_used_at: null,
    });
    expect(Date.parse(made.expires_at!) - Date.parse(made.created_at)).toBeCloseTo(2_592_000_000, -3);
  });

  test('is shown once', async () => {
    const made = await mintKey(admin);
    const { api_key: key, ...rest } = made;
    const list = await admin.get(KEYS);
    const one = await admin.get(`${KEYS}/${made.key_id}`);
    expect(expectExactly(apiKeyListSchema, list.json).api_keys).toContainEqual(rest);
    expect(expectExactly(apiKeySchema, one.json)).toEqual(rest);
    expect(list.text + one.text).not.toContain(key.slice(12));
  });

  test('is like no other', async () => {
    const keys = await Promise.all(Array.from({ length: 20 }, () => mintKey(admin)));
    expect(new Set(keys.map(({ api_key: key }) => key)).size).toBe(20);
    expect(new Set(keys.map(({ key_id: id }) => id)).size).toBe(20);
  });

  test.each<[string, object, string, RegExp]>([
    ['no name', { name: ' ' }, 'name', /too small/i],
    ['no permissions', { permissions: [] }, 'permissions', /too small/i],
    ['a permission that is none', { permissions: ['cache:fly'] }, 'permissions.0', /invalid option/i],
    ['an expiry in the past', { expires_in: -1 }, 'expires_in', /too small/i],
    ['half a second to live', { expires_in: 0.5 }, 'expires_in', /int/i],
    ['a namespace in capitals', { namespace: 'Other' }, 'namespace', /must be 1 to 64/],
    ['a tier that is none', { tier: 'platinum' }, 'tier', /invalid option/i],
    [
      'a rate of nothing',
      { rate_limit: { requests_per_minute: 0, burst_size: 1 } },
      'rate_limit.requests_per_minute',
      /too small/i,
    ],
    ['an id of its own', { key_id: 'key_1' }, '', /unknown: key_id/],
    ['a key of its own', { api_key: 'ck_live_mine', key_hash: 'x' }, '', /unknown: api_key, key_hash/],
    ['another maker', { created_by: 'somebody' }, '', /unknown: created_by/],
    ['a role', { role: 'admin' }, '', /unknown: role/],
    [
      'a field in its rate',
      { rate_limit: { requests_per_minute: 1, burst_size: 1, x: 1 } },
      'rate_limit',
      /unknown: x/,
    ],
  ])('with %s is malformed', async (_, fields, path, reason) => {
    expectViolation(await admin.post(KEYS, { name: 'x', permissions: ['cache:read'], ...fields }), path, reason);
  });

  test.each([
    '"__proto__":{"tier":"enterprise"}',
    '"constructor":{}',
    '"prototype":{}',
    '"rate_limit":{"__proto__":{}}',
  ])('with %s is malformed', async (field) => {
    const answer = await admin.post(KEYS, `{"name":"x","permissions":["cache:read"],${field}}`);
    expectViolation(answer, /"(__proto__|constructor|prototype)"/.exec(field)![1]!, /not a field/);
  });

  test.each([
    ['name', { name: 'a\0b' }],
    ['name', { name: 'half a pair \ud83d' }],
    ['name', { name: '\udc4d the other half' }],
    ['name', { name: 'two\r\nlines' }],
    ['name', { name: 'a colour \x1b[31m' }],
    ['name', { name: 'two\u2028lines' }],
    ['key_prefixes.0', { key_prefixes: ['a\0'] }],
    ['key_prefixes.0', { key_prefixes: ['\ud800'] }],
  ])('with a %s that is no line of text is malformed: %j', async (path, fields) => {
    const answer = await admin.post(KEYS, { name: 'x', permissions: ['cache:read'], ...fields });
    expectViolation(answer, path, /must not contain control characters/);
  });

  test('keeps a name as it was given', async () => {
    const name = 'Ünïcode 🎈 “quoted” <b>';
    expect((await mintKey(admin, { name: ` ${name} ` })).name).toBe(name);
  });

  test('for tests is told from others by its beginning, and works', async () => {
    const made = await mintKey(admin, { environment: 'test' });
    expect(made.api_key).toMatch(/^ck_test_[0-9A-Za-z]{38}$/);
    expect(made).toMatchObject({ environment: 'test', key_hint: made.api_key.slice(0, 12) });
    expect((await whoIs(made.api_key)).status).toBe(200);
  });
});

describe('an API key', () => {
  test('is taken from the header, the query and as bearer', async () => {
    const { api_key: key, key_id: id } = await mintKey(admin);
    const anyone = service.client.with({});
    const answers = await Promise.all([
      anyone.get('/v1/auth/me', { headers: { 'x-api-key': key } }),
      anyone.get(`/v1/auth/me?api_key=${key}`),
      anyone.get('/v1/auth/me', { headers: { authorization: `Bearer ${key}` } }),
      anyone.get('/v1/auth/me', { headers: { authorization: `bearer ${key}` } }),
    ]);
    for (const answer of answers) expect(answer.json).toMatchObject({ type: 'api_key', id });
  });

  test('with any one character changed is refused', async () => {
    const { api_key: key } = await mintKey(admin);
    expect((await whoIs(key)).status).toBe(200);
    for (let i = 0; i < key.length; i++) {
      const other = key[i] === 'a' ? 'b' : 'a';
      expectRefused(await whoIs(key.slice(0, i) + other + key.slice(i + 1)));
    }
  });

  test.each([
    ['well-formed but unknown', mintApiKey],
    ['cut short', () => service.api.apiKey.slice(0, -1)],
    ['longer by one', () => `${service.api.apiKey}x`],
    ['in other case', () => service.api.apiKey.toUpperCase()],
    ['empty', () => ''],
  ])('that is %s is refused', async (_, key) => {
    expectRefused(await whoIs(key()));
  });

  test('stops working when it expires', async () => {
    const { api_key: key, expires_at: expiresAt } = await mintKey(admin, { expires_in: 3 });
    let lastGood = 0;
    await eventually('it has expired', async () => {
      const sentAt = Date.now();
      const { status } = await whoIs(key);
      if (status === 200) lastGood = sentAt;
      return status === 401;
    });
    expect(lastGood).toBeGreaterThan(0);
    expect(lastGood).toBeLessThan(Date.parse(expiresAt!));
  });

  test('stops working at once when it is revoked, and for good', async () => {
    const made = await mintKey(admin);
    expect((await whoIs(made.api_key)).status).toBe(200);
    expect((await admin.delete(`${KEYS}/${made.key_id}`)).status).toBe(204);
    const after = await Promise.all(Array.from({ length: 20 }, () => whoIs(made.api_key)));
    after.forEach(expectRefused);
    expectError(await admin.get(`${KEYS}/${made.key_id}`), 404, 'RESOURCE_NOT_FOUND');
    expectError(await admin.delete(`${KEYS}/${made.key_id}`), 404, 'RESOURCE_NOT_FOUND');
    expect((await list(admin)).map(({ key_id: id }) => id)).not.toContain(made.key_id);
  });

  test('that is revoked amid its requests is good for none that is sent afterwards', async () => {
    const made = await mintKey(admin, { tier: 'enterprise' });
    let revoked = false;
    const lateGrants: Answer[] = [];
    const hammer = async (): Promise<void> => {
      for (let late = 0; late < 5;) {
        const sentAfter = revoked;
        const answer = await whoIs(made.api_key);
        if (sentAfter) late++;
        if (sentAfter && answer.status !== 401) lateGrants.push(answer);
      }
    };
    const hammers = Array.from({ length: 8 }, hammer);
    await admin.delete(`${KEYS}/${made.key_id}`);
    revoked = true;
    await Promise.all(hammers);
    expect(lateGrants).toEqual([]);
  });

  test('tells when it was last used, also where the process ended right after', async () => {
    const folder = createTemporaryFolder('last-used');
    const settings = { ...service.stores, DATA_DIR: folder.path };
    const first = await startApi({ env: settings });
    const used = await mintKey(new Client(first.url, { 'x-api-key': first.apiKey }));
    const me = await new Client(first.url).get('/v1/auth/me', { headers: { 'x-api-key': used.api_key } });
    expect(me.status).toBe(200);
    expect(await first.stop()).toBe(0);
    const again = await startApi({ env: { ...settings, BOOTSTRAP_API_KEY: first.apiKey } });
    const { json } = await new Client(again.url, { 'x-api-key': first.apiKey }).get(`${KEYS}/${used.key_id}`);
    expect(Date.parse(apiKeySchema.parse(json).last_used_at!)).toBeGreaterThanOrEqual(Date.parse(used.created_at));
    await again.stop();
    folder.remove();
  });

  test('tells when it was last used', async () => {
    const made = await mintKey(admin);
    const usedAt = Date.now();
    await whoIs(made.api_key);
    const lastUsedAt = async () => apiKeySchema.parse((await admin.get(`${KEYS}/${made.key_id}`)).json).last_used_at;
    await eventually('it is written down', async () => (await lastUsedAt()) !== null);
    expect(Math.abs(Date.parse((await lastUsedAt())!) - usedAt)).toBeLessThan(60_000);
  });

  test.each(['key_00000000000000000000', 'nothing', '%00', "'%20OR%201=1--"])('%s is not there', async (id) => {
    for (const answer of [await admin.get(`${KEYS}/${id}`), await admin.delete(`${KEYS}/${id}`)]) {
      expect([400, 404]).toContain(answer.status);
    }
  });

  test('sees and revokes those of its own namespace only', async () => {
    const rights = { permissions: ['admin:read', 'admin:write', 'cache:read'] };
    const here = await mintKey(admin, { ...rights, namespace: 'here' });
    const there = await mintKey(admin, { ...rights, namespace: 'there' });
    expect((await list(using(here))).map(({ key_id: id }) => id)).toEqual([here.key_id]);
    expectError(await using(here).get(`${KEYS}/${there.key_id}`), 404, 'RESOURCE_NOT_FOUND');
    expectError(await using(here).delete(`${KEYS}/${there.key_id}`), 404, 'RESOURCE_NOT_FOUND');
    expect((await whoIs(there.api_key)).status).toBe(200);
    const ids = (await list(admin)).map(({ key_id: id }) => id);
    expect(ids).toEqual(expect.arrayContaining([here.key_id, there.key_id]));
  });

  test('a key that it makes has no longer life and no higher tier', async () => {
    const rights = { permissions: ['admin:write', 'cache:read'], tier: 'free', expires_in: 600 };
    const parent = await mintKey(admin, rights);
    const child = await mintKey(using(parent), { permissions: ['cache:read'] });
    const longer = await mintKey(using(parent), { permissions: ['cache:read'], expires_in: 6000 });
    expect([child.tier, child.expires_at, longer.expires_at]).toEqual(['free', parent.expires_at, parent.expires_at]);
  });
});

/** What only nodes that share a database can show. */
onRealStores('on two nodes', () => {
  let second: Awaited<ReturnType<typeof startApi>>;
  let there: Client;
  beforeAll(async () => {
    const { apiKey } = service.api;
    second = await startApi({ env: { LOG_LEVEL: 'warn', ...service.stores, BOOTSTRAP_API_KEY: apiKey, JWT_SECRET } });
    there = new Client(second.url);
  });
  afterAll(() => second.stop());

  test('a key that one has made works on the other at once', async () => {
    const { api_key: key } = await mintKey(admin);
    expect((await there.get('/v1/auth/me', { headers: { 'x-api-key': key } })).status).toBe(200);
  });

  test('a key that one has revoked stops working on the other within a second', async () => {
    const { api_key: key, key_id: id } = await mintKey(admin, { tier: 'enterprise' });
    const ask = () => there.get('/v1/auth/me', { headers: { 'x-api-key': key } });
    expect((await ask()).status).toBe(200);
    await admin.delete(`${KEYS}/${id}`);
    const revokedAt = performance.now();
    let lastGrantAt = revokedAt;
    await eventually('it is refused', async () => {
      const sentAt = performance.now();
      const { status } = await ask();
      if (status === 200) lastGrantAt = sentAt;
      return status === 401;
    });
    expect(lastGrantAt - revokedAt).toBeLessThan(1000);
    expectRefused(await ask());
  });

  /** Runs a task while nobody can look an API key up. */
  async function withKeysLocked(task: () => Promise<void>): Promise<void> {
    const postgres = new Postgres({ connectionString: service.stores['DATABASE_URL'] });
    await postgres.connect();
    try {
      await postgres.query('BEGIN');
      await postgres.query('LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE');
      await task();
    } finally {
      await postgres.end();
    }
  }

  test('a logout makes none look its API keys up again', async () => {
    const { api_key: key } = await mintKey(admin, { tier: 'enterprise' });
    const headers = { 'x-api-key': key };
    const { access_token: token } = await logIn(service);
    const session = { headers: { authorization: `Bearer ${token}` } };
    const nodes = [service.client.with({}), there];
    for (const node of nodes) {
      expect((await node.get('/v1/auth/me', { headers })).status).toBe(200);
      expect((await node.get('/v1/auth/me', session)).status).toBe(200);
    }
    await withKeysLocked(async () => {
      expect((await nodes[0]!.post('/v1/auth/logout', undefined, session)).status).toBe(204);
      for (const node of nodes) {
        await eventually('the session is over', async () => (await node.get('/v1/auth/me', session)).status === 401);
        expect((await node.get('/v1/auth/me', { headers })).status).toBe(200);
      }
    });
  });

  test('of many requests at once with a key that a node does not know, one looks it up', async () => {
    const { api_key: key } = await mintKey(admin, { tier: 'enterprise' });
    const waiting = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
       AND query LIKE 'SELECT%key_hash%'`;
    const lookUps = async () => (await query(service, waiting)).length;
    let answers: Promise<Answer[]> | undefined;
    await withKeysLocked(async () => {
      answers = Promise.all(
        Array.from({ length: 30 }, () => there.get('/v1/auth/me', { headers: { 'x-api-key': key } })),
      );
      await eventually('it is looked up', async () => (await lookUps()) !== 0);
      // Whoever asks after all of them is answered: they have been taken in.
      expectRefused(await there.get('/v1/auth/me'));
      expect(await lookUps()).toBe(1);
    });
    expect((await answers!).map(({ status }) => status)).toEqual(Array<number>(30).fill(200));
  });
});

async function list(viewer: Client): Promise<ApiKey[]> {
  return apiKeyListSchema.parse((await viewer.get(KEYS)).json).api_keys;
}
