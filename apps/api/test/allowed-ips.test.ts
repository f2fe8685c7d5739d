import type { CreatedApiKey } from '@cache-system/contracts';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type Answer, type Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { EventReader } from './support/event-reader.js';
import { expectError, expectViolation } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService } from './support/service.js';

const KEYS = '/v1/auth/api-keys';
/** Where the tests come from. */
const HERE = '127.0.0.1';
const ELSEWHERE = '203.0.113.0/24';

let service: Service;
let admin: Client;
beforeAll(async () => {
  service = await startService();
  admin = await adminClient(service);
  await service.client.put(entryPath('in-l1'), { value: 1 });
});
afterAll(() => service.stop());

const from = (allowed: string[], fields: object = {}) => mintKey(admin, { allowed_ips: allowed, ...fields });
const using = ({ api_key: key }: Pick<CreatedApiKey, 'api_key'>) => service.client.with({ 'x-api-key': key });
const read = (client: Client, headers: Record<string, string> = {}) => client.get(entryPath('in-l1'), { headers });
const expectElsewhere = (answer: Answer) =>
  expect(expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS')).toEqual({ refused_address: HERE });

describe('a key that is limited to addresses', () => {
  test.each([[[HERE]], [['127.0.0.0/8']], [['::ffff:127.0.0.1']], [['0.0.0.0/0']], [[ELSEWHERE, HERE]]])(
    'works from there: %j',
    async (allowed) => {
      const client = using(await from(allowed));
      for (let i = 0; i < 3; i++) expect((await read(client)).headers['x-cache-layer']).toBe('L1');
      expect((await client.put(entryPath('mine'), { value: 1 })).status).toBeLessThan(300);
    },
  );

  test.each([[[ELSEWHERE]], [['128.0.0.0/8']], [['::1', '::/0']], [['127.0.0.2']]])(
    'works from nowhere else: %j',
    async (allowed) => {
      const client = using(await from(allowed));
      for (let i = 0; i < 3; i++) expectElsewhere(await read(client));
      expectElsewhere(await client.get('/v1/auth/me'));
      expectElsewhere(await client.put(entryPath('mine'), { value: 1 }));
      expectElsewhere(await client.get('/v1/cache/events'));
    },
  );

  test.each([
    { 'x-forwarded-for': '203.0.113.7' },
    { forwarded: 'for=203.0.113.7' },
    { 'x-real-ip': '203.0.113.7' },
    { 'true-client-ip': '203.0.113.7' },
  ])('is not talked into another address: %j', async (headers) => {
    expectElsewhere(await read(using(await from([ELSEWHERE])), headers));
  });

  test('loses nothing of its rate to who tries it from elsewhere', async () => {
    const made = await from([ELSEWHERE], { rate_limit: { requests_per_minute: 1, burst_size: 1 } });
    for (let i = 0; i < 3; i++) expectElsewhere(await read(using(made)));
    await admin.patch(`${KEYS}/${made.key_id}`, { allowed_ips: [HERE] });
    expect((await read(using(made))).status).toBe(200);
  });

  test('is not shown as used by who tried it from elsewhere', async () => {
    const [refused, used] = [await from([ELSEWHERE]), await from([HERE])];
    expectElsewhere(await read(using(refused)));
    expect((await read(using(used))).status).toBe(200);
    await usesAreWritten(used);
    expect((await admin.get(`${KEYS}/${refused.key_id}`)).json).toMatchObject({ last_used_at: null });
  });

  test('is held to them from the request on after they are changed', async () => {
    const made = await from([]);
    expect((await read(using(made))).status).toBe(200);
    await admin.patch(`${KEYS}/${made.key_id}`, { allowed_ips: [ELSEWHERE] });
    expectElsewhere(await read(using(made)));
    await admin.patch(`${KEYS}/${made.key_id}`, { allowed_ips: [] });
    expect((await read(using(made))).status).toBe(200);
  });

  test('has its stream of events ended where they are changed', async () => {
    const made = await from([HERE]);
    const stream = await EventReader.open(using(made));
    await admin.patch(`${KEYS}/${made.key_id}`, { allowed_ips: [ELSEWHERE] });
    expect(await stream.ends()).toMatchObject({ event: 'end', data: { reason: 'not_authorized' } });
  });

  test('hands on these or fewer, and these if nothing is said', async () => {
    const maker = using(await from(['127.0.0.0/8', '2001:db8::/32'], { permissions: ['admin:write', 'cache:read'] }));
    const wish = (fields: object) => maker.post(KEYS, { name: 'x', permissions: ['cache:read'], ...fields });
    expect((await wish({})).json).toMatchObject({ allowed_ips: ['127.0.0.0/8', '2001:db8::/32'] });
    expect((await wish({ allowed_ips: ['127.0.1.0/24', '2001:db8:1::1'] })).status).toBe(201);
    for (const beyond of [[], ['0.0.0.0/0'], ['127.0.0.1', '10.0.0.1'], ['2001:db8::/31']]) {
      const answer = await wish({ allowed_ips: beyond });
      expect(expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS')).toEqual({ cannot_grant: ['allowed_ips'] });
    }
  });
});

test.each([
  'localhost',
  '',
  ' 10.0.0.1',
  '10.0.0.1/33',
  '010.0.0.1',
  '10.1',
  '0x7f000001',
  'fe80::1%eth0',
  '::1/1.5',
  '::1]',
])('%j is no address to allow', async (text) => {
  const answer = await admin.post(KEYS, { name: 'x', permissions: ['cache:read'], allowed_ips: [text] });
  expectViolation(answer, 'allowed_ips.0', /must be an IP address or a range/);
});

test('no more than 64 addresses are allowed', async () => {
  const allowed = Array.from({ length: 65 }, (_, i) => `10.0.0.${i}`);
  const answer = await admin.post(KEYS, { name: 'x', permissions: ['cache:read'], allowed_ips: allowed });
  expectViolation(answer, 'allowed_ips', /too big/i);
});

async function usesAreWritten({ key_id: id }: CreatedApiKey): Promise<void> {
  const isWritten = async () =>
    ((await admin.get(`${KEYS}/${id}`)).json as { last_used_at: unknown }).last_used_at !== null;
  await eventually('uses are written down', isWritten);
}
