import { expandGrants, type Permission, PERMISSIONS, ROLE_GRANTS, ROLES } from '@cache-system/contracts';
import { type Answer, type Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import {
  documentSchema,
  exampleBody,
  type Operation,
  pathToNothing,
  queryOfAll,
  readOperations,
} from './support/openapi.js';
import { type Service, startService } from './support/service.js';

/** Somebody who calls, and what they may do: undefined for who shows no credential. */
interface Caller {
  readonly name: string;
  readonly client: Client;
  readonly held: ReadonlySet<Permission> | undefined;
}

const PASSWORD = 'the password of this matrix';

let service: Service;
let admin: Client;
let operations: Operation[];
let callers: Caller[];
beforeAll(async () => {
  // Not about how often.
  service = await startService({ RATE_LIMITS__ENABLED: 'false' });
  admin = await adminClient(service);
  operations = withHeads(await readOperations(service.client));
  const anyone = { name: 'nobody', client: service.client.with({}), held: undefined };
  const users = await Promise.all(ROLES.map(userWith));
  const keys = await Promise.all(PERMISSIONS.map(keyWith));
  callers = [anyone, ...users, ...keys];
});
afterAll(async () => {
  [admin, ...callers.map(({ client }) => client)].forEach((client) => client.close());
  await service.stop();
});

/** Whatever can be read can be asked for with HEAD, documented or not. What ends a session comes last. */
function withHeads(documented: readonly Operation[]): Operation[] {
  const known = new Set(documented.map(({ method, path }) => `${method} ${path}`));
  const heads = documented
    .filter(({ method, path }) => method === 'GET' && !known.has(`HEAD ${path}`))
    .map((operation) => ({ ...operation, method: 'HEAD' }));
  const all = [...documented, ...heads];
  const endsSession = ({ path }: Operation) => path === '/v1/auth/logout';
  return [...all.filter((operation) => !endsSession(operation)), ...all.filter(endsSession)];
}

async function userWith(role: (typeof ROLES)[number]): Promise<Caller> {
  const email = `matrix-${role}@example.com`;
  const made = await admin.post('/v1/admin/users', { email, password: PASSWORD, role });
  if (made.status !== 201) throw new Error(`no user was made: ${made.status} ${made.text}`);
  const { json } = await service.client.with({}).post('/v1/auth/login', { email, password: PASSWORD });
  const authorization = `Bearer ${(json as { access_token: string }).access_token}`;
  return {
    name: `the ${role}`,
    client: service.client.with({ authorization }),
    held: expandGrants(ROLE_GRANTS[role]),
  };
}

async function keyWith(permission: Permission): Promise<Caller> {
  const { api_key: key } = await mintKey(admin, { name: permission, permissions: [permission], tier: 'enterprise' });
  return {
    name: `a key with ${permission}`,
    client: service.client.with({ 'x-api-key': key }),
    held: new Set([permission]),
  };
}

/** The answer that the document promises: 401, 403, or anything else. */
function promised({ 'x-permission': required }: Operation, { held }: Caller): 401 | 403 | 'allowed' {
  if (required === 'public') return 'allowed';
  if (!held) return 401;
  return required === 'authenticated' || held.has(required) ? 'allowed' : 403;
}

/** HEAD has no body to tell anything. */
function expectRefused(answer: Answer, operation: Operation, status: 401 | 403): void {
  const { method, path, 'x-permission': required } = operation;
  expect({ method, path, status: answer.status }).toEqual({ method, path, status });
  if (method === 'HEAD') expect(answer.text).toBe('');
  else if (status === 401) expectError(answer, 401, 'AUTHENTICATION_FAILED');
  else expect(expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS')).toMatchObject({ required });
}

const where = ({ method, path }: Operation, { name }: Caller) => `${name}: ${method} ${path}`;

describe('every route', () => {
  test('that a path has is in the document', async () => {
    for (const at of new Set(operations.map(({ path }) => path.replace(/\{\w+\}/g, 'not-there')))) {
      // Where a parameter stands there may be a path of its own, such as `bulk` among keys.
      const fitting = operations.filter(({ path }) => new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`).test(at));
      const { allowed } = expectError(await admin.send('PROPFIND', at), 405, 'METHOD_NOT_ALLOWED');
      expect({ at, allowed }).toEqual({ at, allowed: [...new Set(fitting.map(({ method }) => method))].sort() });
    }
  });

  test('lets in whom the document lets in', async () => {
    const refused: string[] = [];
    const broken: string[] = [];
    for (const caller of callers) {
      for (const operation of operations.filter((each) => promised(each, caller) === 'allowed')) {
        const { status } = await caller.client.send(operation.method, pathToNothing(operation));
        if (status === 403 && caller.name.startsWith('a key ') && operation.path.startsWith('/v1/admin/users'))
          continue;
        if (status === 401 || status === 403) refused.push(`${where(operation, caller)} ${status}`);
        else if (status >= 500) broken.push(`${where(operation, caller)} ${status}`);
      }
      // It has logged out.
      if (caller.name.startsWith('the '))
        expectError(await caller.client.get('/v1/auth/me'), 401, 'AUTHENTICATION_FAILED');
    }
    expect(refused).toEqual([]);
    expect(broken).toEqual([]);
  });

  test('keeps out everybody else, and nothing that they ask for is done', async () => {
    await Promise.all(ROLES.map(logInAgain));
    const witness = await makeWitness();
    const document = documentSchema.parse((await admin.get('/docs-json')).json);
    let refusals = 0;
    for (const caller of callers) {
      for (const operation of operations) {
        const expected = promised(operation, caller);
        if (expected === 'allowed') continue;
        const at = `${pathTo(operation, witness)}${queryOfAll(operation)}`;
        const body = exampleBody(operation, document);
        const answer = await caller.client.send(operation.method, at, body === undefined ? {} : { body });
        expectRefused(answer, operation, expected);
        refusals++;
      }
    }
    expect(refusals).toBeGreaterThan(operations.length * 3);
    await expectUntouched(witness);
  });

  async function logInAgain(role: (typeof ROLES)[number]): Promise<void> {
    const credentials = { email: `matrix-${role}@example.com`, password: PASSWORD };
    const { json } = await service.client.with({}).post('/v1/auth/login', credentials);
    const authorization = `Bearer ${(json as { access_token: string }).access_token}`;
    const index = callers.findIndex(({ name }) => name === `the ${role}`);
    callers[index] = { ...callers[index]!, client: service.client.with({ authorization }) };
  }
});

/** What is there to be read, changed and deleted by who may. */
async function makeWitness() {
  await admin.put(entryPath('witness'), { value: 'untouched' });
  const { key_id: keyId, api_key: key } = await mintKey(admin, { name: 'witness' });
  return { keyId, key, state: await stateOf(key) };
}

function pathTo({ path }: Operation, { keyId }: { keyId: string }): string {
  return path
    .replace('{key}', 'witness')
    .replace('api-keys/{id}', `api-keys/${keyId}`)
    .replace(/\{\w+\}/g, 'not-there');
}

async function stateOf(witnessKey: string) {
  const entry = await service.client.with({ 'x-api-key': witnessKey }).get(entryPath('witness'));
  const keys = (await admin.get('/v1/auth/api-keys')).json as { api_keys: { key_id: string }[] };
  const { users } = (await admin.get('/v1/admin/users')).json as { users: { id: string; role: string }[] };
  return {
    entry: [entry.text, entry.headers['etag']],
    keys: keys.api_keys.map((key) => key.key_id).sort(),
    users: users.map(({ id, role }) => [id, role]),
  };
}

async function expectUntouched({ key, state }: Awaited<ReturnType<typeof makeWitness>>): Promise<void> {
  expect(await stateOf(key)).toEqual(state);
}
