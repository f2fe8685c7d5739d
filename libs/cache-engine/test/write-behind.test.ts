import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { type Entry, jsonText, jsonValue } from '../src/entry.js';
import { StorageFull } from '../src/errors.js';
import { Exclusive, type Turn } from '../src/exclusive.js';
import type { OutboxRecord } from '../src/outbox.js';
import { type Delivery, NotAsked, WriteBehind } from '../src/write-behind.js';
import { openRedis, type OpenLayer, SHARED_STORES, type Store } from './layers.js';
import { nodeOn } from './nodes.js';

const SETTINGS = { maxAttempts: 3, backoffMs: 10, maxBackoffMs: 40 };

/** A source that takes down all it gets, and takes its time over it. */
class RecordingSource {
  readonly got: { key: string; text: string; version: number; turn: number }[] = [];
  readonly busy = new Set<string>();
  overlaps = 0;
  fails: (key: string) => Error | undefined = () => undefined;

  deliveryOf = (key: string): Delivery => ({
    source: 'recording',
    leaseMs: 2000,
    queue: (task) => task(),
    deliver: async (entry: Entry, turn: Turn) => {
      if (this.busy.has(key)) this.overlaps++;
      this.busy.add(key);
      await delay(Math.random() * 5);
      this.busy.delete(key);
      const error = this.fails(key);
      if (error) throw error;
      this.got.push({ key, text: jsonText(entry), version: entry.version, turn: turn.number });
    },
  });

  of(key: string) {
    return this.got.filter((each) => each.key === key);
  }

  last(key: string): string | undefined {
    return this.of(key).at(-1)?.text;
  }
}

describe.each(Object.keys(SHARED_STORES))('write-behind on three nodes over %s', (name) => {
  let store: Store;
  let opened: OpenLayer[];
  let source: RecordingSource;
  let reports: OutboxRecord[];
  let nodes: { cache: ReturnType<typeof nodeOn>['cache']; writeBehind: WriteBehind }[];
  let prefix: string;
  let count = 0;

  beforeAll(async () => {
    store = await SHARED_STORES[name]!();
    opened = [await store.open(), await store.open(), await store.open()];
  });
  afterAll(async () => {
    for (const open of opened) await open.close();
    await store.stop();
  });
  beforeEach(() => {
    prefix = `app:behind-${++count}`;
    source = new RecordingSource();
    reports = [];
    nodes = opened.map((open) => {
      const { cache } = nodeOn(open);
      const report = (record: OutboxRecord) => void reports.push(record);
      const exclusive = new Exclusive(cache);
      const writeBehind = new WriteBehind(cache, cache.outbox!, exclusive, source.deliveryOf, () => SETTINGS, report);
      return { cache, writeBehind };
    });
  });
  afterEach(async () => {
    await Promise.all(nodes.map(({ writeBehind }) => writeBehind.stop(5000)));
  });

  const write = async (at: number, key: string, value: string, tells = true) => {
    const { cache, writeBehind } = nodes[at]!;
    const { entry } = await cache.put(key, jsonValue(value), { noted: true });
    if (tells) writeBehind.note(key);
    return entry.version;
  };
  const find = (key: string) => nodes[0]!.cache.outbox!.find(key);
  const isDelivered = async (key: string) => (await find(key)) === undefined;
  const ascending = (numbers: number[]) => [...numbers].sort((one, other) => one - other);

  test('brings the newest write of every key, in order and one at a time, however many write', async () => {
    const keys = Array.from({ length: 20 }, (_, index) => `${prefix}:${index}`);
    const newest = new Map<string, { version: number; text: string }>();
    await Promise.all(
      Array.from({ length: 600 }, async (_, index) => {
        await delay(Math.random() * 300);
        const key = keys[index % keys.length]!;
        const version = await write(index % 3, key, String(index));
        if (version > (newest.get(key)?.version ?? 0)) newest.set(key, { version, text: String(index) });
      }),
    );
    for (const key of keys) await eventually(`${key} is delivered`, () => isDelivered(key), 30_000);
    expect(source.overlaps).toBe(0);
    for (const key of keys) {
      const versions = source.of(key).map(({ version }) => version);
      const turns = source.of(key).map(({ turn }) => turn);
      expect(versions).toEqual(ascending(versions));
      expect(turns).toEqual([...new Set(ascending(turns))]);
      expect(source.last(key)).toBe(newest.get(key)!.text);
    }
  });

  test('takes over what the node that took it does not bring', async () => {
    const key = `${prefix}:left`;
    await write(0, key, '"left"', false);
    nodes[2]!.writeBehind.start();
    await eventually('another node brings it', () => isDelivered(key), 60_000);
    expect(source.last(key)).toBe('"left"');
    expect(nodes[2]!.writeBehind.counts).toMatchObject({ takenOver: 1, delivered: 1 });
  });

  test('tries again what has failed, and gives it up after as many attempts as configured', async () => {
    const key = `${prefix}:failing`;
    source.fails = () => new Error('the source is down');
    nodes[0]!.writeBehind.start();
    await write(0, key, '"kept"');
    await eventually('it is given up', async () => (await find(key))?.state === 'dead', 60_000);
    await eventually('that is reported', () => reports.length === 3);
    expect(await find(key)).toMatchObject({ failures: { attempts: 3, reason: 'the source is down' } });
    expect(reports.map(({ state, failures }) => [state, failures.attempts])).toEqual([
      ['waiting', 1],
      ['waiting', 2],
      ['dead', 3],
    ]);
    expect(jsonText((await nodes[1]!.cache.read(key)).entry)).toBe('"kept"');
    source.fails = () => undefined;
    await write(1, key, '"newer"');
    await eventually('a newer write is delivered', () => isDelivered(key));
    expect(source.got.map(({ text }) => text)).toEqual(['"newer"']);
  });

  test('does not count it as an attempt where the source is not asked', async () => {
    const key = `${prefix}:not-asked`;
    let refusals = 0;
    source.fails = () => (++refusals <= 5 ? new NotAsked('its breaker is open') : undefined);
    nodes[0]!.writeBehind.start();
    await write(0, key, '1');
    await eventually('it is delivered', () => isDelivered(key), 120_000);
    expect(nodes[0]!.writeBehind.counts).toMatchObject({ failures: 0, died: 0, delivered: 1 });
  });

  test('one key that fails holds up no other', async () => {
    source.fails = (key) => (key.endsWith('bad') ? new Error('never') : undefined);
    const version = await write(0, `${prefix}:bad`, '1');
    await write(0, `${prefix}:good`, '2');
    await eventually('the other is delivered', () => isDelivered(`${prefix}:good`));
    expect(source.got.map(({ key }) => key)).toEqual([`${prefix}:good`]);
    expect(await find(`${prefix}:bad`)).toMatchObject({ entry: { version } });
  });

  test('delivers what is under way before it stops', async () => {
    const keys = Array.from({ length: 50 }, (_, index) => `${prefix}:${index}`);
    await Promise.all(keys.map((key) => write(0, key, '1')));
    await nodes[0]!.writeBehind.stop(30_000);
    expect(new Set(source.got.map(({ key }) => key))).toEqual(new Set(keys));
    expect(await Promise.all(keys.map(isDelivered))).not.toContain(false);
  });
});

test('write-behind makes room on a Redis that is full of what it has to bring', async () => {
  const redis = await startRedis({ args: ['--maxmemory', '8mb', '--maxmemory-policy', 'noeviction'] });
  const open = await openRedis(redis.url);
  const { cache } = nodeOn(open);
  const source = new RecordingSource();
  const writeBehind = new WriteBehind(
    cache,
    open.layer.outbox,
    new Exclusive(cache),
    source.deliveryOf,
    () => SETTINGS,
    () => undefined,
  );
  const value = jsonValue(JSON.stringify('x'.repeat(10_000)));
  let written = 0;
  await expect(
    (async () => {
      for (; ; written++) await cache.put(`app:${written}`, value, { noted: true, ttlSeconds: 0 });
    })(),
  ).rejects.toThrow(StorageFull);
  expect(written).toBeGreaterThan(10);
  writeBehind.start();
  await eventually('all is delivered', () => source.got.length >= written, 60_000);
  await eventually('nothing waits', async () => (await open.layer.outbox.parts()).length === 0);
  await writeBehind.stop(5000);
  await open.close();
  await redis.stop();
});
