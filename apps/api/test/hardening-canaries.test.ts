import { randomBytes } from 'node:crypto';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { createTemporaryFolder, findFreePort } from '../../../tools/harness/tied-process.mjs';
import { type Answer, type Client, entryPath } from './support/client.js';
import { logIn } from './support/credentials.js';
import { filesBelow, postgresDump, redisDump } from './support/dumps.js';
import { type HttpOrigin, startHttpOrigin } from './support/http-origin.js';
import { mintKey } from './support/keys.js';
import { readOperations } from './support/openapi.js';
import { refusedStart } from './support/process.js';
import { type Service, startService, STORES, testOnRealStores } from './support/service.js';

/** Nothing else looks like it, and it is no part of anything. */
const canary = (name: string) => `canary-${name}-${randomBytes(12).toString('hex')}`;

/** Who may be where: secrets nowhere but with their owners, values in the stores. */
const secrets = {
  adminPassword: canary('admin-password'),
  bootstrapKey: canary('bootstrap-key'),
  jwtSecret: canary('jwt-secret'),
  encryptionKey: randomBytes(32).toString('base64'),
  sourceHeader: canary('source-header'),
  sourceDatabase: canary('source-database'),
  wrongPassword: canary('wrong-password'),
  wrongKey: canary('wrong-key'),
  wrongToken: canary('wrong-token'),
  wrongRefresh: canary('wrong-refresh'),
  cookie: canary('cookie'),
  encryptedValue: canary('encrypted-value'),
  encryptedByPrefix: canary('encrypted-by-prefix'),
  refusedValue: canary('refused-value'),
  leftOut: canary('left-out'),
};
const plainValue = canary('plain-value');

let service: Service;
let origin: HttpOrigin;
const folder = createTemporaryFolder('canaries');
const answers: Answer[] = [];

beforeAll(async () => {
  origin = await startHttpOrigin();
  const http = (name: string, url: string) => ({
    name,
    prefix: `${name}:`,
    type: 'http',
    retries: { max: 0 },
    hard_timeout_ms: 2000,
    http: { url: `${url}/{suffix}`, store: {}, remove: {}, secret_headers: { 'X-Secret': secrets.sourceHeader } },
  });
  const definitions = [
    http('works', origin.url),
    http('gone', `http://127.0.0.1:${await findFreePort()}`),
    {
      name: 'rows',
      prefix: 'rows:',
      type: 'postgres',
      retries: { max: 0 },
      hard_timeout_ms: 2000,
      postgres: { connection_env: 'ROWS_URL', table: 't', key_column: 'k', value_column: 'v', writable: true },
    },
  ];
  service = await startService({
    DATA_DIR: folder.path,
    LOG_LEVEL: 'trace',
    ADMIN_PASSWORD: secrets.adminPassword,
    BOOTSTRAP_API_KEY: secrets.bootstrapKey,
    JWT_SECRET: secrets.jwtSecret,
    ENCRYPTION_KEYS: `k1:${secrets.encryptionKey}`,
    ROWS_URL: `postgres://rows:${secrets.sourceDatabase}@127.0.0.1:${await findFreePort()}/rows`,
    CACHE__ENCRYPTION__PREFIXES: '["sealed:"]',
    CACHE__SOURCES: JSON.stringify({ allowed_hosts: ['127.0.0.1'], definitions }),
  });
});
afterAll(async () => {
  await origin.stop();
  folder.remove();
});

const keep = async (...calls: Promise<Answer>[]) => answers.push(...(await Promise.all(calls)));

/** Every kind of call in which a secret can be, going well and not. */
async function useEverySecret(client: Client): Promise<Record<string, string>> {
  const anyone = client.with({ cookie: `session=${secrets.cookie}` });
  const { adminEmail } = service.api;
  const login = (password: string) => anyone.post('/v1/auth/login', { email: adminEmail, password });
  const as = (headers: Record<string, string>) => anyone.get(entryPath('k'), { headers });
  await keep(
    login(secrets.wrongPassword),
    anyone.post('/v1/auth/login', { email: secrets.wrongPassword, password: 1 }),
  );
  await keep(anyone.post('/v1/auth/login', `{"email":"${adminEmail}","password":"${secrets.wrongPassword}`));
  await keep(anyone.post('/v1/auth/refresh', { refresh_token: secrets.wrongRefresh }));
  await keep(as({ 'x-api-key': secrets.wrongKey }), as({ authorization: `Bearer ${secrets.wrongToken}` }));
  await keep(as({ authorization: `Basic ${secrets.wrongToken}` }), as({ 'x-api-key': `ck_live_${secrets.wrongKey}` }));
  await keep(anyone.get(`${entryPath('k')}?api_key=${secrets.wrongKey}`));
  await keep(anyone.get(`${entryPath('k')}?api_key=${secrets.bootstrapKey}`), anyone.get(`/v1/nowhere`));

  const minted = await mintKey(client, { name: 'the-name-of-a-key' });
  const first = await logIn(service);
  const renewed = await anyone.post('/v1/auth/refresh', { refresh_token: first.refresh_token });
  const { access_token: accessToken, refresh_token: refreshToken } = renewed.json as typeof first;
  await keep(as({ 'x-api-key': minted.api_key }), as({ authorization: `Bearer ${accessToken}` }));
  await keep(
    as({ authorization: `Bearer ${accessToken}x` }),
    as({ authorization: `Bearer ${minted.api_key.slice(0, -1)}` }),
  );
  await keep(client.post('/v1/auth/api-keys', { name: 1, secret: secrets.leftOut, permissions: [secrets.leftOut] }));
  const { refresh_token: next } = (await anyone.post('/v1/auth/refresh', { refresh_token: refreshToken }))
    .json as typeof first;
  await keep(anyone.post('/v1/auth/refresh', { refresh_token: first.refresh_token }));
  return {
    next,
    minted: minted.api_key,
    first: first.refresh_token,
    firstAccess: first.access_token,
    accessToken,
    refreshToken,
  };
}

async function useEveryValue(client: Client): Promise<void> {
  const options = { encrypt: true };
  await client.put(entryPath('encrypted'), { value: { text: secrets.encryptedValue }, options });
  await client.patch(entryPath('encrypted'), { value: { more: secrets.encryptedValue } });
  await client.put(entryPath('sealed:1'), { value: { text: secrets.encryptedByPrefix } });
  await client.put('/object/sealed:2', secrets.encryptedByPrefix, { headers: { 'content-type': 'text/plain' } });
  await client.put(entryPath('plain'), { value: plainValue, options: { tags: ['told'] } });
  const refused = secrets.refusedValue;
  const at = entryPath('plain');
  const patch = { headers: { 'content-type': 'application/json-patch+json' } };
  await keep(client.put(at, `{"value":"${refused}`), client.put(at, { value: 1, options: { tags: refused } }));
  await keep(client.put(at, { value: refused }, { headers: { 'if-match': '"0"' } }));
  await keep(client.put(at, refused, { headers: { 'content-type': 'application/msgpack' } }));
  await keep(client.put(at, refused, { headers: { 'content-type': 'application/bson' } }));
  await keep(client.put(at, refused, { headers: { 'content-type': 'text/plain' } }));
  await keep(client.put(at, refused, { headers: { 'content-encoding': 'gzip' } }));
  await keep(client.put(at, { value: refused.padEnd(2 ** 21, 'x') }), client.patch(at, { value: { a: refused } }));
  await keep(client.patch(at, [{ op: 'test', path: '', value: refused }], patch), client.post(`${at}/increment`));
  await keep(client.post('/v1/cache/bulk/set', { entries: [{ key: '\n', value: refused }, { value: refused }] }));
  for (const name of ['works', 'gone', 'rows']) {
    origin.answer({ status: 500, body: refused }, { status: 500, body: refused });
    await keep(client.get(entryPath(`${name}:1`)), client.put(entryPath(`${name}:1`), { value: refused }));
    await keep(client.delete(entryPath(`${name}:1`)), client.get(entryPath(`${name}:2`, '?explain=true')));
  }
  expect(origin.requests.some(({ headers }) => headers['x-secret'] === secrets.sourceHeader)).toBe(true);
}

/** All that is open to who may see everything, but for the values themselves. */
async function look(client: Client): Promise<void> {
  const reading = (await readOperations(client)).filter(({ method, path }) => method === 'GET' && !path.includes('{'));
  for (const { path } of reading) if (!/\/(?:events|stream)$/.test(path)) await keep(client.get(path));
  await keep(
    client.get('/v1/monitor/health?detailed=true'),
    client.get('/v1/cache?tag=told'),
    client.get('/docs-json'),
  );
}

const formsOf = (secret: string) => [
  secret,
  secret.slice(-28),
  Buffer.from(secret).toString('base64').slice(0, -4),
  Buffer.from(secret).toString('hex'),
];

const excerpt = (place: string, form: string) => {
  const at = place.indexOf(form);
  return place.slice(Math.max(0, at - 200), at + 100);
};

test('no secret is in a log, in what is told of the service, in an error, or in a store; and no value but in the stores', async () => {
  const issued = await useEverySecret(service.client);
  await useEveryValue(service.client);
  await look(service.client);
  const { stores, api } = service;
  const stored: string[] = [];
  if (STORES !== 'embedded') {
    stored.push(await postgresDump(stores['DATABASE_URL']!), await redisDump(stores['REDIS_URL']!));
  }
  await service.stop();
  stored.push(...filesBelow(folder.path));

  const told = [api.output(), ...answers.map(({ text, headers }) => `${text}\n${JSON.stringify(headers)}`)];
  // What must be there is: these are the right places.
  expect(api.output()).toContain('"level":40');
  expect(told.join('\n')).toContain('the-name-of-a-key');
  for (const text of ['the-name-of-a-key', plainValue]) expect(stored.some((each) => each.includes(text))).toBe(true);

  const found = (places: readonly string[], texts: Readonly<Record<string, string>>) =>
    Object.entries(texts).flatMap(([name, secret]) =>
      formsOf(secret).flatMap((form) =>
        places.filter((place) => place.includes(form)).map((place) => `${name} in ${excerpt(place, form)}`),
      ),
    );
  expect(found(told, { ...secrets, ...issued, plainValue })).toEqual([]);
  expect(found(stored, { ...secrets, ...issued })).toEqual([]);
});

test('a start that is refused tells nothing of the secrets that it was given', async () => {
  const given = {
    DATABASE_URL: `mysql://user:${canary('database')}@127.0.0.1/cache`,
    REDIS_URL: `redis://user:${canary('redis')}@127.0.0.1:port`,
    REDIS_CLUSTER_NODES: `http://user:${canary('cluster')}@127.0.0.1:1`,
    REDIS_SENTINEL_PASSWORD: canary('sentinel'),
    ENCRYPTION_KEYS: canary('encryption'),
    BOOTSTRAP_API_KEY: `${canary('bootstrap')} with spaces`,
    ADMIN_EMAIL: canary('email'),
    JWT_SECRET: canary('jwt').slice(-31),
    ADMIN_PASSWORD: canary('admin').slice(-11),
    LOG_LEVEL: 'trace',
  };
  const { lines, exitCode, problems } = await refusedStart(given);
  expect(exitCode).toBe(1);
  expect(problems.length).toBeGreaterThan(5);
  const secrets = Object.values(given).flatMap((text) => /[0-9a-f]{11,}/.exec(text)?.[0] ?? []);
  expect(secrets).toHaveLength(9);
  for (const secret of secrets) expect(lines.join('\n')).not.toContain(secret);
});

testOnRealStores('a Redis that goes away, or takes the password no more, is told of without it', async () => {
  const password = canary('redis');
  const redis = await startRedis({ args: ['--requirepass', password] });
  const started = await startService({
    REDIS_URL: redis.url.replace('//', `//:${password}@`),
    LOG_LEVEL: 'trace',
  });
  const { api, client } = started;
  expect((await client.put(entryPath('k'), { value: 1 })).status).toBe(201);
  await redis.kill9();
  const changed = await startRedis({ port: redis.port, args: ['--requirepass', canary('other')] });
  const told: string[] = [];
  await eventually('the loss is told', async () => {
    told.push((await client.get(entryPath('other'))).text, (await client.get('/v1/monitor/health?detailed=true')).text);
    return api.output().includes('lost the connection');
  });
  await started.stop();
  await changed.stop();
  expect([...told, api.output()].join('\n')).not.toContain(password);
});
