import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { LayerTimeout, LayerUnavailable, StorageFull } from '../src/errors.js';
import { Guard } from '../src/guard.js';
import { RedisServer } from '../src/redis/server.js';

const DEADLINE_MS = 200;
/** A busy machine may be late; what hangs is later: the client gives a server up after three seconds. */
const SLACK_MS = 1500;

type Redis = Awaited<ReturnType<typeof startRedis>>;
const servers: RedisServer[] = [];
const redises: Redis[] = [];

async function start(): Promise<{ redis: Redis; server: RedisServer }> {
  const redis = await startRedis();
  redises.push(redis);
  const nodes = [{ host: '127.0.0.1', port: redis.port }];
  const server = new RedisServer({ access: { database: 0 }, nodes, maxConnections: 1 });
  servers.push(server);
  await server.connect();
  return { redis, server };
}

const guards: Guard[] = [];
function guarded(probe: (partition?: string) => Promise<unknown>): Guard {
  const guard = new Guard('L2', probe, DEADLINE_MS);
  guards.push(guard);
  return guard;
}

afterEach(async () => {
  for (const guard of guards.splice(0)) guard.close();
  for (const server of servers.splice(0)) await server.close();
  for (const redis of redises.splice(0)) await redis.stop();
});

async function timed(call: Promise<unknown>): Promise<{ error: unknown; elapsedMs: number }> {
  const startedAt = performance.now();
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { error, elapsedMs: performance.now() - startedAt };
}

describe('a layer that is frozen', () => {
  test('costs one deadline, whoever asks then and afterwards, and is back within a second', async () => {
    const { redis, server } = await start();
    const guard = guarded(() => server.send(['PING']));
    const read = () => guard.run(() => server.send(['GET', 'k']));
    await read();
    redis.freeze();

    for (const { error, elapsedMs } of await Promise.all([timed(read()), timed(read()), timed(read())])) {
      expect(error).toBeInstanceOf(LayerTimeout);
      expect(elapsedMs).toBeLessThan(DEADLINE_MS + SLACK_MS);
    }
    expect(guard.available).toBe(false);
    let refusalsMs = 0;
    for (let count = 0; count < 100; count++) {
      const { error, elapsedMs } = await timed(read());
      expect(error).toBeInstanceOf(LayerUnavailable);
      refusalsMs += elapsedMs;
    }
    expect(refusalsMs).toBeLessThan((100 * DEADLINE_MS) / 10);
    const check = await timed(guard.check());
    expect(check.error).toBeInstanceOf(LayerTimeout);

    const thawedAt = performance.now();
    redis.thaw();
    await eventually('it is asked again', async () => (await timed(read())).error === undefined);
    expect(performance.now() - thawedAt).toBeLessThan(5000);
    expect(guard.available).toBe(true);
  });

  test('stays closed for callers until a probe is answered, however long that takes', async () => {
    const { redis, server } = await start();
    let probes = 0;
    const guard = guarded(() => {
      probes++;
      return server.send(['PING']);
    });
    const read = () => guard.run(() => server.send(['GET', 'k']));
    redis.freeze();
    await timed(read());
    // Beyond the loss of the connection, which is noticed after three seconds, and attempts to make another.
    await eventually('it was probed often', () => probes > 20, 20_000);
    expect((await timed(read())).error).toBeInstanceOf(LayerUnavailable);
    redis.thaw();
    await eventually('it is asked again', async () => (await timed(read())).error === undefined);
  });

  test('does not take the other parts of the layer with it', async () => {
    const [one, other] = [await start(), await start()];
    const serverOf = (partition?: string) => (partition === 'one' ? one.server : other.server);
    const guard = guarded((partition) => serverOf(partition).send(['PING']));
    const read = (partition: string) => guard.run(() => serverOf(partition).send(['GET', 'k']), partition);
    one.redis.freeze();
    expect((await timed(read('one'))).error).toBeInstanceOf(LayerTimeout);
    expect((await timed(read('one'))).error).toBeInstanceOf(LayerUnavailable);
    expect((await timed(read('other'))).error).toBeUndefined();
    expect(guard.available).toBe(false);
  });
});

describe('a layer that fails', () => {
  test('is not asked after five failures in a row, until it answers a probe', async () => {
    const { redis, server } = await start();
    const guard = guarded(() => server.send(['PING']));
    await redis.kill9();
    let asked = 0;
    const read = () =>
      guard.run(() => {
        asked++;
        return server.send(['GET', 'k']);
      });
    for (let count = 0; count < 50; count++) expect((await timed(read())).error).toBeInstanceOf(LayerUnavailable);
    expect(asked).toBe(5);
    redises.push(await startRedis({ port: redis.port }));
    await eventually('it is asked again', async () => (await timed(read())).error === undefined);
  });

  test('for want of room is asked as before', async () => {
    const guard = guarded(() => Promise.resolve());
    const write = () => guard.run(() => Promise.reject(new StorageFull('full')));
    for (let count = 0; count < 20; count++) expect((await timed(write())).error).toBeInstanceOf(StorageFull);
    expect(guard.available).toBe(true);
  });
});

test('an answer that was there in time counts, though this process came late to it', async () => {
  const { server } = await start();
  const guard = guarded(() => server.send(['PING']));
  const read = timed(guard.run(() => server.send(['GET', 'k'])));
  await new Promise((resolve) => setImmediate(resolve));
  const busyUntil = performance.now() + 2 * DEADLINE_MS;
  while (performance.now() < busyUntil);
  expect((await read).error).toBeUndefined();
});

test('a call that is to wait for something gets the time for it', async () => {
  const { server } = await start();
  const guard = guarded(() => server.send(['PING']));
  const wait = guard.run(() => server.send(['BLPOP', 'nothing', '0.4']), undefined, 10 * DEADLINE_MS);
  await expect(wait).resolves.toBeNull();
});
