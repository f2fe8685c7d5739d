import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { jsonValue } from '../src/entry.js';
import type { Mutation, Put } from '../src/mutation.js';
import type { Outbox, OutboxItem, OutboxState } from '../src/outbox.js';
import { openRedis, type OpenLayer, SHARED_STORES, type Store } from './layers.js';

const NO_ROOM = { attempts: 1, dueAtMs: 5, reason: 'no room' };

describe.each(Object.keys(SHARED_STORES))('the outbox of %s', (name) => {
  let store: Store;
  let open: OpenLayer;
  let outbox: Outbox;
  let key: string;
  let count = 0;

  beforeAll(async () => {
    store = await SHARED_STORES[name]!();
    open = await store.open();
    outbox = open.layer.outbox!;
  });
  afterAll(async () => {
    await open.close();
    await store.stop();
  });
  beforeEach(() => {
    key = `app:${name}:${++count}`;
  });

  const write = (value: string, more: Partial<Put> = {}): Put => ({
    kind: 'put',
    key,
    content: { ...jsonValue(value), defaultTtl: false },
    ttlMs: 0,
    ...more,
  });
  const note = (value: string, more: Partial<Put> = {}) => write(value, { noted: true, ...more });
  const apply = async (mutation: Mutation) => (await open.layer.applyMany([mutation]))[0]!;
  const noted = async (value: string, more?: Partial<Put>) => {
    const outcome = await apply(note(value, more));
    if (!('stamp' in outcome)) throw new Error(outcome.status);
    return outcome.stamp.version;
  };
  const seen = async () => {
    const record = await outbox.find(key);
    return record && { text: record.entry.payload.toString(), state: record.state, failures: record.failures };
  };
  const listed = async (state: OutboxState, limit = 100) => {
    const all: OutboxItem[] = [];
    for (const part of await outbox.parts()) {
      let cursor: string | undefined;
      do {
        const page = await outbox.list(part, state, cursor, limit);
        all.push(...page.items);
        cursor = page.cursor;
      } while (cursor !== undefined);
    }
    return all;
  };
  const keysOf = async (state: OutboxState) => (await listed(state)).map((record) => record.key);
  const counts = async () => {
    const all = await Promise.all((await outbox.parts()).map((part) => outbox.counts(part)));
    return {
      waiting: all.reduce((sum, one) => sum + one.waiting, 0),
      dead: all.reduce((sum, one) => sum + one.dead, 0),
    };
  };

  test('has what was noted, as it was written, and nothing of other writes', async () => {
    await apply(write('"plain"'));
    expect(await outbox.find(key)).toBeUndefined();
    const version = await noted('"noted"', {
      content: { ...jsonValue('"noted"'), defaultTtl: false, attributes: { contentType: 'text/x' } },
    });
    expect(await outbox.find(key)).toMatchObject({
      key,
      entry: { version, format: 'json', attributes: { contentType: 'text/x' } },
      state: 'waiting',
      failures: { attempts: 0, dueAtMs: 0, reason: '' },
    });
    expect(await seen()).toMatchObject({ text: '"noted"' });
  });

  test('keeps what was noted when the entry expires or is removed', async () => {
    await noted('1', { ttlMs: 20 });
    await eventually('the entry has expired', async () => (await open.layer.getMany([key]))[0] === undefined);
    expect(await seen()).toMatchObject({ text: '1' });
    await noted('2');
    await apply({ kind: 'remove', key });
    expect(await seen()).toMatchObject({ text: '2' });
  });

  test('notes nothing of a write that was refused', async () => {
    await apply(note('1', { condition: { exists: true } }));
    expect(await seen()).toBeUndefined();
    await noted('2');
    await apply(note('3', { condition: { exists: false } }));
    expect(await seen()).toMatchObject({ text: '2' });
  });

  test('has the newest write of a key alone, since the first of them, without what befell those before', async () => {
    const first = await noted('1');
    const since = async () => (await listed('waiting')).find((item) => item.key === key)!.sinceMs;
    const before = await since();
    expect(await outbox.change(key, first, { to: 'waiting', failures: NO_ROOM })).toBe(true);
    expect(await seen()).toEqual({ text: '1', state: 'waiting', failures: NO_ROOM });
    await noted('2');
    expect(await seen()).toMatchObject({ text: '2', failures: { attempts: 0 } });
    expect(await since()).toBe(before);
    expect((await keysOf('waiting')).filter((each) => each === key)).toHaveLength(1);
  });

  test('is not changed in the name of a write that was replaced', async () => {
    const old = await noted('1');
    const version = await noted('2');
    expect(await outbox.change(key, old, { to: 'gone' })).toBe(false);
    expect(await outbox.change(key, old, { to: 'dead', failures: NO_ROOM })).toBe(false);
    expect(await seen()).toMatchObject({ text: '2', state: 'waiting' });
    expect(await outbox.change(key, version, { to: 'gone' })).toBe(true);
    expect(await outbox.change(key, version, { to: 'gone' })).toBe(false);
    expect(await seen()).toBeUndefined();
    expect(await keysOf('waiting')).not.toContain(key);
  });

  test('lists what is there without its value', async () => {
    const version = await noted(`"${'x'.repeat(10_000)}"`);
    await outbox.change(key, version, { to: 'waiting', failures: NO_ROOM });
    const item = (await listed('waiting')).find((each) => each.key === key)!;
    expect(item).toMatchObject({ version, storedBytes: 10_002, failures: NO_ROOM });
    expect(Math.abs(item.writtenAtMs - Date.now())).toBeLessThan(60_000);
    expect(item.sinceMs).toBeLessThanOrEqual(item.writtenAtMs);
  });

  test('says what is due: a while after it was noted, and when it is to be tried again', async () => {
    const due = async () => {
      const keys = await Promise.all((await outbox.parts()).map((part) => outbox.due(part, undefined, 1000)));
      return keys.flatMap((page) => page.keys);
    };
    const version = await noted('1');
    expect(await due()).not.toContain(key);
    await eventually('it is due', async () => (await due()).includes(key), 30_000);
    await outbox.change(key, version, { to: 'waiting', failures: { ...NO_ROOM, dueAtMs: Date.now() + 3_600_000 } });
    expect(await due()).not.toContain(key);
    await outbox.change(key, version, { to: 'waiting', failures: { ...NO_ROOM, dueAtMs: Date.now() - 60_000 } });
    await eventually('it is due again', async () => (await due()).includes(key));
    await outbox.change(key, version, { to: 'dead', failures: NO_ROOM });
    expect(await due()).not.toContain(key);
  });

  test('keeps dead letters by themselves, until they are revived, replaced or dropped', async () => {
    const before = await counts();
    const version = await noted('1');
    expect(await counts()).toEqual({ waiting: before.waiting + 1, dead: before.dead });
    await outbox.change(key, version, { to: 'dead', failures: NO_ROOM });
    expect(await counts()).toEqual({ waiting: before.waiting, dead: before.dead + 1 });
    expect(await seen()).toEqual({ text: '1', state: 'dead', failures: NO_ROOM });
    expect(await keysOf('waiting')).not.toContain(key);
    expect(await keysOf('dead')).toContain(key);
    await outbox.change(key, version, { to: 'waiting', failures: { ...NO_ROOM, attempts: 0 } });
    expect(await seen()).toMatchObject({ state: 'waiting', failures: { attempts: 0 } });
    await outbox.change(key, version, { to: 'dead', failures: NO_ROOM });
    await noted('2');
    expect(await seen()).toMatchObject({ text: '2', state: 'waiting', failures: { attempts: 0 } });
    expect(await keysOf('dead')).not.toContain(key);
    expect(await counts()).toEqual({ waiting: before.waiting + 1, dead: before.dead });
  });

  test('lists all, also those that were noted in the same moment, and says since when the oldest waits', async () => {
    const startedAtMs = Date.now();
    const keys = Array.from({ length: 130 }, (_, index) => `${key}:${index}`);
    await open.layer.applyMany(keys.map((each) => note('1', { key: each })));
    const found = (await listed('waiting', 7)).map((record) => record.key).filter((each) => keys.includes(each));
    expect(found.sort()).toEqual([...keys].sort());
    const oldest = await Promise.all(
      (await outbox.parts()).map(async (part) => (await outbox.counts(part)).oldestWaitingMs),
    );
    const times = oldest.filter((each) => each !== undefined);
    expect(Math.min(...times)).toBeLessThanOrEqual(Date.now() + 200);
    expect(Math.max(...times)).toBeGreaterThan(startedAtMs - 3_600_000);
  });

  test('runs no risk that is known of, on a server that evicts nothing', async () => {
    expect(await outbox.risk()).toBeUndefined();
  });

  test('is not met by those who list entries', async () => {
    await noted('1');
    const keys: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await open.layer.scan('', cursor, 1000);
      keys.push(...page.heads.map((head) => head.key));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(keys).toContain(key);
    expect(keys.every((each) => each.startsWith('app:'))).toBe(true);
  });
});

test('the outbox says where a server may evict it', async () => {
  const redis = await startRedis({ args: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'] });
  const open = await openRedis(redis.url);
  expect(await open.layer.outbox.risk()).toMatch(/allkeys-lru/);
  await open.close();
  await redis.stop();
});
