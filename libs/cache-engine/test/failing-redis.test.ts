import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { jsonText, jsonValue } from '../src/entry.js';
import { LayerTimeout, LayerUnavailable, StorageFull } from '../src/errors.js';
import { GuardedLayer } from '../src/guarded-layer.js';
import { RedisLayer } from '../src/layers/redis.js';
import type { Put } from '../src/mutation.js';
import { parseRedisUrl } from '../src/redis/address.js';
import { RedisServer } from '../src/redis/server.js';
import { eventually } from '../../../tools/harness/eventually.mjs';

const DEADLINE_MS = 200;
/** A busy machine may be late; what hangs is later: the client gives a server up after three seconds. */
const SLACK_MS = 1500;

const put = (key: string, text: string): Put => ({
  kind: 'put',
  key,
  content: { ...jsonValue(text), defaultTtl: false },
  ttlMs: 60_000,
});

async function timed<T>(call: Promise<T>): Promise<{ error: unknown; elapsedMs: number }> {
  const startedAt = performance.now();
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { error, elapsedMs: performance.now() - startedAt };
}

describe('a guarded Redis', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let layer: GuardedLayer;

  beforeEach(async () => {
    redis = await startRedis();
    const { address, access } = parseRedisUrl(redis.url);
    const server = new RedisServer({ access, nodes: [address], maxConnections: 2 });
    await server.connect();
    layer = new GuardedLayer(new RedisLayer(server), 'L2', DEADLINE_MS);
    await layer.applyMany([put('k', '"kept"')]);
  });
  afterEach(async () => {
    await layer.close();
    await redis.stop();
  });

  const readable = () =>
    layer.getMany(['k']).then(
      ([entry]) => entry !== undefined && jsonText(entry) === '"kept"',
      () => false,
    );

  test('that is frozen costs no more than one deadline, and works again soon after it is thawed', async () => {
    redis.freeze();
    const [read, write] = await Promise.all([timed(layer.getMany(['k'])), timed(layer.applyMany([put('other', '1')]))]);
    for (const { error, elapsedMs } of [read, write]) {
      expect(error).toBeInstanceOf(LayerTimeout);
      expect(elapsedMs).toBeLessThan(DEADLINE_MS + SLACK_MS);
    }
    const { error, elapsedMs } = await timed(layer.getMany(['k']));
    expect(error).toBeInstanceOf(LayerUnavailable);
    expect(elapsedMs).toBeLessThan(SLACK_MS);
    expect(layer.available).toBe(false);
    redis.thaw();
    await eventually('reads come back', readable);
    expect(layer.available).toBe(true);
  });

  test('that is killed fails at once, and works again once it is back', async () => {
    await redis.kill9();
    await eventually(
      'the loss is noticed',
      async () => (await timed(layer.getMany(['k']))).error instanceof LayerUnavailable,
    );
    const { error, elapsedMs } = await timed(layer.applyMany([put('k', '1')]));
    expect(error).toBeInstanceOf(LayerUnavailable);
    expect(elapsedMs).toBeLessThan(SLACK_MS);
    redis = await startRedis({ port: redis.port });
    await eventually('writes come back', () =>
      layer.applyMany([put('k', '"kept"')]).then(
        () => true,
        () => false,
      ),
    );
    await eventually('reads come back', readable);
  });

  test('that has lost its scripts is given them again', async () => {
    await redisCommand(redis.url, ['SCRIPT', 'FLUSH']);
    await expect(layer.applyMany([put('k', '"kept"')])).resolves.toHaveLength(1);
  });

  test('hands out no version twice after it has lost all its data', async () => {
    const [before] = await layer.applyMany([put('k', '1')]);
    await redisCommand(redis.url, ['FLUSHALL']);
    const [after] = await layer.applyMany([put('k', '1')]);
    expect(after!.revision).toBeGreaterThan(before!.revision);
  });

  test('that has no room refuses writes and still answers reads', async () => {
    await redisCommand(redis.url, ['CONFIG', 'SET', 'maxmemory-policy', 'noeviction']);
    await redisCommand(redis.url, ['CONFIG', 'SET', 'maxmemory', '1']);
    for (let attempt = 0; attempt < 10; attempt++) {
      expect((await timed(layer.applyMany([put('k', '1')]))).error).toBeInstanceOf(StorageFull);
    }
    expect(await readable()).toBe(true);
  });
});

async function redisCommand(url: string, command: string[]): Promise<void> {
  const { createClient } = await import('redis');
  const client = createClient({ url });
  await client.connect();
  await client.sendCommand(command);
  client.destroy();
}
