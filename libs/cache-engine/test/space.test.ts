import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open as openFiles } from 'lmdb';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedisCluster } from '../../../tools/harness/redis-cluster.mjs';
import { redisCommand } from '../../../tools/harness/redis-command.mjs';
import { encodeAttributes } from '../src/attributes.js';
import { type Head, HEADER, jsonValue } from '../src/entry.js';
import { NamespaceFull } from '../src/errors.js';
import { GuardedLayer } from '../src/guarded-layer.js';
import type { Layer } from '../src/layer.js';
import { LmdbLayer } from '../src/layers/lmdb.js';
import { SPACE_PLACE, TALLIES } from '../src/layers/redis-recount.js';
import { redisKey } from '../src/layers/redis-protocol.js';
import { KEEP_EXPIRY, type Mutation, NO_EXPIRY, type Put } from '../src/mutation.js';
import { tagKey } from '../src/tags.js';
import { nodeOn } from './nodes.js';
import { later, redisWith } from './redis-support.js';
import { openCluster, openRedis, type OpenLayer, SHARED_STORES, type Store } from './layers.js';

const MINUTE_MS = 60_000;
/** What is promised. */
const TOLERANCE = 0.02;

const put = (key: string, bytes: number, more: Partial<Put> = {}): Put => ({
  kind: 'put',
  key,
  content: { ...jsonValue(`"${'x'.repeat(bytes - 2)}"`), defaultTtl: false },
  ttlMs: MINUTE_MS,
  ...more,
});

/** What the entries of a namespace take, one by one. */
async function fullCount(layer: Layer, namespace: string): Promise<number> {
  const heads = new Map<string, Head>();
  let cursor: string | undefined;
  do {
    const page = await layer.scan(`${namespace}:`, cursor, 1000);
    for (const head of page.heads) heads.set(head.key, head);
    ({ cursor } = page);
  } while (cursor !== undefined);
  return [...heads.values()].reduce((sum, { key, attributes, storedBytes }) => {
    const attributeBytes = attributes ? encodeAttributes(attributes).length : 0;
    return sum + Buffer.byteLength(key) + HEADER.bytes + attributeBytes + storedBytes;
  }, 0);
}

/** The same kinds of numbers on every run: what fails is seen again. */
function* randoms(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    yield state / 2_147_483_648;
  }
}

function isCounted(layer: Layer, namespace: string) {
  return eventually('the count is right', async () => {
    const [used = -1, counted] = [await layer.usedBytes?.(namespace), await fullCount(layer, namespace)];
    return Math.abs(used - counted) <= TOLERANCE * counted;
  });
}

describe.each(['lmdb', 'redis', 'cluster'])('the bytes of a namespace in %s', (name) => {
  let store: Store;
  let nodes: readonly [OpenLayer, OpenLayer];
  let layer: Layer;

  beforeAll(async () => {
    store = await SHARED_STORES[name]!();
    nodes = [await store.open(), await store.open()];
    layer = nodes[0].layer;
    await eventually('all is counted', async () => {
      const counts = await Promise.all(nodes.map(async ({ layer: each }) => each.usedBytes?.('none')));
      return counts.every((count) => count !== undefined);
    });
  });
  afterAll(async () => {
    for (const node of nodes) await node.close();
    await store.stop();
  });
  const apply = async (mutation: Mutation, on = layer) => (await on.applyMany([mutation]))[0]!;

  test('are those of keys, headers and values, whatever is done to the entries', async () => {
    const random = randoms(7);
    const below = (limit: number) => Math.floor(random.next().value * limit);
    for (let round = 0; round < 60; round++) {
      const mutations = Array.from({ length: 25 }, (): Mutation => {
        const key = `mixed:key-${below(150)}`;
        const ttlMs = [NO_EXPIRY, 20 + below(400), MINUTE_MS, 3_600_000][below(4)]!;
        const condition = [undefined, { exists: true }, { exists: false }][below(3)];
        return [
          put(key, 2 + below(3000), { ttlMs, ...(condition && { condition }) }),
          put(key, 2 + below(3000), { ttlMs: KEEP_EXPIRY }),
          { kind: 'touch', key, ttlMs } as const,
          { kind: 'remove', key } as const,
          { kind: 'lease', key, leaseMs: 1000 } as const,
          {
            kind: 'increment',
            key: `${key}-n`,
            by: 1,
            initial: 9,
            ttlMs,
            initialTtlMs: ttlMs,
            defaultTtl: false,
          } as const,
        ][below(6)]!;
      });
      await nodes[round % 2]!.layer.applyMany(mutations);
    }
    expect(await fullCount(layer, 'mixed')).toBeGreaterThan(50_000);
    await isCounted(layer, 'mixed');
    await isCounted(nodes[1].layer, 'mixed');
  });

  test('are fewer once entries have expired, though nobody asks for them', async () => {
    await layer.applyMany(Array.from({ length: 50 }, (_, index) => put(`gone:${index}`, 1000, { ttlMs: 300 })));
    await layer.applyMany([put('gone:kept', 5000)]);
    await eventually('the others are gone', async () => (await layer.usedBytes?.('gone')) === 9 + 72 + 5000);
  });

  test('do not matter to another namespace', async () => {
    await apply(put('mine:a', 10_000, { ttlMs: NO_EXPIRY }));
    expect((await apply(put('theirs:a', 1000, { limitBytes: 2000 }))).status).toBe('created');
    await isCounted(layer, 'theirs');
  });

  test('do not grow beyond the limit by more than a fiftieth, however many write at once', async () => {
    const limitBytes = 1024 * 1024;
    const writer = async (index: number) => {
      const { layer: own } = nodes[index % 2]!;
      for (let number = 0; number < 40; number++) {
        const outcome = await apply(put(`full:${index}-${number}`, 9_900, { limitBytes }), own);
        if (outcome.status === 'full') expect(outcome.usedBytes).toBeGreaterThan(0.9 * limitBytes);
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, index) => writer(index)));
    const counted = await fullCount(layer, 'full');
    expect(counted).toBeLessThanOrEqual(limitBytes * (1 + TOLERANCE));
    expect(counted).toBeGreaterThan(limitBytes * 0.95);
    await isCounted(layer, 'full');
  });

  test('may always become fewer, and give room to others', async () => {
    const limitBytes = 100_000;
    for (let index = 0; index < 11; index++) await apply(put(`swap:${index}`, 9_000, { limitBytes }));
    expect((await apply(put('swap:11', 9_900, { limitBytes }))).status).toBe('full');
    expect((await apply({ ...put('swap:0', 20_000), limitBytes })).status).toBe('full');
    expect((await apply(put('swap:0', 8_000, { limitBytes }))).status).toBe('updated');
    expect((await apply(put('swap:0', 7_000, { limitBytes: 10 }))).status).toBe('updated');
    expect((await apply({ kind: 'touch', key: 'swap:1', ttlMs: 2 * MINUTE_MS })).status).toBe('touched');
    expect((await apply({ kind: 'remove', key: 'swap:2' })).status).toBe('removed');
    expect((await apply(put('swap:11', 9_900, { limitBytes }))).status).toBe('created');
  });

  test('may grow by the difference where something larger replaces an entry', async () => {
    const limitBytes = 100_000;
    for (let index = 0; index < 10; index++) await apply(put(`larger:${index}`, 9_000, { limitBytes }));
    expect((await apply(put('larger:0', 17_000, { limitBytes }))).status).toBe('updated');
    expect((await apply(put('larger:1', 17_000, { limitBytes }))).status).toBe('full');
    await isCounted(layer, 'larger');
  });

  test('tags of an entry that is refused are not made', async () => {
    const { cache } = nodeOn(nodes[0]);
    await apply(put('tagged:a', 1000));
    await isCounted(layer, 'tagged');
    const refused = cache.put('tagged:b', jsonValue('1'), { tags: ['new'], limitBytes: 1000 });
    await expect(refused).rejects.toBeInstanceOf(NamespaceFull);
    expect(await layer.getMany([tagKey('tagged:b', 'new')])).toEqual([undefined]);
  });

  test('an entry that is refused leaves no trace', async () => {
    expect((await apply(put('none:a', 500, { limitBytes: 100 }))).status).toBe('full');
    expect(await layer.getMany(['none:a'])).toEqual([undefined]);
    const increment = { kind: 'increment', key: 'none:b', by: 1, initial: 0, ttlMs: 0, initialTtlMs: 0 } as const;
    expect((await apply({ ...increment, defaultTtl: false, limitBytes: 10 })).status).toBe('full');
    expect(await fullCount(layer, 'none')).toBe(0);
  });
});

describe.each(['redis', 'cluster'])('counts of %s that have drifted', (name) => {
  test('are replaced by a new count, made while it is written', async () => {
    const { open, command } = await drifting(name === 'cluster');
    const { layer } = open;
    await eventually('counting has begun', async () => (await layer.usedBytes('app')) !== undefined);
    await layer.applyMany(Array.from({ length: 1000 }, (_, index) => put(`app:${index}`, 500)));
    await isCounted(layer, 'app');
    const isDone = async () => /^\d+ 0 /.test(await command(TALLIES, 'GET', TALLIES));
    await eventually('the first count is done', isDone, 20_000);

    // As an eviction does it.
    for (let index = 0; index < 500; index++) {
      const key = redisKey(`app:${index}`);
      await command(key, 'DEL', key);
    }
    expect(await layer.usedBytes('app')).toBeGreaterThan(1.5 * (await fullCount(layer, 'app')));
    const [current = ''] = (await command(TALLIES, 'GET', TALLIES)).split(' ');
    await command(TALLIES, 'SET', TALLIES, `${current} 0 0`);
    let number = 0;
    await eventually(
      'all is counted anew',
      async () => {
        await layer.applyMany([put(`app:new-${++number % 50}`, 700), put(`app:${600 + (number % 100)}`, 900)]);
        return !(await command(TALLIES, 'GET', TALLIES)).startsWith(`${current} `);
      },
      20_000,
    );
    await eventually('it is right', async () => (await layer.usedBytes('app')) === (await fullCount(layer, 'app')));
  });
});

test('all is counted anew when something was evicted, and not as long as nothing was', async () => {
  const redis = await redisWith('--maxmemory-policy', 'volatile-random');
  const command = (...words: string[]) => redisCommand(redis.port, words);
  const { layer } = later(await openRedis(redis.url), (each) => each.close());
  const tallies = () => command('GET', TALLIES);
  await eventually('counting has begun', async () => (await layer.usedBytes('app')) !== undefined);
  await eventually('the first count is done', async () => /^\d+ 0 /.test(await tallies()), 20_000);
  const due = `${(await tallies()).split(' ')[0]} 0 ${Date.now()}`;
  await command('SET', TALLIES, due);
  const looks = async () => Number(/cmdstat_info:calls=(\d+)/.exec(await command('INFO', 'commandstats'))?.[1]);
  const before = await looks();
  // Of them, those that ask for this number are every other one.
  let asked = 0;
  await eventually('it was looked for', async () => (await looks()) - before - ++asked >= 2, 20_000);
  expect(await tallies()).toBe(due);

  const keys = Array.from({ length: 2000 }, (_, index) => `app:${index}`);
  await layer.applyMany(keys.map((key) => put(key, 1000)));
  const [, used] = /used_memory:(\d+)/.exec(await command('INFO', 'memory')) ?? [];
  await command('CONFIG', 'SET', 'maxmemory', String(Number(used) - 500_000));
  await eventually('some are evicted', async () => /evicted_keys:[1-9]/.test(await command('INFO', 'stats')));
  await command('CONFIG', 'SET', 'maxmemory', '0');
  await eventually('it is counted anew', async () => !(await tallies()).startsWith(due), 20_000);
  await isCounted(layer, 'app');
}, 60_000);

describe('a shard of a cluster that counts and is frozen', () => {
  test('keeps nobody from writing to the others, whose circuits stay closed', async () => {
    const cluster = later(await startRedisCluster({ replicasPerMaster: 0 }), (each) => each.stop());
    const { layer } = later(await openCluster(cluster.addresses), (each) => each.close());
    const guarded = new GuardedLayer(layer, 'L3', 2000);
    await eventually('all is counted', async () => (await guarded.usedBytes('app')) !== undefined, 20_000);
    const [current, coming] = (await (await cluster.masterOf(TALLIES)).command('GET', TALLIES)).split(' ');
    const counting = await cluster.masterOf(`${SPACE_PLACE}${current === '0' ? coming : current}:app`);
    const keys = Array.from({ length: 300 }, (_, index) => `app:${index}`);
    const elsewhere = keys.filter((key) => layer.partitionOf(key) !== counting.id);
    const write = (index: number) =>
      guarded.applyMany([put(elsewhere[index % elsewhere.length]!, 500, { limitBytes: 10_000_000 })]);
    await write(0);
    counting.freeze();
    // Well beyond the time for which what the sheet said last is relied on.
    const endsAtMs = performance.now() + 3000;
    for (let index = 0; performance.now() < endsAtMs; index++) {
      const [outcome] = await write(index);
      expect(outcome?.status).toMatch(/created|updated/);
    }
    expect(await guarded.usedBytes('app')).toBeUndefined();
    expect(guarded.available).toBe(true);
    counting.thaw();
    await isCounted(layer, 'app');
  });
});

describe('what was there before anything was counted', () => {
  test('is counted in Redis, in the background', async () => {
    const { open, command } = await drifting(false);
    const { layer } = open;
    await eventually('counting has begun', async () => (await layer.usedBytes('app')) !== undefined);
    const keys = Array.from({ length: 100 }, (_, index) => `app:${index}`);
    await layer.applyMany(keys.map((key) => put(key, 500)));
    const [current = ''] = (await command(TALLIES, 'GET', TALLIES)).split(' ');
    for (const key of keys) await command(key, 'SETRANGE', redisKey(key), String(HEADER.offsets.tally), '\0');
    await command(TALLIES, 'DEL', TALLIES, `${SPACE_PLACE}${current}:app`);
    await eventually('all is counted', async () => (await layer.usedBytes('app')) === (await fullCount(layer, 'app')));
  });

  test('is counted in the embedded store when that is opened', async () => {
    const path = later(mkdtempSync(join(tmpdir(), 'cache-lmdb-')), (folder) => rmSync(folder, { recursive: true }));
    const before = new LmdbLayer(path);
    await before.applyMany([put('app:a', 500), put('app:b', 700), put('other:a', 900)]);
    await before.close();
    const files = openFiles({ path, maxDbs: 10 });
    await files.openDB({ name: 'space' }).drop();
    await files.close();
    const layer = new LmdbLayer(path);
    expect(await layer.usedBytes('app')).toBe(await fullCount(layer, 'app'));
    expect(await layer.usedBytes('other')).toBe(7 + HEADER.bytes + 900);
    await layer.close();
  });

  test('is counted anew where an older version, which does not count, has written to the embedded store', async () => {
    const path = later(mkdtempSync(join(tmpdir(), 'cache-lmdb-')), (folder) => rmSync(folder, { recursive: true }));
    const before = new LmdbLayer(path);
    await before.applyMany([put('app:a', 500), put('app:b', 700)]);
    await before.close();
    const files = openFiles<Buffer, Buffer>({ path, maxDbs: 10, encoding: 'binary', keyEncoding: 'binary' });
    const [entries, counters] = ['entries', 'counters'].map((name) =>
      files.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' }),
    );
    await entries!.remove(Buffer.from('app:a'));
    const revision = Buffer.from(counters!.getBinary(Buffer.from('revision'))!);
    revision.writeDoubleBE(revision.readDoubleBE() + 1);
    await counters!.put(Buffer.from('revision'), revision);
    await files.close();
    const layer = new LmdbLayer(path);
    expect(await layer.usedBytes('app')).toBe(await fullCount(layer, 'app'));
    await layer.close();
  });
});

/** A layer, and commands to the server that has a key. */
async function drifting(inCluster: boolean) {
  if (!inCluster) {
    const redis = await redisWith();
    const open = later(await openRedis(redis.url), (each) => each.close());
    return { open, command: (_key: string, ...words: string[]) => redisCommand(redis.port, words) };
  }
  const cluster = later(await startRedisCluster({ replicasPerMaster: 0 }), (each) => each.stop());
  const open = later(await openCluster(cluster.addresses), (each) => each.close());
  const command = async (key: string, ...words: string[]) => (await cluster.masterOf(key)).command(...words);
  return { open, command };
}
