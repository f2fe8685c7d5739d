import { expandGrants, type Grant, type Permission, PERMISSIONS, ROLE_GRANTS, ROLES } from '@cache-system/contracts';
import { Client as Postgres } from 'pg';
import { hashPassword } from '../src/auth/passwords.js';
import type { Answer, Client } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Operation, pathToNothing, readOperations } from './support/openapi.js';
import { type Service, startService, STORES } from './support/service.js';

let service: Service;
let admin: Client;
let operations: Operation[];
beforeAll(async () => {
  service = await startService();
  admin = await adminClient(service);
  operations = await readOperations(service.client);
});
afterAll(() => service.stop());

async function holding(...permissions: Grant[]): Promise<Client> {
  const { api_key: key } = await mintKey(admin, { permissions, tier: 'enterprise' });
  return service.client.with({ 'x-api-key': key });
}

function call(client: Client, operation: Operation): Promise<Answer> {
  return client.send(operation.method, pathToNothing(operation));
}

const named = ({ method, path }: Operation) => `${method} ${path}`;

/** HEAD has no body to tell anything. */
function expectForbidden(answer: Answer, { method }: Operation, required: Permission): void {
  if (method === 'HEAD') expect(answer.status).toBe(403);
  else expect(expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS')).toMatchObject({ required });
}

const needsPermission = (operation: Operation): operation is Operation & { 'x-permission': Permission } =>
  !['public', 'authenticated'].includes(operation['x-permission']);

/** Users are those of every namespace: no API key learns who they are, whatever it may do. */
const isForUsers = ({ path, method }: Operation) =>
  path.startsWith('/v1/admin/users') && ['GET', 'HEAD'].includes(method);

describe('every operation', () => {
  test('declares who may call it', () => {
    expect(operations.length).toBeGreaterThan(15);
    const open = operations.filter((operation) => operation['x-permission'] === 'public').map(named);
    expect(open.sort()).toEqual([
      'GET /health/live',
      'GET /health/ready',
      'GET /v1/auth/jwks',
      'GET /v1/schema/cache.proto',
      'POST /v1/auth/login',
      'POST /v1/auth/refresh',
    ]);
  });

  test('that is not public asks for credentials', async () => {
    const anyone = service.client.with({});
    for (const operation of operations.filter((each) => each['x-permission'] !== 'public')) {
      const answer = await call(anyone, operation);
      if (operation.method === 'HEAD') expect(answer.status).toBe(401);
      else expectError(answer, 401, 'AUTHENTICATION_FAILED');
    }
  });

  test('is forbidden to who holds every permission but the one that it needs', async () => {
    for (const missing of PERMISSIONS) {
      const guarded = operations.filter((operation) => operation['x-permission'] === missing);
      const others = PERMISSIONS.filter((permission) => permission !== missing);
      const client = await holding(...others);
      for (const operation of guarded) expectForbidden(await call(client, operation), operation, missing);
    }
  });

  test('is open to who holds the one permission that it needs', async () => {
    for (const permission of PERMISSIONS) {
      const client = await holding(permission);
      for (const operation of operations.filter((each) => each['x-permission'] === permission)) {
        const { status } = await call(client, operation);
        const isRefused = [401, 403].includes(status) && !isForUsers(operation);
        expect({ operation: named(operation), isRefused }).toMatchObject({ isRefused: false });
      }
    }
  });

  test('that wants no permission in particular is open to the least key there is', async () => {
    const client = await holding('config:read');
    for (const operation of operations.filter((each) => each['x-permission'] === 'authenticated')) {
      // Without a body, which some want.
      expect([401, 403]).not.toContain((await call(client, operation)).status);
    }
  });
});

describe('the role', () => {
  test.each(ROLES)('%s may call what its grants cover, and nothing else', async (role) => {
    const held = expandGrants(ROLE_GRANTS[role]);
    const clients = [await holding(...ROLE_GRANTS[role])];
    if (STORES === 'real') clients.push(await somebody(role));
    for (const operation of operations.filter(needsPermission)) {
      const required = operation['x-permission'];
      for (const client of clients) {
        const answer = await call(client, operation);
        if (client === clients[0] && held.has(required) && isForUsers(operation)) expect(answer.status).toBe(403);
        else if (held.has(required)) expect([401, 403]).not.toContain(answer.status);
        else expectForbidden(answer, operation, required);
      }
    }
  });

  /** A user of that role: there is no route that makes one yet, so that the database is asked itself. */
  async function somebody(role: string): Promise<Client> {
    const [email, password] = [`some-${role}@example.com`, 'the password of this test'];
    const postgres = new Postgres({ connectionString: service.stores['DATABASE_URL'] });
    await postgres.connect();
    await postgres.query('INSERT INTO users (id, email, password_hash, role) VALUES ($1, $2, $3, $4)', [
      `usr_${role}`,
      email,
      await hashPassword(password),
      role,
    ]);
    await postgres.end();
    const { json } = await service.client.with({}).post('/v1/auth/login', { email, password });
    return service.client.with({ authorization: `Bearer ${(json as { access_token: string }).access_token}` });
  }
});

describe('nobody hands on', () => {
  const wish = (client: Client, fields: object) =>
    client.post('/v1/auth/api-keys', { name: 'more', permissions: ['cache:read'], ...fields });
  const expectLacking = (answer: Answer, lacking: string[]) =>
    expect(expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS')['cannot_grant']).toEqual(lacking);
  const maker = async (fields: object = {}) => {
    const { api_key: key } = await mintKey(admin, { permissions: ['admin:write', 'cache:read'], ...fields });
    return service.client.with({ 'x-api-key': key });
  };

  test.each<[Grant[], Grant[]]>([
    [['cache:write'], ['cache:write']],
    [['cache:*'], ['cache:*']],
    [['admin:*'], ['admin:*']],
    [['*'], ['*']],
    [
      ['cache:read', 'config:read', 'monitor:*'],
      ['config:read', 'monitor:*'],
    ],
  ])('a permission that they lack: %j', async (permissions, lacking) => {
    expectLacking(await wish(await maker(), { permissions }), lacking);
  });

  test('another namespace than their own', async () => {
    const client = await maker({ namespace: 'mine' });
    expectLacking(await wish(client, { namespace: 'default' }), ['namespace default']);
    expect((await wish(client, { namespace: 'mine' })).status).toBe(201);
    expect((await wish(client, {})).json).toMatchObject({ namespace: 'mine' });
  });

  test.each([[[]], [['us']], [['user:', 'order:']], [['USER:']], [['']]])(
    'wider key prefixes than their own: %j',
    async (prefixes) => {
      const answer = await wish(await maker({ key_prefixes: ['user:'] }), { key_prefixes: prefixes });
      expect([400, 403]).toContain(answer.status);
    },
  );

  test('no prefixes where they have some: those are handed on', async () => {
    const client = await maker({ key_prefixes: ['user:'] });
    expect((await wish(client, {})).json).toMatchObject({ key_prefixes: ['user:'] });
    expect((await wish(client, { key_prefixes: ['user:1:', 'user:'] })).status).toBe(201);
  });

  test('a higher tier than their own', async () => {
    const client = await maker({ tier: 'basic' });
    expectLacking(await wish(client, { tier: 'pro' }), ['tier pro']);
    expectLacking(await wish(client, { tier: 'enterprise' }), ['tier enterprise']);
    expect((await wish(client, { tier: 'free' })).status).toBe(201);
  });

  test('a rate of their choice below the highest tier, or above their own', async () => {
    const rate = { requests_per_minute: 100, burst_size: 10 };
    expectLacking(await wish(await maker({ tier: 'pro' }), { rate_limit: rate }), ['rate_limit']);
    const limited = await maker({ tier: 'enterprise', rate_limit: rate });
    expectLacking(await wish(limited, {}), ['rate_limit']);
    expectLacking(await wish(limited, { rate_limit: { ...rate, burst_size: 11 } }), ['rate_limit']);
    expect((await wish(limited, { rate_limit: rate })).status).toBe(201);
  });

  test('anything at all without the permission to', async () => {
    for (const permission of PERMISSIONS.filter((each) => each !== 'admin:write')) {
      expectError(await wish(await holding(permission), {}), 403, 'INSUFFICIENT_PERMISSIONS');
    }
  });
});
