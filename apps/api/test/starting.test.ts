import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { createTemporaryFolder, findFreePort } from '../../../tools/harness/tied-process.mjs';
import { Client, entryPath } from './support/client.js';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { mintKey } from './support/keys.js';
import { expectRefusal, refusedStart } from './support/process.js';
import { startService, STORES } from './support/service.js';

let folder: ReturnType<typeof createTemporaryFolder>;
beforeEach(() => {
  folder = createTemporaryFolder('starting');
});
afterEach(() => folder.remove());

describe('a start is refused, with one line for each problem,', () => {
  test('when variables are wrong: all of them are named at once', async () => {
    const file = path.join(folder.path, 'file');
    writeFileSync(file, '');
    const refusal = await refusedStart({
      NODE_ENV: 'staging',
      PORT: '65536',
      DATA_DIR: path.join(file, 'data'),
      DATABASE_URL: 'mysql://localhost/db',
      REDIS_URL: 'localhost:6379',
      REDIS_CLUSTER_NODES: 'a:1,b',
      CONFIG_FILE: 'settings.ini',
      ADMIN_EMAIL: 'nobody',
      ADMIN_PASSWORD: 'short',
      BOOTSTRAP_API_KEY: 'with a space in it, that is',
      JWT_SECRET: 'too short',
      ENCRYPTION_KEYS: 'k1:AAAA',
      LOG_LEVEL: 'loud',
      NODE_NAME: 'a name',
      CACHE__LAYERS__L1__SIZE_MB: '1',
      RATE_LIMITS__TIERS__GOLD: '{}',
    });
    expectRefusal(refusal, [
      /^NODE_ENV: .*"production"/,
      /^PORT: must be a port number from 0 to 65535$/,
      /^DATABASE_URL: must be a URL that starts with postgres:\/\/ or postgresql:\/\/$/,
      /^REDIS_URL: must be a URL that starts with redis:\/\/ or rediss:\/\/$/,
      /^REDIS_CLUSTER_NODES: must be host:port/,
      /^CONFIG_FILE: must end in \.yaml, \.yml, \.toml or \.json$/,
      /^ADMIN_EMAIL: must be an e-mail address$/,
      /^ADMIN_PASSWORD: must have at least 12 characters; make one with: openssl rand -base64 18$/,
      /^BOOTSTRAP_API_KEY: must be 20 to 128 printable/,
      /^JWT_SECRET: must have at least 32 characters; make one with: openssl rand -base64 32$/,
      /^ENCRYPTION_KEYS: must be a list of id:key/,
      /^LOG_LEVEL: .*"debug"/,
      /^NODE_NAME: must be 1 to 64 of/,
      /^DATA_DIR: cannot write to .*\/file\/data \(ENOTDIR\)$/,
      /^config cache\.layers\.l1\.size_mb: .*64/,
      /^config rate_limits\.tiers: .*"gold"/,
    ]);
    expect(refusal.lines.join()).not.toContain('with a space in it');
  });

  test('in production without secrets, or with such as stand in every guide', async () => {
    expectRefusal(await refusedStart({ NODE_ENV: 'production' }), [
      /^JWT_SECRET: is required in production; make one with: openssl rand/,
      /^ADMIN_PASSWORD: is required in production; make one with: openssl rand/,
    ]);
    const guessable = {
      NODE_ENV: 'production',
      JWT_SECRET: 'a-string-secret-at-least-256-bits-long',
      ADMIN_PASSWORD: 'your-password-here',
      BOOTSTRAP_API_KEY: 'x'.repeat(40),
      ENCRYPTION_KEYS: `k1:${'A'.repeat(43)}=`,
    };
    expectRefusal(await refusedStart(guessable), [
      /^JWT_SECRET: is a well-known text; make one with: openssl rand -base64 32$/,
      /^ADMIN_PASSWORD: is made of well-known words; make one with: openssl rand -base64 18$/,
      /^BOOTSTRAP_API_KEY: repeats itself; make one with: openssl rand -hex 32, or leave it out/,
      /^ENCRYPTION_KEYS: k1 has too few different bytes; make one with: echo "k1:\$\(openssl rand -base64 32\)"$/,
    ]);
  });

  test('in production with keys that were made in development and kept in DATA_DIR', async () => {
    writeFileSync(path.join(folder.path, 'secrets.json'), JSON.stringify({ encryption_keys: 'local:x' }));
    const env = { JWT_SECRET: randomBytes(32).toString('base64'), ADMIN_PASSWORD: randomBytes(18).toString('base64') };
    expectRefusal(await refusedStart({ NODE_ENV: 'production', DATA_DIR: folder.path, ...env }), [
      /^ENCRYPTION_KEYS: is required in production, .*\/secrets\.json: set it to what "encryption_keys" is there/,
    ]);
    const others = { ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}` };
    expectRefusal(await refusedStart({ NODE_ENV: 'production', DATA_DIR: folder.path, ...env, ...others }), [
      /^ENCRYPTION_KEYS: lacks keys that were made in .*\/secrets\.json, .*put what "encryption_keys" is there behind your own/,
    ]);
  });

  test('when the port is taken', async () => {
    const { port, close } = await occupied(() => undefined);
    expectRefusal(await refusedStart({ PORT: String(port) }), [new RegExp(`^PORT: ${port} is taken on 127.0.0.1`)]);
    close();
  });

  test('when the host is not of this machine', async () => {
    expectRefusal(await refusedStart({ HOST: '192.0.2.1' }), [
      /^HOST: 192\.0\.2\.1 is not an address of this machine$/,
    ]);
  });

  test('when DATA_DIR cannot be written', async () => {
    const file = path.join(folder.path, 'file');
    writeFileSync(file, '');
    expectRefusal(await refusedStart({ DATA_DIR: file }), [/^DATA_DIR: cannot write to .*\/file \(E(EXIST|NOTDIR)\)$/]);
  });

  test('when another process has the DATA_DIR', async () => {
    const dataDir = path.join(folder.path, 'data');
    const first = await startApi({ env: { DATA_DIR: dataDir } });
    expectRefusal(await refusedStart({ DATA_DIR: dataDir }), [/^DATA_DIR: .* is in use by another process/]);
    expect((await new Client(first.url).get('/health/ready')).status).toBe(200);
    expect(await first.stop()).toBe(0);
  });

  test.each([
    ['DATABASE_URL', (port: number) => `postgres://user:hidden@127.0.0.1:${port}/db`, /cannot use Postgres/],
    ['REDIS_URL', (port: number) => `redis://user:hidden@127.0.0.1:${port}`, /cannot use Redis/],
  ])('when nothing that it can use is at %s', async (name, urlOf, problem) => {
    const pattern = new RegExp(`^${name}: ${problem.source} at 127\\.0\\.0\\.1:\\d+: \\S`);
    const closed = await findFreePort();
    const silent = await occupied(() => undefined);
    const other = await occupied((server) =>
      server.on('connection', (socket) => socket.end('HTTP/1.1 400 no\r\n\r\n')),
    );
    for (const port of [closed, silent.port, other.port]) {
      const refusal = await refusedStart({ DATA_DIR: path.join(folder.path, 'data'), [name]: urlOf(port) });
      expectRefusal(refusal, [pattern]);
      expect(refusal.lines.join()).not.toContain('hidden');
    }
    silent.close();
    other.close();
  });

  test('when the secrets that it keeps are damaged', async () => {
    writeFileSync(path.join(folder.path, 'secrets.json'), '{"jwt_secret":');
    expectRefusal(await refusedStart({ DATA_DIR: folder.path }), [/^DATA_DIR: .*\/secrets\.json is damaged/]);
  });

  test('when the API key that it is given is one of ours and mistyped', async () => {
    const key = `ck_live_${'a'.repeat(38)}`;
    expectRefusal(await refusedStart({ BOOTSTRAP_API_KEY: key }), [/^BOOTSTRAP_API_KEY: .* checksum is wrong/]);
  });
});

describe('the first start', () => {
  /** As somebody does who sets nothing. */
  const UNSET = { ADMIN_PASSWORD: '', BOOTSTRAP_API_KEY: '', NODE_ENV: '' };

  test('prints what it has made, and it works; the second keeps all of it and prints no secret', async () => {
    const DATA_DIR = path.join(folder.path, 'data');
    const service = await startService({ ...UNSET, DATA_DIR });
    const printed = service.api.output();
    const secret = (label: string) => new RegExp(`^ *${label} +(\\S+)$`, 'm').exec(printed)![1]!;
    const [email, password, key] = [secret('Admin e-mail'), secret('Admin password'), secret('API key')];
    expect(printed).toContain(`curl -X PUT ${service.api.url}/v1/cache/hello -H "X-API-Key: ${key}"`);
    expect(printed).toMatch(
      new RegExp(`API +${service.api.url}/v1\n *Swagger +${service.api.url}/docs\n *Admin +${service.api.url}/admin\n`),
    );
    const client = new Client(service.api.url, { 'x-api-key': key });
    expect((await client.put(entryPath('kept'), { value: { n: 1 }, options: { ttl: 0 } })).status).toBe(201);
    const made = await mintKey(client);
    expect(await service.stop().then(() => service.api.process.exitCode)).toBe(0);

    const again = await startApi({ env: { ...UNSET, ...service.stores, DATA_DIR } });
    const anyone = new Client(again.url);
    for (const each of [key, made.api_key]) {
      const answer = await anyone.get(entryPath('kept'), { headers: { 'x-api-key': each } });
      expect(answer.json).toMatchObject({ value: { n: 1 } });
    }
    expect((await anyone.post('/v1/auth/login', { email, password })).status).toBe(200);
    expect(again.output()).toMatch(/Cache System is running/);
    expect(again.output()).not.toMatch(/password|API key|ck_live_|curl/i);
    expect(await again.stop()).toBe(0);
  });

  test('does not print what it was given', async () => {
    const given = { ADMIN_PASSWORD: 'a password of my own', BOOTSTRAP_API_KEY: 'a-key-of-my-own-making' };
    const service = await startService(given);
    expect((await service.client.get('/v1/auth/me')).json).toMatchObject({ permissions: ['*'], tier: 'enterprise' });
    for (const text of Object.values(given)) expect(service.api.output()).not.toContain(text);
    await service.stop();
  });
});

describe('a process that was killed', () => {
  test('has lost no write that it had answered', async () => {
    const DATA_DIR = path.join(folder.path, 'data');
    const service = await startService({ DATA_DIR });
    const made = await mintKey(service.client);
    const acknowledged = new Set<number>();
    let next = 0;
    const write = async (): Promise<void> => {
      for (;;) {
        const n = next++;
        const answer = await service.client
          .put(entryPath(`k${n}`), { value: n, options: { ttl: 0 } })
          .catch(() => undefined);
        if (!answer) return;
        if (answer.status === 201) acknowledged.add(n);
      }
    };
    const writers = Array.from({ length: 16 }, write);
    await eventually('some hundred writes are answered', () => acknowledged.size > 300);
    await service.api.kill9();
    await Promise.all(writers);

    const again = await startApi({ env: { ...service.stores, DATA_DIR, BOOTSTRAP_API_KEY: service.api.apiKey } });
    const client = new Client(again.url, { 'x-api-key': again.apiKey });
    for (const n of acknowledged) expect((await client.get(entryPath(`k${n}`))).json).toMatchObject({ value: n });
    const { status } = await client.get(entryPath('k0'), { headers: { 'x-api-key': made.api_key } });
    expect({ stores: STORES, status }).toEqual({ stores: STORES, status: 200 });
    expect(await again.stop()).toBe(0);
  });
});

/** A port on which something listens that is neither Postgres nor Redis. */
async function occupied(prepare: (server: Server) => void): Promise<{ port: number; close: () => void }> {
  const server = createServer();
  prepare(server);
  const port = await findFreePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { port, close: () => void server.close() };
}
