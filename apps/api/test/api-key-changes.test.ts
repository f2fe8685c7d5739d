import { type ApiKey, apiKeySchema, type CreatedApiKey } from '@cache-system/contracts';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectError, expectExactly, expectViolation } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService } from './support/service.js';

const KEYS = '/v1/auth/api-keys';

let service: Service;
let admin: Client;
beforeAll(async () => {
  service = await startService();
  admin = await adminClient(service);
});
afterAll(() => service.stop());

const using = ({ api_key: key }: Pick<CreatedApiKey, 'api_key'>) => service.client.with({ 'x-api-key': key });
const patch = (by: Client, { key_id: id }: Pick<ApiKey, 'key_id'>, change: unknown) =>
  by.patch(`${KEYS}/${id}`, change);

async function changed(key: Pick<ApiKey, 'key_id'>, change: object, by = admin): Promise<ApiKey> {
  const answer = await patch(by, key, change);
  expect({ status: answer.status, json: answer.json }).toMatchObject({ status: 200 });
  return expectExactly(apiKeySchema, answer.json);
}

describe('a change', () => {
  test.each<[string, object, object]>([
    ['name', { name: 'Another name' }, { name: 'Another name' }],
    ['permissions', { permissions: ['cache:*'] }, { permissions: ['cache:*'] }],
    ['key_prefixes', { key_prefixes: ['order:'] }, { key_prefixes: ['order:'] }],
    ['key_prefixes', { key_prefixes: [] }, { key_prefixes: [] }],
    ['tier', { tier: 'pro' }, { tier: 'pro' }],
    [
      'rate_limit',
      { rate_limit: { requests_per_minute: 7, burst_size: 3 } },
      { rate_limit: { requests_per_minute: 7, burst_size: 3 }, has_own_rate_limit: true },
    ],
    [
      'rate_limit',
      { rate_limit: null },
      { rate_limit: { requests_per_minute: 16, burst_size: 50 }, has_own_rate_limit: false },
    ],
    ['allowed_ips', { allowed_ips: ['2001:db8::/32'] }, { allowed_ips: ['2001:db8::/32'] }],
    ['allowed_ips', { allowed_ips: [] }, { allowed_ips: [] }],
    ['disabled', { disabled: true }, { disabled: true, state: 'disabled' }],
    ['expires_in', { expires_in: null }, { expires_at: null }],
  ])('of %s changes that alone: %j', async (_, change, expected) => {
    const { api_key: _key, ...made } = await mintKey(admin, {
      tier: 'free',
      expires_in: 600,
      key_prefixes: ['user:'],
      rate_limit: { requests_per_minute: 60, burst_size: 30 },
      allowed_ips: ['203.0.113.0/24'],
    });
    const after = await changed(made, change);
    expect(after).toEqual({ ...made, ...expected });
    expect((await admin.get(`${KEYS}/${made.key_id}`)).json).toEqual(after);
  });

  test('of the expiry counts from now', async () => {
    const made = await mintKey(admin, { expires_in: 60 });
    const before = Date.now();
    const { expires_at: at } = await changed(made, { expires_in: 3600 });
    expect(Date.parse(at!)).toBeGreaterThanOrEqual(before + 3_600_000);
    expect(Date.parse(at!)).toBeLessThanOrEqual(Date.now() + 3_600_000);
  });

  test('of one field is not undone by one of another that is made at the same time', async () => {
    const made = await mintKey(admin);
    const changes = [{ name: 'together' }, { tier: 'pro' }, { key_prefixes: ['a:'] }, { expires_in: null }];
    await Promise.all(changes.map((change) => changed(made, change)));
    expect((await admin.get(`${KEYS}/${made.key_id}`)).json).toMatchObject({
      name: 'together',
      tier: 'pro',
      key_prefixes: ['a:'],
      expires_at: null,
    });
  });

  test('is in force with the next request', async () => {
    const made = await mintKey(admin, { tier: 'enterprise' });
    const client = using(made);
    const read = () => client.get(entryPath('in-force'));
    expect((await client.put(entryPath('in-force'), { value: 1 })).status).toBe(201);
    expect((await read()).headers['x-cache-layer']).toBe('L1');

    await changed(made, { permissions: ['cache:write'] });
    expectError(await read(), 403, 'INSUFFICIENT_PERMISSIONS');
    await changed(made, { permissions: ['cache:read'], key_prefixes: ['other:'] });
    expectError(await read(), 403, 'INSUFFICIENT_PERMISSIONS');
    await changed(made, { key_prefixes: ['in-'] });
    expect((await read()).status).toBe(200);
    await changed(made, { disabled: true });
    expectError(await read(), 401, 'AUTHENTICATION_FAILED');
    await changed(made, { disabled: false });
    expect((await read()).status).toBe(200);
  });

  test('of the rate is in force with the next request', async () => {
    const slow = { requests_per_minute: 1, burst_size: 1 };
    const made = await mintKey(admin, { rate_limit: slow });
    const me = () => using(made).get('/v1/auth/me');
    await eventually('it is limited', async () => (await me()).status === 429);
    await changed(made, { rate_limit: { requests_per_minute: 60_000, burst_size: 1000 } });
    expect((await me()).status).toBe(200);
    await changed(made, { name: 'with as much left as before' });
    await changed(made, { rate_limit: slow });
    await eventually('it is limited again', async () => (await me()).status === 429);
  });

  test('of a name gives nobody a fresh burst', async () => {
    const made = await mintKey(admin, { rate_limit: { requests_per_minute: 1, burst_size: 2 } });
    const me = () => using(made).get('/v1/auth/me');
    await eventually('it is limited', async () => (await me()).status === 429);
    await changed(made, { name: 'renamed' });
    expect((await me()).status).toBe(429);
  });

  test('wakes a key that has expired', async () => {
    const made = await mintKey(admin, { expires_in: 1 });
    const state = async () => apiKeySchema.parse((await admin.get(`${KEYS}/${made.key_id}`)).json).state;
    await eventually('it has expired', async () => (await state()) === 'expired');
    expectError(await using(made).get('/v1/auth/me'), 401, 'AUTHENTICATION_FAILED');
    await changed(made, { expires_in: 600 });
    expect((await using(made).get('/v1/auth/me')).status).toBe(200);
  });

  test('does not wake a key that is revoked', async () => {
    const made = await mintKey(admin);
    await admin.delete(`${KEYS}/${made.key_id}`);
    expectError(await patch(admin, made, { disabled: false }), 404, 'RESOURCE_NOT_FOUND');
  });

  test.each<[string, unknown, string, RegExp]>([
    ['nothing', {}, '', /must have a field/],
    ['a list', [], '', /expected object/i],
    ['no name', { name: '' }, 'name', /too small/i],
    ['half a character for a name', { name: 'a\ud83d' }, 'name', /control characters/],
    ['null for a name', { name: null }, 'name', /expected string/i],
    ['no permissions', { permissions: [] }, 'permissions', /too small/i],
    ['an expiry of now', { expires_in: 0 }, 'expires_in', /too small/i],
    ['a rate of nothing', { rate_limit: {} }, 'rate_limit.burst_size', /expected number/i],
    ['a text for a boolean', { disabled: 'false' }, 'disabled', /expected boolean/i],
    ['no address', { allowed_ips: ['localhost'] }, 'allowed_ips.0', /must be an IP address/],
    ['another namespace', { namespace: 'other' }, '', /unknown: namespace/],
    ['another id', { key_id: 'key_1' }, '', /unknown: key_id/],
    ['a hash', { key_hash: 'x', keyHash: 'x' }, '', /unknown: key_hash, keyHash/],
    ['another maker', { created_by: 'x', createdBy: 'x' }, '', /unknown: created_by, createdBy/],
    [
      'times',
      { created_at: 'x', revoked_at: null, expires_at: null },
      '',
      /unknown: created_at, revoked_at, expires_at/,
    ],
    ['a role', { role: 'admin' }, '', /unknown: role/],
  ])('to %s is malformed', async (_, change, path, reason) => {
    const made = await mintKey(admin);
    expectViolation(await patch(admin, made, change), path, reason);
    const { api_key: _key, ...unchanged } = made;
    expect((await admin.get(`${KEYS}/${made.key_id}`)).json).toEqual(unchanged);
  });

  test.each(['"__proto__":{"disabled":true}', '"constructor":{"prototype":{}}', '"rate_limit":{"__proto__":{}}'])(
    'with %s is malformed',
    async (field) => {
      expectViolation(
        await patch(admin, await mintKey(admin), `{"name":"x",${field}}`),
        /"(__proto__|constructor)"/.exec(field)![1]!,
        /not a field/,
      );
    },
  );
});

describe('nobody, by a change,', () => {
  const rate = { requests_per_minute: 100, burst_size: 10 };
  const lesser = { permissions: ['admin:write', 'cache:read'] };
  const expectBeyond = async (by: Client, key: CreatedApiKey, change: object, beyond: string[]) => {
    const { api_key: _key, last_used_at: _at, ...before } = key;
    expect(expectError(await patch(by, key, change), 403, 'INSUFFICIENT_PERMISSIONS')).toEqual({
      cannot_grant: beyond,
    });
    expect((await admin.get(`${KEYS}/${key.key_id}`)).json).toMatchObject(before);
  };

  test.each<[string, object, object, string[]]>([
    ['a permission', {}, { permissions: ['cache:read', 'cache:write'] }, ['cache:write']],
    ['all permissions', {}, { permissions: ['*'] }, ['*']],
    ['other key prefixes', { key_prefixes: ['a:'] }, { key_prefixes: ['b:'] }, ['key_prefixes']],
    ['every key', { key_prefixes: ['a:'] }, { key_prefixes: [] }, ['key_prefixes']],
    ['a higher tier', { tier: 'basic' }, { tier: 'pro' }, ['tier pro']],
    ['a rate of its choice', { tier: 'pro' }, { rate_limit: rate }, ['rate_limit']],
    [
      'a higher rate',
      { tier: 'enterprise', rate_limit: rate },
      { rate_limit: { ...rate, burst_size: 11 } },
      ['rate_limit'],
    ],
    ['the rate of the tier', { tier: 'enterprise', rate_limit: rate }, { rate_limit: null }, ['rate_limit']],
    ['more addresses', { allowed_ips: ['127.0.0.0/8'] }, { allowed_ips: ['126.0.0.0/7'] }, ['allowed_ips']],
    ['every address', { allowed_ips: ['127.0.0.0/8'] }, { allowed_ips: [] }, ['allowed_ips']],
    ['a longer life', { expires_in: 600 }, { expires_in: 6000 }, ['expires_at']],
    ['eternal life', { expires_in: 600 }, { expires_in: null }, ['expires_at']],
  ])('gives a key, or their own, %s that they lack', async (_, limits, change, beyond) => {
    const own = await mintKey(admin, { ...lesser, ...limits });
    const child = await mintKey(using(own), { permissions: ['cache:read'], ...limits });
    await expectBeyond(using(own), child, change, beyond);
    await expectBeyond(using(own), own, change, beyond);
  });

  test.each<[string, object, object, string[]]>([
    ['permissions', {}, { permissions: ['cache:write'] }, ['cache:write']],
    ['keys', { key_prefixes: ['a:'] }, {}, ['key_prefixes']],
    ['tier', { tier: 'basic' }, { tier: 'pro' }, ['tier pro']],
    ['addresses', { allowed_ips: ['127.0.0.1'] }, {}, ['allowed_ips']],
  ])('touches a key that has %s which they lack, not even to take them away', async (_, limits, more, beyond) => {
    const own = using(await mintKey(admin, { ...lesser, ...limits }));
    const greater = await mintKey(admin, { permissions: ['cache:read'], ...more });
    for (const change of [{ name: 'mine' }, { disabled: true }, { permissions: ['cache:read'], tier: 'free' }]) {
      await expectBeyond(own, greater, change, beyond);
    }
    for (const answer of [
      await own.delete(`${KEYS}/${greater.key_id}`),
      await own.post(`${KEYS}/${greater.key_id}/rotate`, { overlap_seconds: 0 }),
    ]) {
      expect(expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS')).toEqual({ cannot_grant: beyond });
    }
    expect((await using(greater).get('/v1/auth/me')).status).toBe(200);
  });

  test('who soon ends gives more to a key that does not; it may switch that off', async () => {
    const own = using(await mintKey(admin, { ...lesser, expires_in: 600 }));
    const eternal = await mintKey(admin, { permissions: ['cache:read'] });
    await expectBeyond(own, eternal, { permissions: ['admin:write', 'cache:read'] }, ['expires_at']);
    await changed(eternal, { name: 'switched off', disabled: true }, own);
    expectError(await patch(own, eternal, { disabled: false }), 403, 'INSUFFICIENT_PERMISSIONS');
    expect((await own.delete(`${KEYS}/${eternal.key_id}`)).status).toBe(204);
  });

  test('touches a key of another namespace', async () => {
    const own = using(await mintKey(admin, { ...lesser, namespace: 'here' }));
    const elsewhere = await mintKey(admin, { permissions: ['cache:read'], namespace: 'elsewhere' });
    expectError(await patch(own, elsewhere, { name: 'mine' }), 404, 'RESOURCE_NOT_FOUND');
    const rotation = await own.post(`${KEYS}/${elsewhere.key_id}/rotate`, { overlap_seconds: 0 });
    expectError(rotation, 404, 'RESOURCE_NOT_FOUND');
  });

  test('with a permission that was taken from them goes on', async () => {
    const own = await mintKey(admin, lesser);
    const child = await mintKey(using(own), { permissions: ['cache:read'] });
    await changed(own, { permissions: ['cache:read'] });
    expectError(await patch(using(own), child, { name: 'mine' }), 403, 'INSUFFICIENT_PERMISSIONS');
  });
});
