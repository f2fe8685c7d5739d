import { type Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { mintKey } from './support/keys.js';
import { documentSchema, exampleBody, type Operation, queryOfAll, readOperations } from './support/openapi.js';
import { type Service, startService } from './support/service.js';

/** In values and names of A, and never said by anybody else. */
const CANARY = 'canary-of-a';
/** What B has guessed: a key and a tag of A. */
const KEY = 'guessed:entry';
const TAG = 'guessed';

let service: Service;
let admin: Client;
let ofA: Client;
let ofB: Client;
let keyOfA: string;
let operations: Operation[];
let bodyOf: (operation: Operation) => unknown;
beforeAll(async () => {
  service = await startService({ RATE_LIMITS__ENABLED: 'false' });
  admin = await adminClient(service);
  const everything = { permissions: ['*'], tier: 'enterprise' };
  const [a, b] = await Promise.all([
    mintKey(admin, { ...everything, name: CANARY, namespace: 'tenant-a' }),
    mintKey(admin, { ...everything, name: 'of b', namespace: 'tenant-b' }),
  ]);
  keyOfA = a.key_id;
  [ofA, ofB] = [a, b].map(({ api_key: key }) => service.client.with({ 'x-api-key': key })) as [Client, Client];
  operations = await readOperations(service.client);
  const document = documentSchema.parse((await service.client.get('/docs-json')).json);
  bodyOf = (operation) => naming(exampleBody(operation, document));
  await ofA.put(entryPath(KEY), { value: CANARY, options: { tags: [TAG, CANARY] } });
  await ofA.put(entryPath(`${CANARY}:entry`), { value: CANARY, options: { tags: [TAG] } });
});
afterAll(async () => {
  [admin, ofA, ofB].forEach((client) => client.close());
  await service.stop();
});

/** The body of an example with the things of A in the places where it names a key, a tag or a prefix. */
function naming(example: unknown): unknown {
  const names: Record<string, unknown> = {
    key: KEY,
    keys: [KEY],
    tags: [TAG],
    prefix: 'guessed',
    pattern: '*',
    namespace: 'tenant-a',
  };
  if (Array.isArray(example)) return example.map(naming);
  if (typeof example !== 'object' || example === null) return example;
  return Object.fromEntries(
    Object.entries(example).map(([name, part]) => [name, name in names ? names[name] : naming(part)]),
  );
}

function pathToA({ path }: Operation): string {
  return path
    .replace('{key}', encodeURIComponent(KEY))
    .replace('api-keys/{id}', `api-keys/${keyOfA}`)
    .replace(/\{\w+\}/g, 'not-there');
}

describe('a key that may do everything in its namespace', () => {
  test('reads, lists, counts, changes and ends nothing of another by any route', async () => {
    const told: string[] = [];
    // A stream would not end; events.test.ts is about that.
    const asked = operations.filter(({ path }) => path !== '/v1/cache/events');
    for (const operation of asked) {
      const body = bodyOf(operation);
      const at = `${pathToA(operation)}${queryOfAll(operation)}`;
      const headers = { 'x-cache-namespace': 'tenant-a' };
      const answer = await ofB.send(operation.method, at, { headers, ...(body !== undefined && { body }) });
      // What it may have written into its own namespace on the way is not there for the next route.
      await ofB.delete(entryPath(KEY));
      if (answer.text.includes(CANARY)) told.push(`${operation.method} ${at}: ${answer.text}`);
      const kept = await ofA.get(entryPath(KEY));
      expect({ at: `${operation.method} ${at}`, kept: kept.json }).toEqual({
        at: `${operation.method} ${at}`,
        kept: { key: KEY, value: CANARY },
      });
    }
    expect(told).toEqual([]);
    expect((await admin.get(`/v1/auth/api-keys/${keyOfA}`)).status).toBe(200);
  });

  test('changes no node, as those hold what all have', async () => {
    const refused = await Promise.all([
      ofB.post('/v1/admin/nodes', { address: '10.0.0.1:7000' }),
      ofB.delete('/v1/admin/nodes/not-there'),
      ofB.post('/v1/admin/nodes/jobs/not-there/resume'),
      ofB.post('/v1/admin/nodes/jobs/not-there/cancel'),
    ]);
    expect(refused.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
    expect((await admin.delete('/v1/admin/nodes/not-there')).status).not.toBe(403);
    expect((await service.client.delete('/v1/admin/nodes/not-there')).status).not.toBe(403);
  });

  test('counts none of them', async () => {
    const count = async (path: string) => (await ofB.delete(`${path}&dry_run=true`)).json;
    expect(await count('/v1/cache?pattern=*')).toMatchObject({ deleted: 0 });
    expect(await count(`/v1/cache?tag=${TAG}`)).toMatchObject({ deleted: 0 });
    const invalidate = { keys: [KEY], pattern: '*', prefix: 'guessed', dry_run: true };
    expect((await ofB.post('/v1/cache/invalidate', invalidate)).text).not.toContain(CANARY);
    expect((await ofB.get('/v1/cache')).text).not.toContain(CANARY);
  });
});
