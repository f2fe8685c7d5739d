import { apiKeyListSchema, probeSchema } from '@cache-system/contracts';
import { startPostgres } from '../../../tools/harness/postgres-process.mjs';
import { startTcpProxy } from '../../../tools/harness/tcp-proxy.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { Client as Postgres } from 'pg';
import { mintApiKey } from '../src/auth/api-key-format.js';
import { readAudit } from './support/audit.js';
import { type Answer, type Client, entryPath } from './support/client.js';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { onRealStores, type Service, startService } from './support/service.js';

const DEADLINE_MS = 300;
/** A busy machine may be late; what hangs is later. */
const SLACK_MS = 3000;
/** After so long the service gives a query up, and so it does to wait for a connection. */
const QUERY_TIMEOUT_MS = 5000;

/** Only a process of its own can be frozen or killed. */

async function timed(call: Promise<Answer>): Promise<{ answer: Answer; elapsedMs: number }> {
  const startedAt = performance.now();
  const answer = await call;
  return { answer, elapsedMs: performance.now() - startedAt };
}

function expectUnavailable(answer: Answer): void {
  if (answer.status === 504) {
    expect(expectError(answer, 504, 'CACHE_TIMEOUT')).toEqual({ layer: 'L2', deadline_ms: DEADLINE_MS });
  } else expect(expectError(answer, 502, 'CACHE_UNAVAILABLE')).toEqual({ layer: 'L2' });
  expect(answer.headers['retry-after']).toMatch(/^\d+$/);
}

onRealStores('with a Redis that fails', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let service: Service;
  let client: Client;
  beforeEach(async () => {
    redis = await startRedis();
    service = await startService({ REDIS_URL: redis.url, CACHE__LAYERS__L2__DEADLINE_MS: String(DEADLINE_MS) });
    client = service.client;
    await client.put(entryPath('in-l1'), { value: 'kept' });
    await client.put(entryPath('in-l2'), { value: 'kept' });
    await client.delete(`${entryPath('in-l2')}?cascade=false`);
  });
  afterEach(async () => {
    await service.stop();
    await redis.stop();
  });

  const read = (key: string) => client.get(entryPath(key));
  const worksAgain = () =>
    eventually('reads and writes work', async () => {
      const statuses = [(await client.put(entryPath('again'), { value: 1 })).status, (await read('in-l2')).status];
      return statuses[0]! < 300 && [200, 404].includes(statuses[1]!);
    });

  test('frozen, what L1 holds is still answered, and the rest within the deadline', async () => {
    redis.freeze();
    const miss = await timed(read('in-l2'));
    expect(miss.answer.status).toBe(504);
    expectUnavailable(miss.answer);
    expect(miss.elapsedMs).toBeLessThan(DEADLINE_MS + SLACK_MS);
    for (let i = 0; i < 20; i++) {
      const hit = await read('in-l1');
      expect(hit.headers['x-cache-layer']).toBe('L1');
      expect(hit.json).toMatchObject({ value: 'kept' });
    }
    redis.thaw();
    await worksAgain();
    expect((await read('in-l2')).json).toMatchObject({ value: 'kept' });
  });

  test('frozen, no change is acknowledged, and what it may have changed is not read from L1', async () => {
    redis.freeze();
    const changes = await Promise.all([
      timed(client.put(entryPath('in-l1'), { value: 'new' })),
      timed(client.put(entryPath('new'), { value: 'new' })),
      timed(client.post(entryPath('counter', '/increment'), { by: 1 })),
      timed(client.patch(entryPath('in-l2'), { value: { a: 1 } })),
      timed(client.delete(entryPath('in-l2'))),
      timed(client.post(entryPath('in-l2', '/touch'), { ttl: 60 })),
    ]);
    for (const { answer, elapsedMs } of changes) {
      expectUnavailable(answer);
      expect(elapsedMs).toBeLessThan(DEADLINE_MS + SLACK_MS);
    }
    expectUnavailable(await read('in-l1'));
    redis.thaw();
    await worksAgain();
    // Either happened; a third is not possible.
    expect(['kept', 'new']).toContain(((await read('in-l1')).json as { value: string }).value);
  });

  test('frozen, a crowd of callers waits no longer than one', async () => {
    redis.freeze();
    const startedAt = performance.now();
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => read(`absent-${i}`)));
    expect(performance.now() - startedAt).toBeLessThan(2 * DEADLINE_MS + 2 * SLACK_MS);
    answers.forEach(expectUnavailable);
    expect((await client.with({}).get('/health/live')).status).toBe(200);
    redis.thaw();
    await worksAgain();
  });

  test('killed, it is unavailable at once; restarted, it works again', async () => {
    await redis.kill9();
    await eventually('the loss is noticed', async () => (await read('in-l2')).status === 502);
    expectUnavailable(await client.put(entryPath('new'), { value: 1 }));
    expect((await read('in-l1')).json).toMatchObject({ value: 'kept' });
    redis = await startRedis({ port: redis.port });
    await worksAgain();
    expect((await read('again')).json).toMatchObject({ value: 1 });
  });
});

onRealStores('with a Postgres that fails', () => {
  test.each([
    { graceSeconds: 3, atMostMs: 3000, atLeastMs: 2000 },
    { graceSeconds: 0, atMostMs: 1000, atLeastMs: 0 },
  ])(
    'who is known stays so for the grace of $graceSeconds s and nobody else gets in or is told a wrong reason',
    async ({ graceSeconds, atMostMs, atLeastMs }) => {
      const postgres = await startPostgres();
      const service = await startService({
        DATABASE_URL: postgres.url,
        SECURITY__AUTHENTICATION__DATABASE_OUTAGE_GRACE: String(graceSeconds),
      });
      const { client, api } = service;
      const unknown = client.with({ 'x-api-key': mintApiKey() });
      const neverUsed = client.with({ 'x-api-key': (await mintKey(client)).api_key });
      await client.put(entryPath('k'), { value: 1 });
      await postgres.stopImmediate();
      const stoppedAt = performance.now();

      let lastGrantAt = stoppedAt;
      const strangers: Answer[] = [];
      await eventually('the grace is over', async () => {
        const sentAt = performance.now();
        const known = await client.get(entryPath('k'));
        if (known.status === 200) lastGrantAt = sentAt;
        else expectDatabaseDown(known);
        strangers.push(await unknown.get(entryPath('k')), await neverUsed.get(entryPath('k')));
        return performance.now() - stoppedAt > atMostMs + 500 && known.status !== 200;
      });
      expect(lastGrantAt - stoppedAt).toBeLessThan(atMostMs);
      expect(lastGrantAt - stoppedAt).toBeGreaterThanOrEqual(atLeastMs);
      strangers.forEach(expectDatabaseDown);

      const anyone = client.with({});
      expectDatabaseDown(await anyone.post('/v1/auth/login', { email: api.adminEmail, password: api.adminPassword }));
      expectDatabaseDown(await anyone.post('/v1/auth/refresh', { refresh_token: 'rt_any' }));
      const ready = await anyone.get('/health/ready');
      expect(ready.status).toBe(200);
      expect(probeSchema.parse(ready.json).details).toMatchObject({
        database: { status: 'up', degraded: 'the database does not answer' },
      });
      expect((await anyone.get('/health/live')).status).toBe(200);
      expect(await service.stop().then(() => api.process.exitCode)).toBe(0);
    },
  );

  describe('which hangs', () => {
    const GRACE_SECONDS = 4;
    let postgres: Awaited<ReturnType<typeof startPostgres>>;
    let line: Awaited<ReturnType<typeof startTcpProxy>>;
    let service: Service;
    let client: Client;
    beforeEach(async () => {
      postgres = await startPostgres();
      line = await startTcpProxy(postgres.port);
      const url = new URL(postgres.url);
      url.port = String(line.port);
      service = await startService({
        DATABASE_URL: url.href,
        SECURITY__AUTHENTICATION__DATABASE_OUTAGE_GRACE: String(GRACE_SECONDS),
      });
      client = service.client;
    });
    afterEach(async () => {
      await line.pass();
      await service.stop();
      await line.stop();
      await postgres.stop();
    });

    const isOver = async () => (await client.get(entryPath('k'))).status === 503;
    const worksAgain = () =>
      eventually('the database answers', async () => (await client.get('/v1/auth/api-keys')).status === 200, 30_000);

    test('who is known waits for it no longer than a moment, and nobody for long', async () => {
      await client.put(entryPath('k'), { value: 1 });
      line.stall();
      const known = await timed(client.get(entryPath('k')));
      expect(known.answer.status).toBe(200);
      expect(known.elapsedMs).toBeLessThan(1000 + SLACK_MS);
      const strangers = Array.from({ length: 30 }, () => client.with({ 'x-api-key': mintApiKey() }));
      const waiting = await Promise.all(strangers.map((stranger) => timed(stranger.get(entryPath('k')))));
      for (const { answer, elapsedMs } of waiting) {
        expectDatabaseDown(answer);
        expect(elapsedMs).toBeLessThan(3 * QUERY_TIMEOUT_MS + SLACK_MS);
      }
      await eventually('the grace is over', isOver);
      expect((await client.with({}).get('/health/live')).status).toBe(200);
      await line.pass();
      await worksAgain();
      expect((await client.get(entryPath('k'))).json).toEqual({ key: 'k', value: 1 });
    });

    test('no change is made and none is half made', async () => {
      const { key_id: id, api_key: key } = await mintKey(client);
      const listKeys = async () =>
        apiKeyListSchema
          .loose()
          .parse((await client.get('/v1/auth/api-keys')).json)
          .api_keys.map((each) => each.key_id);
      const keys = await listKeys();
      const { head } = await readAudit(client);
      const { adminEmail: email, adminPassword: password } = service.api;
      const anyone = client.with({});
      line.stall();
      const changes = await Promise.all([
        timed(client.post('/v1/auth/api-keys', { name: 'new', permissions: ['cache:read'] })),
        timed(client.delete(`/v1/auth/api-keys/${id}`)),
        timed(client.post('/v1/admin/write-behind/discard', { records: [{ namespace: 'default', key: 'k' }] })),
        timed(anyone.post('/v1/auth/login', { email, password })),
        timed(anyone.post('/v1/auth/refresh', { refresh_token: 'rt_any' })),
      ]);
      for (const { answer, elapsedMs } of changes) {
        expectDatabaseDown(answer);
        expect(elapsedMs).toBeLessThan(4 * QUERY_TIMEOUT_MS + SLACK_MS);
      }
      await line.pass();
      await worksAgain();
      expect(await listKeys()).toEqual(keys);
      expect((await client.with({ 'x-api-key': key }).get('/v1/auth/me')).status).toBe(200);
      expect((await readAudit(client)).head).toEqual(head);
    });

    test('a key that another node revokes meanwhile works until the grace is over, and then never again', async () => {
      const other = await startService({ ...service.stores, DATABASE_URL: postgres.url });
      const { key_id: id, api_key: key } = await mintKey(other.client, { tier: 'enterprise' });
      const held = client.with({ 'x-api-key': key });
      expect((await held.get(entryPath('k'))).status).toBe(404);
      line.stall();
      const stalledAt = performance.now();
      expect((await other.client.delete(`/v1/auth/api-keys/${id}`)).status).toBe(204);
      let lastGrantAt = stalledAt;
      await eventually('the grace is over', async () => {
        const sentAt = performance.now();
        const answer = await held.get(entryPath('k'));
        if (answer.status === 404) lastGrantAt = sentAt;
        else expectDatabaseDown(answer);
        return answer.status !== 404;
      });
      expect(lastGrantAt - stalledAt).toBeLessThan(GRACE_SECONDS * 1000);
      await line.pass();
      await eventually('the key is refused for what it is', async () => {
        const answer = await held.get(entryPath('k'));
        if (answer.status === 503) return false;
        expectError(answer, 401, 'AUTHENTICATION_FAILED');
        return true;
      });
      await other.stop();
    });
  });

  test('that cuts every connection is connected to again', async () => {
    const service = await startService();
    const url = new URL(service.stores['DATABASE_URL']!);
    const postgres = new Postgres({ connectionString: url.href });
    await postgres.connect();
    const cut = () =>
      postgres.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
        [url.pathname.slice(1)],
      );
    const list = () => service.client.get('/v1/auth/api-keys');
    for (let round = 0; round < 3; round++) {
      expect((await list()).status).toBe(200);
      await cut();
      await eventually('keys are listed again', async () => (await list()).status === 200);
    }
    await postgres.end();
    expect(await service.stop().then(() => service.api.process.exitCode)).toBe(0);
  });
});

function expectDatabaseDown(answer: Answer): void {
  expect(expectError(answer, 503, 'SERVICE_OVERLOADED')).toEqual({ dependency: 'database' });
  expect(answer.headers['retry-after']).toMatch(/^\d+$/);
}
