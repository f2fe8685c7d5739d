import { type Entry, jsonValue } from '../entry.js';
import { MemoryLayer } from './memory.js';

const MIB = 1024 * 1024;

function entry(revision: number, bytes = 1000): Entry {
  return {
    ...jsonValue(`"${'x'.repeat(bytes - 2)}"`),
    defaultTtl: false,
    version: revision,
    revision,
    createdAtMs: 0,
    updatedAtMs: 0,
    expiresAtMs: 0,
  };
}

describe('memory layer', () => {
  test('never holds more bytes than it may', () => {
    const layer = new MemoryLayer(MIB);
    for (let index = 0; index < 5000; index++) {
      layer.hold(`key:${index}`, entry(1, 10 + ((index * 7919) % 20_000)), 0);
      expect(layer.sizeBytes).toBeLessThanOrEqual(MIB);
    }
    expect(layer.sizeBytes).toBeGreaterThan(MIB * 0.85);
  });

  test('lets go of the least recently used first', () => {
    const layer = new MemoryLayer(40_000);
    layer.hold('used', entry(1), 0);
    layer.hold('unused', entry(1), 0);
    for (let index = 0; layer.count === index + 2; index++) {
      layer.peek('used', 0);
      layer.hold(`key:${index}`, entry(1), 0);
    }
    expect(layer.peek('unused', 0)).toBeUndefined();
    expect(layer.peek('used', 0)).toBeDefined();
  });

  test('refuses an entry larger than all of it and keeps the others', () => {
    const layer = new MemoryLayer(16_000);
    layer.hold('small', entry(1), 0);
    expect(layer.hold('large', entry(1, 20_000), 0)).toBe(false);
    expect(layer.peek('small', 0)).toBeDefined();
  });

  test('keeps the newer of two copies, whichever comes last', () => {
    const layer = new MemoryLayer(MIB);
    layer.hold('key', entry(2), 0);
    layer.hold('key', entry(1), 0);
    expect(layer.peek('key', 0)?.entry.revision).toBe(2);
    layer.hold('key', entry(3), 0);
    expect(layer.peek('key', 0)?.entry.revision).toBe(3);
    expect(layer.count).toBe(1);
  });

  test('serves a copy until its time and not a moment longer', () => {
    const layer = new MemoryLayer(MIB);
    layer.hold('key', entry(1), 1000);
    expect(layer.peek('key', 999)).toBeDefined();
    expect(layer.peek('key', 1000)).toBeUndefined();
    expect(layer.sizeBytes).toBe(0);
  });

  test('gives up at once what a smaller limit has no room for', () => {
    const layer = new MemoryLayer(MIB);
    for (let index = 0; index < 500; index++) layer.hold(`key:${index}`, entry(1), 0);
    layer.resize(100_000);
    expect(layer.sizeBytes).toBeLessThanOrEqual(100_000);
    expect(layer.peek('key:499', 0)).toBeDefined();
  });
});
