import { type CreatedApiKey, createdApiKeySchema } from '@cache-system/contracts';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { type Answer, Client, entryPath } from './support/client.js';
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
const statusOf = async (key: CreatedApiKey) => (await using(key).get('/v1/auth/me')).status;

async function rotated({ key_id: id }: CreatedApiKey, overlapSeconds: number, by = admin): Promise<CreatedApiKey> {
  const answer = await by.post(`${KEYS}/${id}/rotate`, { overlap_seconds: overlapSeconds });
  expect({ status: answer.status, json: answer.json }).toMatchObject({ status: 200 });
  return expectExactly(createdApiKeySchema, answer.json);
}

function expectRetired(answer: Answer): void {
  const { reason } = expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS');
  expect(reason).toBe('this text of the key was replaced by a rotation');
}

describe('a key that is rotated', () => {
  test('has a new text and is the same key in all else', async () => {
    const made = await mintKey(admin, {
      name: 'rotating',
      permissions: ['cache:read'],
      namespace: 'turning',
      key_prefixes: ['a:'],
      expires_in: 6000,
      environment: 'test',
      allowed_ips: ['127.0.0.1'],
    });
    const next = await rotated(made, 60);
    expect(next).toEqual({
      ...made,
      api_key: expect.stringMatching(/^ck_test_[0-9A-Za-z]{38}$/) as string,
      key_hint: next.api_key.slice(0, 12),
      rotated_at: expect.any(String) as string,
      previous_valid_until: new Date(Date.parse(next.rotated_at!) + 60_000).toISOString(),
    });
    expect(next.api_key).not.toBe(made.api_key);
    const { api_key: _, ...shown } = next;
    expect((await admin.get(`${KEYS}/${made.key_id}`)).json).toEqual(shown);
    const { json: mine } = await using(made).get('/v1/auth/me');
    expect((await using(next).get('/v1/auth/me')).json).toEqual(mine);
  });

  test('without an overlap has no other text from then on', async () => {
    const made = await mintKey(admin);
    expect(await statusOf(made)).toBe(200);
    const next = await rotated(made, 0);
    expect(await Promise.all([statusOf(made), statusOf(next)])).toEqual([401, 200]);
    expect(next.previous_valid_until).toBeNull();
  });

  test('is read with by its old text until the overlap ends, and not later', async () => {
    const made = await mintKey(admin, { tier: 'enterprise' });
    const read = (key: CreatedApiKey) => using(key).get(entryPath('rotating'));
    await using(made).put(entryPath('rotating'), { value: 1 });
    const next = await rotated(made, 2);
    const endsAt = Date.parse(next.previous_valid_until!);
    let lastGrantAt = 0;
    await eventually('the overlap is over', async () => {
      const sentAt = Date.now();
      const { status } = await read(made);
      if (status === 200) lastGrantAt = sentAt;
      return status === 401;
    });
    expect(lastGrantAt).toBeGreaterThan(0);
    expect(lastGrantAt).toBeLessThan(endsAt);
    expect((await read(next)).status).toBe(200);
    expect((await admin.get(`${KEYS}/${made.key_id}`)).json).toMatchObject({ previous_valid_until: null });
  });

  test('and rotated again: no older text works for longer than the last overlap', async () => {
    const first = await mintKey(admin);
    const second = await rotated(first, 604_800);
    const third = await rotated(second, 3600);
    expect(await Promise.all([first, second, third].map(statusOf))).toEqual([200, 200, 200]);
    const fourth = await rotated(third, 0);
    expect(await Promise.all([first, second, third, fourth].map(statusOf))).toEqual([401, 401, 401, 200]);
  });

  test('by many at the same time has one text in the end, and the others as long as the overlap says', async () => {
    const made = await mintKey(admin);
    const all = await Promise.all(Array.from({ length: 8 }, () => rotated(made, 0)));
    const statuses = await Promise.all(all.map(statusOf));
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(new Set(all.map(({ api_key: key }) => key)).size).toBe(8);
  });

  test('shares one rate among its texts', async () => {
    const made = await mintKey(admin, { rate_limit: { requests_per_minute: 1, burst_size: 3 } });
    const next = await rotated(made, 60);
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) statuses.push(await statusOf(made), await statusOf(next));
    expect(statuses.slice(0, 3)).toEqual([200, 200, 200]);
    expect(statuses.slice(3)).toContain(429);
  });

  test.each<[string, (id: string) => Promise<unknown>]>([
    ['revoked', (id) => admin.delete(`${KEYS}/${id}`)],
    ['disabled', (id) => admin.patch(`${KEYS}/${id}`, { disabled: true })],
  ])('and %s works by none of its texts', async (_, end) => {
    const made = await mintKey(admin);
    const next = await rotated(made, 600);
    expect(await Promise.all([statusOf(made), statusOf(next)])).toEqual([200, 200]);
    await end(made.key_id);
    expect(await Promise.all([statusOf(made), statusOf(next)])).toEqual([401, 401]);
  });

  test('expires when it would have, with all of its texts', async () => {
    const made = await mintKey(admin, { expires_in: 2 });
    const next = await rotated(made, 600);
    expect(next.expires_at).toBe(made.expires_at);
    await eventually('the old text has ended', async () => (await statusOf(made)) === 401);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(made.expires_at!));
    expect(await statusOf(next)).toBe(401);
  });
});

describe('a rotation', () => {
  test.each<[unknown, string, RegExp]>([
    [undefined, '', /expected object/i],
    [{}, 'overlap_seconds', /expected number/i],
    [{ overlap_seconds: -1 }, 'overlap_seconds', /too small/i],
    [{ overlap_seconds: 604_801 }, 'overlap_seconds', /too big/i],
    [{ overlap_seconds: 0.5 }, 'overlap_seconds', /int/i],
    [{ overlap_seconds: '60' }, 'overlap_seconds', /expected number/i],
    [{ overlap_seconds: 0, api_key: 'mine' }, '', /unknown: api_key/],
    [{ overlap_seconds: 0, permissions: ['*'] }, '', /unknown: permissions/],
  ])('that asks for %j is malformed', async (body, path, reason) => {
    const made = await mintKey(admin);
    expectViolation(await admin.post(`${KEYS}/${made.key_id}/rotate`, body), path, reason);
    expect(await statusOf(made)).toBe(200);
  });

  test('of what is not there is not found', async () => {
    const gone = await mintKey(admin);
    await admin.delete(`${KEYS}/${gone.key_id}`);
    for (const id of [gone.key_id, 'key_00000000000000000000']) {
      expectError(await admin.post(`${KEYS}/${id}/rotate`, { overlap_seconds: 0 }), 404, 'RESOURCE_NOT_FOUND');
    }
  });

  test('is open to the key itself, by the text that stays', async () => {
    const made = await mintKey(admin, { permissions: ['admin:write'] });
    const next = await rotated(made, 600, using(made));
    const byTheOld = await using(made).post(`${KEYS}/${made.key_id}/rotate`, { overlap_seconds: 600 });
    expectRetired(byTheOld);
    expect(await statusOf(await rotated(next, 600, using(next)))).toBe(200);
  });

  test('nor a change is open to the old text, also where the key ends before the overlap', async () => {
    const made = await mintKey(admin, { permissions: ['admin:write'], expires_in: 300 });
    await rotated(made, 600);
    const at = `${KEYS}/${made.key_id}`;
    expectRetired(await using(made).post(`${at}/rotate`, { overlap_seconds: 600 }));
    for (const fields of [{ name: 'mine' }, { disabled: true }, { expires_in: 200 }]) {
      expectRetired(await using(made).patch(at, fields));
    }
    expect((await admin.get(at)).json).toMatchObject({ name: made.name, disabled: false, expires_at: made.expires_at });
    expect((await using(made).delete(at)).status).toBe(204);
  });

  test('by the key itself, many times at once, gives one new text', async () => {
    const made = await mintKey(admin, { permissions: ['admin:write'] });
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => using(made).post(`${KEYS}/${made.key_id}/rotate`, { overlap_seconds: 600 })),
    );
    const [won, ...more] = answers.filter(({ status }) => status === 200);
    expect(more).toHaveLength(0);
    for (const answer of answers.filter((each) => each !== won)) expectRetired(answer);
  });

  test('gives nobody a key that outlives their own', async () => {
    const shortLived = await mintKey(admin, { permissions: ['admin:write', 'cache:read'], expires_in: 600 });
    const eternal = await mintKey(admin, { permissions: ['cache:read'] });
    const answer = await using(shortLived).post(`${KEYS}/${eternal.key_id}/rotate`, { overlap_seconds: 0 });
    expect(expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS')).toEqual({ cannot_grant: ['expires_at'] });
    expect(await statusOf(eternal)).toBe(200);
  });
});

test("the operator's own key, once rotated, does not come back with the next start", async () => {
  const folder = createTemporaryFolder('rotated');
  const first = await startService({ DATA_DIR: folder.path });
  const { client, stores } = first;
  const { apiKey: given } = first.api;
  const { id } = (await client.get('/v1/auth/me')).json as { id: string };
  const next = createdApiKeySchema.parse((await client.post(`${KEYS}/${id}/rotate`, { overlap_seconds: 0 })).json);
  await first.stop();
  const again = await startApi({ env: { ...stores, DATA_DIR: folder.path, BOOTSTRAP_API_KEY: given } });
  const at = (key: string) => new Client(again.url, { 'x-api-key': key }).get('/v1/auth/me');
  expectError(await at(given), 401, 'AUTHENTICATION_FAILED');
  expect((await at(next.api_key)).json).toMatchObject({ id, permissions: ['*'] });
  await again.stop();
  folder.remove();
});
