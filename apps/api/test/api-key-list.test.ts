import { type ApiKeyList, apiKeyListSchema } from '@cache-system/contracts';
import { eventually } from '../../../tools/harness/eventually.mjs';
import type { Client } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectExactly, expectViolation } from './support/expectations.js';
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

async function list(query: Record<string, string>, by = admin): Promise<ApiKeyList> {
  const answer = await by.get(`${KEYS}?${new URLSearchParams(query).toString()}`);
  expect(answer.status).toBe(200);
  return expectExactly(apiKeyListSchema, answer.json);
}
const names = async (query: Record<string, string>, by = admin) =>
  (await list(query, by)).api_keys.map(({ name }) => name);

describe('the list of API keys by page', () => {
  const make = async (count: number, namespace: string) => {
    const made: string[] = [];
    for (let i = 0; i < count; i++) made.unshift((await mintKey(admin, { namespace })).key_id);
    return made;
  };

  test('has each key once, newest first, whatever is made and revoked meanwhile', async () => {
    const made = await make(7, 'pages');
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: ApiKeyList = await list({ namespace: 'pages', limit: '2', ...(cursor !== null && { cursor }) });
      seen.push(...page.api_keys.map(({ key_id: id }) => id));
      ({ cursor } = page);
      await make(1, 'pages');
      // The key that the page has ended with is gone when the next is asked for.
      await admin.delete(`${KEYS}/${seen.at(-1)}`);
    } while (cursor !== null);
    expect(seen).toEqual(made);
  });

  test('ends with a page that says so, also where that is full', async () => {
    const made = await make(2, 'full');
    const page = await list({ namespace: 'full', limit: '2' });
    expect([page.api_keys.map(({ key_id: id }) => id), page.cursor]).toEqual([made, null]);
    expect(await list({ namespace: 'nobody' })).toEqual({ api_keys: [], cursor: null });
  });

  test.each([
    ['limit', '0', /too small/i],
    ['limit', '501', /too big/i],
    ['limit', '1e9', /too big/i],
    ['limit', 'NaN', /expected number/i],
    ['cursor', 'key_1', /must be one that a page has given/],
    ['cursor', "' OR 1=1 --", /must be one that a page has given/],
    ['state', 'gone', /invalid option/i],
    ['permission', 'cache:*', /invalid option/i],
    ['tier', 'gold', /invalid option/i],
    ['namespace', 'Other', /must be 1 to 64/],
  ])('is not asked for with %s=%s', async (name, value, reason) => {
    expectViolation(await admin.get(`${KEYS}?${name}=${encodeURIComponent(value)}`), name, reason);
  });

  test('is not asked for by what nobody knows', async () => {
    expectViolation(await admin.get(`${KEYS}?nmae=x`), '', /unknown: nmae/);
  });
});

describe('the list of API keys can be narrowed', () => {
  const namespace = 'narrow';
  beforeAll(async () => {
    const make = (name: string, fields: object) => mintKey(admin, { name, namespace, ...fields });
    await make('Reader', { permissions: ['cache:read'] });
    await make('Everything', { permissions: ['*'], tier: 'pro' });
    await make('All of 100%_cache', { permissions: ['cache:*', 'monitor:read'] });
    await make('Test', { permissions: ['monitor:read'], environment: 'test' });
    const off = await make('Off', { permissions: ['config:read'] });
    await admin.patch(`${KEYS}/${off.key_id}`, { disabled: true });
    const gone = await make('Gone', { permissions: ['config:read'] });
    await admin.delete(`${KEYS}/${gone.key_id}`);
    const over = await make('Over', { permissions: ['config:read'], expires_in: 1 });
    await admin.patch(`${KEYS}/${over.key_id}`, { disabled: true });
    const states = async () => (await list({ namespace })).api_keys.map(({ state }) => state);
    await eventually('one has expired', async () => (await states()).includes('expired'));
  });

  test.each<[Record<string, string>, string[]]>([
    [{}, ['Over', 'Off', 'Test', 'All of 100%_cache', 'Everything', 'Reader']],
    [{ name: 'EVER' }, ['Everything']],
    [{ name: '%_' }, ['All of 100%_cache']],
    [{ name: "'" }, []],
    [{ permission: 'cache:read' }, ['All of 100%_cache', 'Everything', 'Reader']],
    [{ permission: 'cache:write' }, ['All of 100%_cache', 'Everything']],
    [{ permission: 'admin:write' }, ['Everything']],
    [{ tier: 'pro' }, ['Everything']],
    [{ environment: 'test' }, ['Test']],
    [{ state: 'active' }, ['Test', 'All of 100%_cache', 'Everything', 'Reader']],
    [{ state: 'disabled' }, ['Off']],
    [{ state: 'expired' }, ['Over']],
    [{ state: 'revoked' }, ['Gone']],
    [{ state: 'active', permission: 'monitor:read', tier: 'basic', name: 'test' }, ['Test']],
  ])('by %j', async (query, expected) => {
    expect(await names({ namespace, ...query })).toEqual(expected);
  });

  test('and an API key sees those of its own namespace alone, whatever it asks for', async () => {
    const { api_key: key } = await mintKey(admin, { name: 'Looker', permissions: ['admin:read'], namespace: 'looker' });
    const looker = service.client.with({});
    const asked = { api_key: key };
    expect(await names(asked, looker)).toEqual(['Looker']);
    expect(await names({ ...asked, namespace }, looker)).toEqual([]);
    expect(await names({ ...asked, state: 'revoked' }, looker)).toEqual([]);
  });
});
