import { eventually } from '../../../tools/harness/eventually.mjs';
import { redisCommand } from '../../../tools/harness/redis-command.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import type { Cache } from '../src/cache.js';
import type { Entry } from '../src/entry.js';
import { jsonText } from '../src/entry.js';
import { KeyNotFound } from '../src/errors.js';
import { GuardedLayer } from '../src/guarded-layer.js';
import type { Layer } from '../src/layer.js';
import { openRedis, type OpenLayer, SHARED_STORES, type Store } from './layers.js';
import { nodeOn, put, SETTINGS, text } from './nodes.js';

/** A layer whose answers to reads can be held back, and are counted. */
class HeldBack implements Layer {
  reads = 0;
  private gate: Promise<void> = Promise.resolve();
  readonly applyMany: Layer['applyMany'];
  readonly scan: Layer['scan'];
  readonly check: Layer['check'];
  readonly close: Layer['close'];

  constructor(private readonly inner: Layer) {
    this.applyMany = (mutations) => inner.applyMany(mutations);
    this.scan = (prefix, cursor, limit) => inner.scan(prefix, cursor, limit);
    this.check = () => inner.check();
    this.close = () => inner.close();
  }

  holdBackReads(): () => void {
    let release: () => void = () => undefined;
    this.gate = new Promise((resolve) => (release = resolve));
    return release;
  }

  async getMany(keys: readonly string[], fresh?: boolean): Promise<readonly (Entry | undefined)[]> {
    const answer = await this.inner.getMany(keys, fresh);
    this.reads += keys.length;
    await this.gate;
    return answer;
  }
}

/** Resolves once a node has heard of everything that another has done so far. */
async function heard(by: Cache, from: Cache): Promise<void> {
  const marker = `marker-${Math.random()}`;
  await put(from, marker, '1');
  await text(by, marker);
  await put(from, marker, '2');
  await eventually('the marker is heard of', () => by.peek(marker) === undefined);
}

describe.each(Object.keys(SHARED_STORES))('a load overtaken by a change on another node, over %s', (name) => {
  let store: Store;
  let opened: [OpenLayer, OpenLayer];
  let held: HeldBack;
  let writer: Cache;
  let reader: Cache;

  beforeAll(async () => {
    store = await SHARED_STORES[name]!();
    opened = [await store.open(), await store.open()];
    writer = nodeOn(opened[0]).cache;
    held = new HeldBack(opened[1].layer);
    reader = nodeOn(opened[1], held).cache;
    await eventually('both are trusted', () => opened.every(({ backplane }) => backplane.isTrusted()));
  });
  afterAll(async () => {
    for (const open of opened) await open.close();
    await store.stop();
  });

  /** A read of the old value has its answer, and has not got it yet. */
  async function loadHeldBack(key: string) {
    await put(writer, key, '"old"');
    await heard(reader, writer);
    const before = held.reads;
    const release = held.holdBackReads();
    const loading = reader.load(key);
    await eventually('the answer is there', () => held.reads > before);
    return { loading, release };
  }

  test('does not bring the old value into L1', async () => {
    const { loading, release } = await loadHeldBack('written');
    await put(writer, 'written', '"new"');
    await eventually('the change is heard of', () => overtaken(reader, 'written'));
    release();
    expect(jsonText((await loading).entry)).toBe('"old"');
    expect(reader.peek('written')).toBeUndefined();
    expect(await text(reader, 'written')).toBe('"new"');
  });

  test('does not bring back what was removed', async () => {
    const { loading, release } = await loadHeldBack('removed');
    await writer.remove('removed');
    await eventually('the removal is heard of', () => overtaken(reader, 'removed'));
    release();
    await loading;
    expect(reader.peek('removed')).toBeUndefined();
    await expect(reader.read('removed')).rejects.toBeInstanceOf(KeyNotFound);
  });

  test('does not bring it into L1 either where it is one of many keys', async () => {
    await put(writer, 'of many', '"old"');
    await put(writer, 'left alone', '"same"');
    await heard(reader, writer);
    const before = held.reads;
    const release = held.holdBackReads();
    const loading = reader.loadMany(['of many', 'left alone', 'not there']);
    await eventually('the answer is there', () => held.reads > before);
    await put(writer, 'of many', '"new"');
    await eventually('the change is heard of', () => overtaken(reader, 'of many'));
    release();
    expect((await loading).map((found) => found && jsonText(found.entry))).toEqual(['"old"', '"same"', undefined]);
    expect(reader.peek('of many')).toBeUndefined();
    expect(jsonText(reader.peek('left alone')!.entry)).toBe('"same"');
    expect(await text(reader, 'of many')).toBe('"new"');
  });

  test('heard of only after the load, drops what that has brought', async () => {
    await put(writer, 'late', '"old"');
    await text(reader, 'late');
    await put(writer, 'late', '"new"');
    await eventually('the change is heard of', () => reader.peek('late') === undefined);
    expect(await text(reader, 'late')).toBe('"new"');
  });
});

/** Whether something is known to have happened to a key while a load of it is under way. */
function overtaken(cache: Cache, key: string): boolean {
  // Processes on one store look when they are asked.
  cache.peek(key);
  const { inFlight } = cache as unknown as {
    inFlight: { tickets: Map<string, { latestRevision: number }>; batches: Set<Map<string, number>> };
  };
  return (inFlight.tickets.get(key)?.latestRevision ?? 0) > 0 || [...inFlight.batches].some((batch) => batch.has(key));
}

describe('over one Redis', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let opened: Awaited<ReturnType<typeof openRedis>>[];
  let writer: Cache;
  let reader: Cache;
  let counted: HeldBack;

  beforeEach(async () => {
    redis = await startRedis();
    opened = [await openRedis(redis.url), await openRedis(redis.url)];
    writer = nodeOn(opened[0]!).cache;
    counted = new HeldBack(new GuardedLayer(opened[1]!.layer, 'L2', SETTINGS.layers.l2.deadline_ms));
    reader = nodeOn(opened[1]!, counted).cache;
    await trusted();
    await put(writer, 'kept', '"kept"');
    await put(writer, 'changed', '"old"');
    await text(reader, 'kept');
    await text(reader, 'changed');
  });
  afterEach(async () => {
    for (const open of opened) await open.close();
    await redis.stop();
  });

  const trusted = () => eventually('all are trusted', () => opened.every(({ backplane }) => backplane.isTrusted()));
  const command = (...parts: string[]) => redisCommand(redis.port, parts);

  async function withoutSubscriptions(then: () => Promise<unknown>): Promise<void> {
    await command('ACL', 'SETUSER', 'default', '-subscribe');
    await command('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await eventually('none is trusted', () => opened.every(({ backplane }) => !backplane.isTrusted()));
    await then();
    await command('ACL', 'SETUSER', 'default', '+subscribe');
    await trusted();
  }

  test('a node that missed nothing while it heard nothing trusts its L1 again as it is', async () => {
    const { epoch } = opened[1]!.backplane;
    const reads = counted.reads;
    await withoutSubscriptions(() => Promise.resolve());
    expect(opened[1]!.backplane.epoch).toBe(epoch);
    expect(reader.peek('kept')).toBeDefined();
    expect(reader.peek('changed')).toBeDefined();
    expect(counted.reads).toBe(reads);
  });

  test('a node that missed something checks each copy once, and what it has loaded since not at all', async () => {
    const { epoch } = opened[1]!.backplane;
    await withoutSubscriptions(async () => {
      await put(writer, 'changed', '"new"');
      // Nothing is read from L1 meanwhile.
      expect(await text(reader, 'changed')).toBe('"new"');
      expect(await text(reader, 'kept')).toBe('"kept"');
    });
    await eventually('the gap is noticed', () => opened[1]!.backplane.epoch > epoch);
    await trusted();
    expect(reader.peek('kept')).toBeUndefined();
    expect(reader.peek('changed')).toBeUndefined();
    const reads = counted.reads;
    expect(await text(reader, 'kept')).toBe('"kept"');
    expect(await text(reader, 'changed')).toBe('"new"');
    expect(counted.reads).toBe(reads + 2);
    expect(reader.peek('kept')).toBeDefined();
    expect(reader.peek('changed')).toBeDefined();
  });

  test('a node that dies without a farewell makes the others check what they hold, and does not stop them', async () => {
    const { epoch } = opened[1]!.backplane;
    const seconds = await command('EVAL', "return redis.call('TIME')[1]", '0');
    await command('ZADD', '{cache-nodes}', `${seconds}000`, 'ghost');
    await command('PUBLISH', 'cache-bus:0', 'h ghost 1 0 - - ghost');
    await eventually('it is missed', () => !opened[1]!.backplane.isTrusted());
    expect((await reader.read('kept')).layer).toBe('L2');
    await eventually('it is given up', () => opened[1]!.backplane.isTrusted());
    expect(opened[1]!.backplane.epoch).toBe(epoch + 1);
    expect(reader.peek('changed')).toBeUndefined();
    expect(await text(reader, 'changed')).toBe('"old"');
    expect(reader.peek('changed')).toBeDefined();
  });

  test('what was flushed is not read from L1 any more', async () => {
    const { epoch } = opened[1]!.backplane;
    await command('FLUSHALL');
    await eventually('it is noticed', () => opened[1]!.backplane.epoch > epoch);
    await expect(reader.read('kept')).rejects.toBeInstanceOf(KeyNotFound);
  });

  test('what a Redis lost that was restarted empty is not read from L1 any more', async () => {
    const { port } = redis;
    await redis.kill9();
    await eventually('it is missed', () => !opened[1]!.backplane.isTrusted());
    // Nothing better is to be had, and the answer says so.
    await eventually('the copy is not checked', async () => (await reader.read('kept')).stale);
    redis = await startRedis({ port });
    await trusted();
    await expect(reader.read('kept')).rejects.toBeInstanceOf(KeyNotFound);
    await put(writer, 'kept', '"new"');
    await eventually('the new value is there', async () => (await text(reader, 'kept')) === '"new"');
  });

  test('copies that something may have happened to are not served for longer than the grace', async () => {
    const { backplane } = opened[1]!;
    const before = backplane.epoch;
    await withoutSubscriptions(() => put(writer, 'changed', '"new"'));
    await eventually('the gap is noticed', () => backplane.epoch > before);
    await trusted();
    expect(backplane.uncheckedMs(backplane.epoch)).toBe(0);
    // It is trusted again, and yet nothing vouches for what was held before.
    expect(backplane.uncheckedMs(before)).toBeGreaterThan(0);
  });
});
