import { setTimeout as delay } from 'node:timers/promises';
import { EVICTION_POLICIES } from '@cache-system/contracts';
import { type Entry, jsonValue } from '../entry.js';
import { EntryStore } from './entry-store.js';

const MIB = 1024 * 1024;

function entry(revision: number, text: string): Entry {
  const stamp = { version: revision, revision, createdAtMs: 1, updatedAtMs: 2, expiresAtMs: 0 };
  return { ...jsonValue(text), defaultTtl: true, ...stamp };
}

/** A text of so many bytes that says which it is, here and there beyond ASCII. */
function textOf(seed: number, bytes: number): string {
  const start = `"${seed}:${seed % 5 === 0 ? 'ü€🎈' : ''}`;
  return `${start}${String.fromCharCode(97 + (seed % 26)).repeat(Math.max(0, bytes - Buffer.byteLength(start) - 1))}"`;
}

describe.each(EVICTION_POLICIES)('L1 with policy %s', (policy) => {
  let store: EntryStore;
  afterEach(() => store.clear());

  test('keeps its bound and its books through anything that may happen', () => {
    store = new EntryStore(4 * MIB, policy);
    const model = new Map<string, { text: string; revision: number; heldUntilMs: number }>();
    const startMs = Date.now();
    let random = 12345;
    const next = (below: number) => (random = (random * 48271) % 0x7fffffff) % below;
    for (let step = 1; step <= 10_000; step++) {
      const key = `ns${next(4)}:${next(3000)}`;
      const action = next(100);
      if (action < 60) {
        const bytes = next(20) === 0 ? next(200_000) : next(3000);
        const text = textOf(step, bytes);
        const heldUntilMs = next(3) === 0 ? startMs + 1e6 + next(1e6) : 0;
        if (store.hold(key, entry(step, text), heldUntilMs)) model.set(key, { text, revision: step, heldUntilMs });
        else model.delete(key);
      } else if (action < 95) {
        const slot = store.peek(key, startMs);
        const expected = model.get(key);
        if (!slot) model.delete(key);
        else {
          expect(slot.text()).toBe(expected?.text);
          expect(slot.revision).toBe(expected?.revision);
          expect(slot.heldUntilMs).toBe(expected?.heldUntilMs);
        }
      } else if (action < 97) {
        store.drop(key);
        model.delete(key);
      } else if (action === 97) {
        const older = next(2) === 0;
        const revision = model.get(key)?.revision ?? 0;
        const held = store.peek(key, startMs) !== undefined;
        expect(store.dropOlder(key, older ? revision : revision + 1)).toBe(held && !older);
        if (!older) model.delete(key);
      } else if (action === 98 && step % 20 === 0) {
        store.resize((2 + next(3)) * MIB);
      }
      expect(store.sizeBytes).toBeLessThanOrEqual(store.capacityBytes);
    }
    const held = [...model.keys()].filter((key) => store.peek(key, startMs));
    expect(store.count).toBe(held.length);
    expect(held.length).toBeGreaterThan(50);

    const ofPrefix = held.filter((key) => key.startsWith('ns1:'));
    expect(store.dropPrefix('ns1:')).toBe(ofPrefix.length);
    expect(store.count).toBe(held.length - ofPrefix.length);
    store.clear();
    expect(store.count).toBe(0);
    expect(store.sizeBytes).toBe(0);
  });

  test('takes over what another policy has gathered, and goes on from there', () => {
    store = new EntryStore(MIB, policy === 'lru' ? 'lfu' : 'lru');
    for (let index = 0; index < 400; index++) store.hold(`key:${index}`, entry(1, textOf(index, 500)), 0);
    const { count, sizeBytes } = store;
    store.setPolicy(policy);
    expect([store.count, store.sizeBytes]).toEqual([count, sizeBytes]);
    for (let index = 0; index < 400; index++) {
      expect(store.peek(`key:${index}`, 0)?.text()).toBe(textOf(index, 500));
    }
    for (let index = 0; index < 5000; index++) store.hold(`more:${index}`, entry(1, textOf(index, 500)), 0);
    expect(store.sizeBytes).toBeLessThanOrEqual(MIB);
    expect(store.evictions > 0).toBe(policy !== 'reject');
    expect(store.rejections > 0).toBe(policy === 'reject');
    store.resize(MIB / 2);
    expect(store.sizeBytes).toBeLessThanOrEqual(MIB / 2);
    expect(store.count).toBeGreaterThan(0);
  });

  test('gives back what has expired, without being asked for it and without a scan', async () => {
    store = new EntryStore(MIB, policy);
    const soonMs = Date.now() + 300;
    for (let index = 0; index < 300; index++) store.hold(`key:${index}`, entry(1, '1'), index % 3 === 0 ? 0 : soonMs);
    expect(store.peek('key:1', soonMs - 1)).toBeDefined();
    expect(store.peek('key:1', soonMs)).toBeUndefined();
    while (Date.now() < soonMs + 5000 && store.count > 100) await delay(20);
    expect(store.count).toBe(100);
    expect(store.expirations).toBe(200);
  });
});

describe('a slot', () => {
  const store = new EntryStore(MIB);
  afterAll(() => store.clear());

  test.each(['1', textOf(5, 50), textOf(1, 100_000), textOf(10, 100_000)])('gives back what was held (%#)', (text) => {
    store.hold('k', { ...entry(1, text), expiresAtMs: 99 }, 1e15);
    const slot = store.peek('k', 0)!;
    expect(slot.text()).toBe(text);
    expect(slot.entry).toEqual({ ...entry(1, text), expiresAtMs: 99 });
    expect(slot).toMatchObject({ version: 1, createdAtMs: 1, updatedAtMs: 2, heldUntilMs: 1e15, defaultTtl: true });
    store.drop('k');
  });

  test('has copies that outlive it, and says so when it is gone', () => {
    store.hold('k', entry(1, '"old"'), 0);
    const slot = store.peek('k', 0)!;
    const { entry: copy } = slot;
    store.drop('k');
    for (let index = 0; index < 100; index++) store.hold(`other:${index}`, entry(1, '"new"'), 0);
    expect(copy.payload.toString()).toBe('"old"');
    expect(() => slot.text()).toThrow('in L1 no more');
    expect(() => slot.version).toThrow('in L1 no more');
  });

  test('keeps its hits when its value is replaced, and the higher epoch of one revision', () => {
    store.hold('k2', entry(1, '1'), 0, 3, 7);
    store.hold('k2', entry(1, '1'), 0, 0, 5);
    expect(store.peek('k2', 0)).toMatchObject({ hits: 3, epoch: 7 });
    store.hold('k2', entry(1, '1'), 0, 0, 8);
    expect(store.peek('k2', 0)).toMatchObject({ hits: 3, epoch: 8 });
    store.hold('k2', entry(2, '22'), 0, 0, 9);
    expect(store.peek('k2', 0)).toMatchObject({ hits: 3, epoch: 9 });
  });
});

test('reject says beforehand whether there is room, and counts the entry that would be replaced', () => {
  const store = new EntryStore(MIB, 'reject');
  let held = 0;
  while (store.hasRoomFor(`key:${held}`, 1000)) {
    expect(store.hold(`key:${held}`, entry(1, textOf(1, 1000)), 0)).toBe(true);
    held++;
  }
  expect(store.hold('another', entry(1, textOf(1, 1000)), 0)).toBe(false);
  expect(store.hasRoomFor('key:0', 1000)).toBe(true);
  expect(store.hold('key:0', entry(2, textOf(2, 1000)), 0)).toBe(true);
  store.drop('key:1');
  expect(store.hasRoomFor('another', 1000)).toBe(true);
  store.clear();
});

test('keys beyond Latin-1 are told apart', () => {
  const store = new EntryStore(MIB);
  store.hold('ns:\u0141', entry(1, '1'), 0);
  expect(store.peek('ns:A', 0)).toBeUndefined();
  expect(store.peek('ns:\u0141', 0)?.text()).toBe('1');
});
