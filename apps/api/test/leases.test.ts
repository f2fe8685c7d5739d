import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type Answer, Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectError, expectViolation, expectWritten } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService, STORES } from './support/service.js';

let service: Service;
let other: Awaited<ReturnType<typeof startApi>> | undefined;
/** Of one node each; on the embedded stores there is only one. */
let clients: [Client, Client];
let client: Client;
beforeAll(async () => {
  service = await startService();
  if (STORES !== 'embedded') other = await startApi({ env: { LOG_LEVEL: 'warn', ...service.stores } });
  client = service.client;
  clients = [client, other ? new Client(other.url, client.headers) : client];
});
afterAll(async () => {
  clients[1].close();
  await other?.stop();
  await service.stop();
});

const ask = (by: Client, key: string, { seconds = 30, wait }: { seconds?: number; wait?: number } = {}) =>
  by.get(`${entryPath(key)}?lease=${seconds}`, { headers: wait === undefined ? {} : { prefer: `wait=${wait}` } });
const leaseOf = ({ headers }: Answer) => headers['x-cache-lease'] as string | undefined;
const fill = (by: Client, key: string, lease: string, value: unknown) =>
  by.put(entryPath(key), { value }, { headers: { 'x-cache-lease': lease } });
const leased = async (key: string, seconds?: number) => {
  const answer = await ask(client, key, { ...(seconds !== undefined && { seconds }) });
  expectError(answer, 404, 'CACHE_KEY_NOT_FOUND');
  return leaseOf(answer)!;
};

test('of 200 that miss a key together on two nodes one gets the lease, and all get what it fills', async () => {
  // Each has as many connections as it needs, so that all ask at the same time.
  const crowd = [0, 1, 2, 3].map((index) => new Client(clients[index % 2]!.url, client.headers));
  const asking = Array.from({ length: 200 }, (_, index) => ask(crowd[index % 4]!, 'cold', { wait: 20 }));
  const holder = await Promise.race(
    asking.map(async (one) => {
      const answer = await one;
      return leaseOf(answer) === undefined ? new Promise<never>(() => undefined) : answer;
    }),
  );
  expectWritten(await fill(clients[1], 'cold', leaseOf(holder)!, 'filled'), 'created');
  const answers = await Promise.all(asking);
  expect(answers.filter((answer) => leaseOf(answer) !== undefined)).toHaveLength(1);
  const others = answers.filter((answer) => leaseOf(answer) === undefined);
  expect(others.map(({ status, json }) => [status, (json as { value?: unknown }).value])).toEqual(
    others.map(() => [200, 'filled']),
  );
  for (const each of crowd) each.close();
});

test('who does not wait is told when to come again', async () => {
  await leased('busy');
  const answer = await ask(clients[1], 'busy');
  expectError(answer, 404, 'CACHE_KEY_NOT_FOUND');
  expect([leaseOf(answer), answer.headers['retry-after']]).toEqual([undefined, '1']);
});

test('a lease whose holder dies passes on to one that waits', async () => {
  const first = await leased('orphan', 1);
  const next = await ask(clients[1], 'orphan', { wait: 20 });
  expect(leaseOf(next)).toMatch(/^\d+$/);
  expect(leaseOf(next)).not.toBe(first);
  expectError(await fill(client, 'orphan', first, 'late'), 409, 'CACHE_KEY_CONFLICT');
  expectWritten(await fill(clients[1], 'orphan', leaseOf(next)!, 'in time'), 'created');
});

test.each([
  ['a write', (key: string) => clients[1].put(entryPath(key), { value: 'newer' })],
  ['a removal', (key: string) => clients[1].delete(entryPath(key))],
  ['an invalidation', (key: string) => clients[1].post('/v1/cache/invalidate', { keys: [key] })],
])('a fill that was overtaken by %s is refused', async (name, overtake) => {
  const lease = await leased(name);
  await overtake(name);
  expectError(await fill(client, name, lease, 'old'), 409, 'CACHE_KEY_CONFLICT');
  const { json } = await clients[1].get(entryPath(name), { headers: { 'cache-control': 'no-cache' } });
  expect((json as { value?: unknown }).value).not.toBe('old');
});

describe('of a key that has a stale entry', () => {
  const stale = async (key: string) => {
    const options = { ttl: 1, stale_while_revalidate: 60, tags: ['stale'] };
    await client.put(entryPath(key), { value: 'old', options });
    await eventually('it has expired', async () => (await client.get(entryPath(key))).status === 404);
  };

  test('one gets the lease, and the others the stale entry', async () => {
    await stale('stale:1');
    const lease = await leased('stale:1');
    const answer = await ask(clients[1], 'stale:1', { wait: 20 });
    expect(answer).toMatchObject({ status: 200, json: { value: 'old' }, headers: { 'x-cache-status': 'STALE' } });
    expectWritten(await fill(client, 'stale:1', lease, 'new'), 'updated');
    expect((await ask(clients[1], 'stale:1')).json).toMatchObject({ value: 'new' });
  });

  test.each([
    ['a write', (key: string) => clients[1].put(entryPath(key), { value: 'newer' })],
    ['an invalidation by tag', () => clients[1].post('/v1/cache/invalidate', { tags: ['stale'] })],
  ])('a fill that was overtaken by %s is refused', async (name, overtake) => {
    await stale(`stale:${name}`);
    const lease = await leased(`stale:${name}`);
    await overtake(`stale:${name}`);
    expectError(await fill(client, `stale:${name}`, lease, 'too late'), 409, 'CACHE_KEY_CONFLICT');
  });
});

test('a hit is answered as ever', async () => {
  await client.put(entryPath('hit'), { value: 1 });
  const answer = await ask(clients[1], 'hit');
  expect([answer.status, leaseOf(answer)]).toEqual([200, undefined]);
});

test('nobody gets a lease who may not write, and what is none is refused', async () => {
  const admin = await adminClient(service);
  const { api_key: key } = await mintKey(admin, { permissions: ['cache:read'] });
  const reader = client.with({ 'x-api-key': key });
  expectError(await ask(reader, 'reader'), 403, 'INSUFFICIENT_PERMISSIONS');
  reader.close();
  admin.close();
  for (const seconds of ['0', '301', 'x', '']) {
    expectViolation(await client.get(`${entryPath('bad')}?lease=${seconds}`), 'lease', /1 to 300/);
  }
  const answer = await client.put(entryPath('bad'), { value: 1 }, { headers: { 'x-cache-lease': 'x' } });
  expectViolation(answer, 'X-Cache-Lease', /read gave/);
  expectError(await fill(client, 'bad', '123', 1), 409, 'CACHE_KEY_CONFLICT');
  expectError(await fill(client, 'bad', '123.456', 1), 409, 'CACHE_KEY_CONFLICT');
});
