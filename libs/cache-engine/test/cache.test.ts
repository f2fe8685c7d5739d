import type { Cache } from '../src/cache.js';
import { jsonText, jsonValue } from '../src/entry.js';
import { ConditionFailed, KeyNotFound, LayerUnavailable } from '../src/errors.js';
import { addNumbers } from '../src/json/arithmetic.js';
import { deepMerge } from '../src/json/merge.js';
import type { Layer } from '../src/layer.js';
import { MemoryLayer } from '../src/layers/memory.js';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type OpenLayer, SHARED_STORES, type Store } from './layers.js';
import { MIB, node, nodeOn, put, SETTINGS, text } from './nodes.js';

/** A layer whose answers to reads can be held back, to bring about an order of events that is otherwise a matter of luck. */
class HeldBackLayer extends MemoryLayer {
  private release: () => void = () => undefined;
  private gate: Promise<void> = Promise.resolve();
  fails = false;

  holdBackReads(): () => void {
    this.gate = new Promise((resolve) => (this.release = resolve));
    return this.release;
  }

  override async getMany(keys: readonly string[]) {
    const answer = await super.getMany(keys);
    await this.gate;
    return answer;
  }

  override async applyMany(mutations: Parameters<Layer['applyMany']>[0]) {
    const outcomes = await super.applyMany(mutations);
    if (this.fails) throw new LayerUnavailable('L2');
    return outcomes;
  }
}

/** Seconds, to the next ten: a machine may be busy with something else for a while. */
const tensOfSeconds = (ms: number) => Math.round(ms / 10_000) * 10;

describe('what a load puts into L1', () => {
  let shared: HeldBackLayer;
  let cache: Cache;
  let l1: MemoryLayer;

  beforeEach(async () => {
    shared = new HeldBackLayer(64 * MIB);
    ({ cache, l1 } = node(shared));
    await put(node(shared).cache, 'k', '"old"');
  });

  /** Starts a load and waits until its answer has left the shared layer. */
  async function loadHeldBack() {
    const release = shared.holdBackReads();
    const loading = cache.load('k');
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    return { loading, release };
  }

  test('is the entry, if nothing came between', async () => {
    await cache.load('k');
    expect(l1.peek('k', Date.now())).toBeDefined();
  });

  test('is not an entry that was overwritten meanwhile', async () => {
    const { loading, release } = await loadHeldBack();
    await put(cache, 'k', '"new"');
    release();
    expect(jsonText((await loading).entry)).toBe('"old"');
    expect(await text(cache, 'k')).toBe('"new"');
  });

  test('is told by a read that is traced, with what kept it out', async () => {
    const told = async (by = cache) => {
      const trace = by.trace();
      await by.load('k', false, trace);
      return trace.fences;
    };
    expect(await told()).toEqual([{ layer: 'L1', outcome: 'kept' }]);
    const release = shared.holdBackReads();
    const loading = told();
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    await put(cache, 'k', '"new"');
    release();
    expect(await loading).toEqual([{ layer: 'L1', outcome: 'overtaken' }]);
    const cramped = node(shared, SETTINGS, new MemoryLayer(10_000)).cache;
    await put(cache, 'k', `"${'x'.repeat(50_000)}"`);
    expect(await told(cramped)).toEqual([{ layer: 'L1', outcome: 'no_room' }]);
  });

  test('is not an entry that was removed meanwhile', async () => {
    const { loading, release } = await loadHeldBack();
    await cache.remove('k');
    release();
    await loading;
    expect(l1.peek('k', Date.now())).toBeUndefined();
    await expect(cache.read('k')).rejects.toBeInstanceOf(KeyNotFound);
  });

  test('is not an entry that a write of unknown outcome may have replaced', async () => {
    const { loading, release } = await loadHeldBack();
    shared.fails = true;
    await expect(put(cache, 'k', '"new"')).rejects.toBeInstanceOf(LayerUnavailable);
    release();
    await loading;
    expect(l1.peek('k', Date.now())).toBeUndefined();
    // The write did happen: the next read finds it in the shared layer.
    expect(await text(cache, 'k')).toBe('"new"');
  });
});

describe('a write', () => {
  test('that fails leaves nothing in L1 that it may have replaced', async () => {
    const shared = new HeldBackLayer(64 * MIB);
    const { cache, l1 } = node(shared);
    await put(cache, 'k', '"old"');
    shared.fails = true;
    await expect(put(cache, 'k', '"new"')).rejects.toBeInstanceOf(LayerUnavailable);
    expect(l1.peek('k', Date.now())).toBeUndefined();
  });

  test('around L1 drops what L1 had and names the layers that hold the entry', async () => {
    const { cache, l1 } = node(new MemoryLayer(64 * MIB));
    expect((await put(cache, 'k', '1')).layers).toEqual(['L1', 'L2']);
    const around = await cache.put('k', jsonValue('2'), { strategy: 'write-around' });
    expect(around.layers).toEqual(['L2']);
    expect(l1.peek('k', Date.now())).toBeUndefined();
    expect((await cache.read('k')).layer).toBe('L2');
  });

  test('of an entry larger than L1 is kept below it', async () => {
    const { cache } = node(new MemoryLayer(64 * MIB), SETTINGS, new MemoryLayer(10_000));
    expect((await put(cache, 'k', `"${'x'.repeat(50_000)}"`)).layers).toEqual(['L2']);
    expect((await cache.read('k')).layer).toBe('L2');
  });
});

test('who follows the changes of a node knows of its own before anybody is answered', async () => {
  // Nothing comes back from its backplane.
  const { cache } = node(new MemoryLayer(MIB));
  let told: object[] = [];
  cache.onChange((change) => told.push(change));
  const changes: (() => Promise<unknown>)[] = [
    () => put(cache, 'k', '1'),
    () => cache.touch('k', 60),
    () => cache.remove('k'),
  ];
  for (const change of changes) {
    told = [];
    await change();
    expect(told).toEqual([{ key: 'k' }]);
  }
});

describe('expiry by default', () => {
  test('is shorter in L1 than below, and a given ttl counts everywhere', async () => {
    const { cache, l1 } = node(new MemoryLayer(64 * MIB));
    await put(cache, 'default', '1');
    await cache.put('given', jsonValue('1'), { ttlSeconds: 1000 });
    await cache.put('never', jsonValue('1'), { ttlSeconds: 0 });
    const seconds = (key: string) => tensOfSeconds(l1.peek(key, Date.now())!.heldUntilMs - Date.now());
    expect(seconds('default')).toBe(300);
    expect(seconds('given')).toBe(1000);
    expect(l1.peek('never', Date.now())?.heldUntilMs).toBe(0);
    const { entry } = await cache.load('default');
    expect(tensOfSeconds(entry.expiresAtMs - Date.now())).toBe(3600);
  });

  test('follows a configuration that changes while running', async () => {
    const { cache, l1 } = node(new MemoryLayer(64 * MIB));
    cache.configure({
      ...SETTINGS,
      layers: {
        ...SETTINGS.layers,
        l1: { ...SETTINGS.layers.l1, ttl_default: 10 },
        l2: { ...SETTINGS.layers.l2, ttl_default: 20 },
      },
      defaultStrategy: 'write-around',
    });
    expect((await put(cache, 'k', '1')).layers).toEqual(['L2']);
    const { entry } = await cache.load('k');
    expect(tensOfSeconds(entry.expiresAtMs - Date.now())).toBe(20);
    expect(tensOfSeconds(l1.peek('k', Date.now())!.heldUntilMs - Date.now())).toBe(10);
  });
});

describe.each(Object.keys(SHARED_STORES))('two nodes over %s', (name) => {
  let store: Store;
  let opened: [OpenLayer, OpenLayer];
  let nodes: [Cache, Cache];

  beforeAll(async () => {
    store = await SHARED_STORES[name]!();
    opened = [await store.open(), await store.open()];
    nodes = [nodeOn(opened[0]).cache, nodeOn(opened[1]).cache];
    await eventually('both are trusted', () => opened.every(({ backplane }) => backplane.isTrusted()));
  });
  afterAll(async () => {
    for (const open of opened) await open.close();
    await store.stop();
  });

  test('agree: what one writes, touches or removes, the other serves no more from its L1', async () => {
    const [first, second] = nodes;
    await put(first, 'shared', '1');
    expect(await text(second, 'shared')).toBe('1');
    expect(second.peek('shared')).toBeDefined();
    await put(first, 'shared', '2');
    await eventually('the write is heard of', () => second.peek('shared') === undefined);
    expect(await text(second, 'shared')).toBe('2');
    await second.touch('shared', 1000);
    await eventually('the touch is heard of', () => first.peek('shared') === undefined);
    expect(tensOfSeconds((await first.load('shared')).entry.expiresAtMs - Date.now())).toBe(1000);
    await second.remove('shared');
    await eventually('the removal is heard of', () => first.peek('shared') === undefined);
    await expect(first.read('shared')).rejects.toBeInstanceOf(KeyNotFound);
  });

  test('keep a copy that nobody has changed', async () => {
    await put(nodes[0], 'kept', '1');
    await text(nodes[1], 'kept');
    for (let round = 0; round < 20; round++) await put(nodes[0], 'other', String(round));
    expect(nodes[0].peek('kept')).toBeDefined();
    expect(nodes[1].peek('kept')).toBeDefined();
  });

  test('keep what they have written themselves', async () => {
    await put(nodes[0], 'own', '1');
    await put(nodes[0], 'own', '2');
    await put(nodes[1], 'marker', '1');
    await text(nodes[0], 'marker');
    await put(nodes[1], 'marker', '2');
    // Announcements come in order: once the later one is heard, so is our own.
    await eventually('the marker is heard of', () => nodes[0].peek('marker') === undefined);
    expect(nodes[0].peek('own')).toBeDefined();
  });

  test('drop a key from the L1 of both, and from nowhere else', async () => {
    await put(nodes[0], 'dropped', '1');
    await text(nodes[1], 'dropped');
    expect(await nodes[0].dropFromL1('dropped')).toEqual(['L1']);
    await eventually('both have dropped it', () => !nodes[0].peek('dropped') && !nodes[1].peek('dropped'));
    expect(await text(nodes[1], 'dropped')).toBe('1');
  });

  test('lose none of 64 concurrent increments', async () => {
    await Promise.all(
      Array.from({ length: 64 }, (_, index) =>
        nodes[index % 2]!.revise(
          'counter',
          (current) => jsonValue(addNumbers(current ? jsonText(current) : '0', '1')),
          {},
        ),
      ),
    );
    expect(jsonText((await nodes[0].load('counter')).entry)).toBe('64');
  });

  test('count exactly in one step', async () => {
    const counts = await Promise.all(
      Array.from({ length: 64 }, (_, index) => nodes[index % 2]!.increment('steps', { by: 1, initial: 0 })),
    );
    const texts = counts.map((written) => Number(jsonText(written!.entry)));
    expect(texts.sort((one, other) => one - other)).toEqual(Array.from({ length: 64 }, (_, index) => index + 1));
  });

  test('lose none of 64 concurrent patches of different fields', async () => {
    await put(nodes[0], 'doc', '{}');
    await Promise.all(
      Array.from({ length: 64 }, (_, index) =>
        nodes[index % 2]!.revise(
          'doc',
          (current) => jsonValue(deepMerge(jsonText(current!), `{"f${index}":${index}}`)),
          {},
        ),
      ),
    );
    const stored = JSON.parse(jsonText((await nodes[1].load('doc')).entry)) as Record<string, number>;
    expect(Object.keys(stored)).toHaveLength(64);
  });

  test('refuse a change under a condition that holds only for a copy in L1', async () => {
    const { entry } = await put(nodes[0], 'cond', '1');
    await put(nodes[1], 'cond', '2');
    const stale = nodes[0].revise('cond', () => jsonValue('3'), { condition: { versionIn: [entry.version] } });
    await expect(stale).rejects.toBeInstanceOf(ConditionFailed);
  });

  test('keep the expiry of what they change, unless a ttl is given', async () => {
    const before = await nodes[0].put('expiring', jsonValue('1'), { ttlSeconds: 100 });
    const kept = await nodes[0].revise('expiring', () => jsonValue('2'), {});
    expect(kept.entry.expiresAtMs).toBe(before.entry.expiresAtMs);
    const given = await nodes[0].revise('expiring', () => jsonValue('3'), { ttlSeconds: 1000 });
    expect(given.entry.expiresAtMs).toBeGreaterThan(before.entry.expiresAtMs + 800_000);
  });

  test('see no removed entry again', async () => {
    await put(nodes[0], 'gone', '1');
    expect(await nodes[0].remove('gone')).toEqual(nodes[0].layerNames);
    await expect(nodes[0].read('gone')).rejects.toBeInstanceOf(KeyNotFound);
    await expect(nodes[0].remove('gone')).rejects.toBeInstanceOf(KeyNotFound);
  });

  test('honour an expiry in every layer', async () => {
    await nodes[0].put('brief', jsonValue('1'), { ttlSeconds: 1 });
    await nodes[1].load('brief');
    expect(nodes[0].peek('brief')).toBeDefined();
    await eventually('the entry expires', () => !nodes[0].peek('brief') && !nodes[1].peek('brief'));
    await eventually('it is gone below', () =>
      nodes[0].load('brief').then(
        () => false,
        () => true,
      ),
    );
  });
});
