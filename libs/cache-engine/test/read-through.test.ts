import { eventually } from '../../../tools/harness/eventually.mjs';
import { jsonText, jsonValue } from '../src/entry.js';
import { KeyNotFound } from '../src/errors.js';
import { type Loaded, ReadThrough } from '../src/read-through.js';
import { type OpenLayer, SHARED_STORES, type Store } from './layers.js';
import { nodeOn, put, text } from './nodes.js';

const LEASE = { leaseMs: 10_000 };

/** A source whose answers come when the test says so. */
class Source {
  calls = 0;
  private waiting: ((loaded: Loaded | undefined) => void)[] = [];

  readonly fetch = () => {
    this.calls++;
    return new Promise<Loaded | undefined>((resolve) => this.waiting.push(resolve));
  };

  answer(valueText: string | undefined): void {
    const loaded = valueText === undefined ? undefined : { value: jsonValue(valueText) };
    for (const resolve of this.waiting.splice(0)) resolve(loaded);
  }

  asked(times: number): Promise<void> {
    return eventually(`the source is asked ${times} times`, () => this.calls === times);
  }
}

describe.each(Object.keys(SHARED_STORES))('reading through on three nodes over %s', (name) => {
  let store: Store;
  let opened: OpenLayer[];
  let nodes: { cache: ReturnType<typeof nodeOn>['cache']; through: ReadThrough }[];
  let source: Source;
  let key: string;
  let count = 0;

  beforeAll(async () => {
    store = await SHARED_STORES[name]!();
    opened = [await store.open(), await store.open(), await store.open()];
    nodes = opened.map((open) => {
      const { cache } = nodeOn(open);
      return { cache, through: new ReadThrough(cache) };
    });
  });
  afterAll(async () => {
    for (const open of opened) await open.close();
    await store.stop();
  });
  beforeEach(() => {
    source = new Source();
    key = `cold:${++count}`;
  });

  test('asks the source once for 300 that miss together', async () => {
    const loads = Array.from({ length: 300 }, (_, index) => nodes[index % 3]!.through.load(key, source.fetch, LEASE));
    await source.asked(1);
    source.answer('"value"');
    const entries = await Promise.all(loads);
    expect(new Set(entries.map(({ entry }) => jsonText(entry)))).toEqual(new Set(['"value"']));
    expect(source.calls).toBe(1);
    expect(await text(nodes[2]!.cache, key)).toBe('"value"');
  });

  test('asks again when the one that asked gave up', async () => {
    const failing = nodes[0]!.through.load(key, () => Promise.reject(new Error('source is down')), LEASE);
    await expect(failing).rejects.toThrow('source is down');
    const loading = nodes[1]!.through.load(key, source.fetch, LEASE);
    await source.asked(1);
    source.answer('1');
    expect(jsonText((await loading).entry)).toBe('1');
  });

  test('says that there is no such key, and lets the next one ask', async () => {
    const first = nodes[0]!.through.load(key, source.fetch, LEASE);
    await source.asked(1);
    source.answer(undefined);
    await expect(first).rejects.toBeInstanceOf(KeyNotFound);
    const second = nodes[1]!.through.load(key, source.fetch, LEASE);
    await source.asked(2);
    source.answer('2');
    expect(jsonText((await second).entry)).toBe('2');
  });

  test('passes the lease on when its holder does not come back, and refuses what that brings later', async () => {
    const lost = new Source();
    const late = nodes[0]!.through.load(key, lost.fetch, { leaseMs: 100 });
    await lost.asked(1);
    const taken = nodes[1]!.through.load(key, source.fetch, LEASE);
    await source.asked(1);
    source.answer('"new"');
    expect(jsonText((await taken).entry)).toBe('"new"');
    lost.answer('"old"');
    expect(jsonText((await late).entry)).toBe('"new"');
    expect(await text(nodes[2]!.cache, key)).toBe('"new"');
  });

  test('does not keep what was overtaken by a removal', async () => {
    await put(nodes[1]!.cache, key, '"before"');
    await nodes[1]!.cache.remove(key);
    const loading = nodes[0]!.through.load(key, source.fetch, LEASE);
    await source.asked(1);
    await nodes[1]!.cache.remove(key).catch(() => undefined);
    source.answer('"old"');
    await source.asked(2);
    source.answer('"new"');
    expect(jsonText((await loading).entry)).toBe('"new"');
    expect(await text(nodes[2]!.cache, key)).toBe('"new"');
  });
});
