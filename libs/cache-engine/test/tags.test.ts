import { eventually } from '../../../tools/harness/eventually.mjs';
import { currentUntilMs, jsonText, jsonValue } from '../src/entry.js';
import { ConditionFailed, KeyNotFound } from '../src/errors.js';
import type { Cache } from '../src/cache.js';
import { type OpenLayer, SHARED_STORES, type Store } from './layers.js';
import { tagKey } from '../src/tags.js';
import { nodeOn, text } from './nodes.js';

const NAMESPACE = 'ns';
const value = (number: number) => jsonValue(String(number));

describe.each(Object.keys(SHARED_STORES))('tags on %s', (name) => {
  let store: Store;
  let open: OpenLayer[];
  let one: Cache;
  let other: Cache;
  beforeAll(async () => {
    store = await SHARED_STORES[name]!();
    open = [await store.open(), await store.open()];
    [one, other] = open.map((each) => nodeOn(each).cache) as [Cache, Cache];
    await eventually('both nodes trust what they hear', () => open.every(({ backplane }) => backplane.isTrusted()));
  });
  afterAll(async () => {
    await Promise.all(open.map((each) => each.close()));
    await store.stop();
  });

  const put = (key: string, tags: string[], cache = one) => cache.put(`${NAMESPACE}:${key}`, value(1), { tags });
  const isThere = async (key: string, cache: Cache) => {
    try {
      await cache.read(`${NAMESPACE}:${key}`);
      return true;
    } catch (error) {
      if (error instanceof KeyNotFound) return false;
      throw error;
    }
  };

  test('an invalidated tag takes its entries and no others, on every node', async () => {
    await Promise.all([put('a', ['red']), put('b', ['red', 'blue']), put('c', ['blue']), put('d', [])]);
    for (const key of ['a', 'b', 'c', 'd']) expect(await isThere(key, other)).toBe(true);
    expect(await one.invalidateTag(NAMESPACE, 'red')).toBeGreaterThan(0);
    expect(await Promise.all(['a', 'b', 'c', 'd'].map((key) => isThere(key, one)))).toEqual([false, false, true, true]);
    const left = () => Promise.all(['a', 'b', 'c', 'd'].map((key) => isThere(key, other)));
    await eventually('the other node hears of it', async () => (await left()).join() === 'false,false,true,true');
  });

  test('an entry that went with a tag says so to a read that is traced', async () => {
    await put('told', ['kept', 'ended']);
    const stored = (await one.read(`${NAMESPACE}:told`)).entry.attributes!.tags!;
    await one.invalidateTag(NAMESPACE, 'ended');
    const trace = one.trace();
    expect(trace.look('L1', () => one.peek(`${NAMESPACE}:told`, trace))).toBeUndefined();
    await expect(one.load(`${NAMESPACE}:told`, false, trace)).rejects.toBeInstanceOf(KeyNotFound);
    expect(trace.steps).toMatchObject([{ layer: 'L1' }, { layer: 'L2', outcome: 'fenced' }]);
    const [kept, ended] = trace.tags;
    expect(kept).toEqual({ tag: 'kept', stored: stored[0]!.generation, current: stored[0]!.generation });
    expect(ended!.stored).toBe(stored[1]!.generation);
    expect(ended!.current).toBeGreaterThan(ended!.stored);
    expect(trace.steps[1]!.reason).toBe(
      `tag "ended" was invalidated (generation ${ended!.stored}, now ${ended!.current})`,
    );
  });

  test('an invalidated tag of another namespace takes nothing', async () => {
    await put('own', ['shared']);
    expect(await one.invalidateTag('foreign', 'shared')).toBeUndefined();
    expect(await isThere('own', one)).toBe(true);
  });

  test('what is written after an invalidation was answered stays, whichever node writes it', async () => {
    for (let round = 0; round < 20; round++) {
      await put('after', ['busy']);
      await one.invalidateTag(NAMESPACE, 'busy');
      await put('after', ['busy'], other);
      expect(await isThere('after', other)).toBe(true);
      await eventually('the first node has heard all', () => isThere('after', one));
    }
  });

  test('an entry whose tag was invalidated is as good as none for every mutation', async () => {
    const key = `${NAMESPACE}:dead`;
    const kill = async () => {
      await one.put(key, value(1), { tags: ['fatal'] });
      await one.invalidateTag(NAMESPACE, 'fatal');
    };
    await kill();
    await expect(one.touch(key, 60)).rejects.toThrow(KeyNotFound);
    await kill();
    await expect(one.remove(key)).rejects.toThrow(KeyNotFound);
    await kill();
    await expect(one.put(key, value(2), { condition: { exists: true } })).rejects.toThrow(ConditionFailed);
    await kill();
    expect((await one.put(key, value(2), { condition: { exists: false } })).status).toBe('created');
    await kill();
    expect((await one.put(key, value(2), { tags: ['fatal'] })).status).toBe('created');
    await kill();
    expect((await one.put(key, value(2), {})).status).toBe('created');
    await kill();
    expect((await one.increment(key, { by: 5, initial: 0 }))?.status).toBe('created');
    expect(await text(one, key)).toBe('5');
    await kill();
    await expect(one.requireExisting(key)).rejects.toThrow(KeyNotFound);
    await kill();
    expect((await one.lease({ kind: 'lease', key, leaseMs: 1000 })).status).toBe('leased');
  });

  test('an entry that is alive is changed as any other, and keeps its tags', async () => {
    const key = `${NAMESPACE}:alive`;
    const { entry } = await one.put(key, value(1), { tags: ['kept'], condition: { exists: false } });
    await one.touch(key, 60);
    expect((await one.put(key, value(2), { tags: ['kept'], condition: { versionIn: [entry.version] } })).status).toBe(
      'updated',
    );
    await one.revise(key, (current) => jsonValue(String(Number(jsonText(current!)) + 1)), {});
    expect(await one.increment(key, { by: 1, initial: 0 })).toBeUndefined();
    expect(await text(other, key)).toBe('3');
    await one.invalidateTag(NAMESPACE, 'kept');
    expect(await isThere('alive', one)).toBe(false);
    await put('alive', ['kept']);
    expect(await one.remove(key)).toContain('L2');
  });

  test('of entries set while their tag is invalidated all that were set after it remain', async () => {
    const stopped = new AbortController();
    const invalidations = (async () => {
      while (!stopped.signal.aborted) await other.invalidateTag(NAMESPACE, 'storm');
    })();
    await Promise.all(Array.from({ length: 200 }, (_, index) => put(`storm:${index}`, ['storm'])));
    stopped.abort();
    await invalidations;
    await Promise.all(Array.from({ length: 200 }, (_, index) => put(`storm:${index}`, ['storm'])));
    const found = await Promise.all(Array.from({ length: 200 }, (_, index) => isThere(`storm:${index}`, one)));
    expect(found.every(Boolean)).toBe(true);
  });

  test('a tag that was lost takes its entries with it, and they do not come back', async () => {
    await put('lost', ['evicted']);
    await one.remove(`${NAMESPACE}:\u0001evicted`);
    expect(await isThere('lost', one)).toBe(false);
    await put('new', ['evicted']);
    expect(await isThere('lost', one)).toBe(false);
    expect(await isThere('new', one)).toBe(true);
  });

  test('a touch of an entry that ends as stale brings nothing back that was overwritten or removed meanwhile', async () => {
    const key = `${NAMESPACE}:touched`;
    for (let round = 0; round < 30; round++) {
      await one.put(key, value(-1), { ttlSeconds: 60, staleIfErrorSeconds: 60 });
      await one.read(key);
      const removes = round % 3 === 0;
      const [, touched] = await Promise.allSettled([
        removes ? other.remove(key) : other.put(key, value(round), { ttlSeconds: 60 }),
        one.touch(key, 120),
      ]);
      if (touched.status === 'rejected') expect(touched.reason).toBeInstanceOf(KeyNotFound);
      if (removes) expect(await isThere('touched', other)).toBe(false);
      else expect(jsonText((await other.load(key, true)).entry)).toBe(String(round));
    }
    await one.put(key, value(1), { ttlSeconds: 1, staleIfErrorSeconds: 60 });
    const { expiresAtMs } = await one.touch(key, 600);
    expect(expiresAtMs - Date.now()).toBeGreaterThan(655_000);
    expect(currentUntilMs((await other.load(key, true)).entry)).toBe(expiresAtMs - 60_000);
  });

  test('a tag lives as long as the entry that lives longest, in whatever order they are written', async () => {
    const day = 86_400;
    await put('tag of a while', ['long']);
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        one.put(`${NAMESPACE}:long:${index}`, value(1), { tags: ['long'], ttlSeconds: index % 2 === 0 ? 0 : 30 * day }),
      ),
    );
    const tag = await open[0]!.layer.getMany([tagKey(`${NAMESPACE}:`, 'long')], true);
    expect(tag[0]?.expiresAtMs).toBe(0);
  });

  test('tags are no entries of anybody, and dead entries are not listed', async () => {
    await Promise.all([put('listed:1', ['list']), put('listed:2', ['gone', 'list'])]);
    await one.invalidateTag(NAMESPACE, 'gone');
    const names = async (kind: 'heads' | 'dead') => {
      const found: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await one.scan(`${NAMESPACE}:`, cursor, 50);
        found.push(...page[kind].map(({ key }) => key));
        ({ cursor } = page);
      } while (cursor !== undefined);
      return [...new Set(found)].filter((key) => !/^ns:(listed|[a-z])/.test(key) || key.includes('listed'));
    };
    expect(await names('heads')).toEqual(['ns:listed:1']);
    expect(await names('dead')).toEqual(['ns:listed:2']);
  });
});
