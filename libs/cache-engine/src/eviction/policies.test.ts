import { createPolicy, type PolicyName } from './create-policy.js';
import { FrequencySketch, hashKey } from './frequency-sketch.js';
import type { Evictable, EvictionPolicy } from './policy.js';

function node(key: string, heldUntilMs = 0, costBytes = 1): Evictable {
  return { key, costBytes, heldUntilMs, newer: undefined, older: undefined, place: 0, hash: 0, uses: 0 };
}

function filled(name: PolicyName, nodes: readonly Evictable[]): EvictionPolicy {
  const policy = createPolicy(name);
  policy.limit(nodes.reduce((sum, { costBytes }) => sum + costBytes, 0));
  for (const one of nodes) {
    policy.arrive(one);
    policy.add(one);
  }
  return policy;
}

function drained(policy: EvictionPolicy): string[] {
  const keys: string[] = [];
  for (let one = policy.victim(1); one; one = policy.victim(1)) keys.push(one.key);
  return keys;
}

test('lru lets go of the least recently used', () => {
  const nodes = ['a', 'b', 'c', 'd'].map((key) => node(key));
  const policy = filled('lru', nodes);
  policy.use(nodes[1]!);
  policy.use(nodes[0]!);
  expect(drained(policy)).toEqual(['c', 'd', 'b', 'a']);
});

test('ttl lets go of what expires first, then of what does not expire, the least recently used first', () => {
  const times = Array.from({ length: 200 }, (_, index) => ((index * 7919) % 199) + 1);
  const nodes = [node('x'), ...times.map((time, index) => node(`${time}:${index}`, time)), node('y')];
  const policy = filled('ttl', nodes);
  policy.use(nodes[0]!);
  const moved = nodes[10]! as { heldUntilMs: number } & Evictable;
  moved.heldUntilMs = 1000;
  policy.use(moved);
  policy.remove(nodes[20]!);
  const order = drained(policy);
  expect(order.slice(-3)).toEqual([moved.key, 'y', 'x']);
  const left = order.slice(0, -3).map((key) => Number(key.split(':')[0]));
  expect(left).toEqual([...left].sort((a, b) => a - b));
  expect(order).toHaveLength(nodes.length - 1);
});

test('random lets go of each at some time, and of nothing twice', () => {
  const nodes = Array.from({ length: 100 }, (_, index) => node(String(index)));
  const policy = filled('random', nodes);
  policy.remove(nodes[99]!);
  policy.remove(nodes[3]!);
  const order = drained(policy);
  expect(new Set(order).size).toBe(98);
  expect(order).not.toEqual([...order].sort((a, b) => Number(a) - Number(b)));
});

test('reject lets go of nothing', () => {
  expect(drained(filled('reject', [node('a'), node('b')]))).toEqual([]);
});

describe('lfu', () => {
  test('keeps what is used again and again while many more pass by once', () => {
    const nodes = Array.from({ length: 100 }, (_, index) => node(`often:${index}`));
    const policy = filled('lfu', nodes);
    for (let round = 0; round < 3; round++) for (const one of nodes) policy.use(one);
    const gone = new Set<string>();
    for (let index = 0; index < 1000; index++) {
      const once = node(`once:${index}`);
      policy.arrive(once);
      gone.add(policy.victim(1)!.key);
      policy.add(once);
    }
    expect(nodes.filter(({ key }) => gone.has(key)).length).toBeLessThan(20);
  });

  test('forgets in the end what was used often long ago', () => {
    const old = Array.from({ length: 100 }, (_, index) => node(`old:${index}`));
    const policy = filled('lfu', old);
    for (let round = 0; round < 10; round++) for (const one of old) policy.use(one);
    const left = new Set(old.map(({ key }) => key));
    const present = new Map<string, Evictable>(old.map((one) => [one.key, one]));
    for (let index = 0; index < 40_000; index++) {
      const key = `new:${index % 80}`;
      const held = present.get(key);
      if (held) {
        policy.use(held);
        continue;
      }
      const fresh = node(key);
      policy.arrive(fresh);
      const { key: gone } = policy.victim(1)!;
      present.delete(gone);
      left.delete(gone);
      policy.add(fresh);
      present.set(key, fresh);
    }
    expect([...present.keys()].filter((key) => key.startsWith('new:')).length).toBeGreaterThan(70);
  });

  test('is not led astray by sizes: bytes out are bytes in', () => {
    const policy = createPolicy('lfu');
    policy.limit(100_000);
    const present = new Set<Evictable>();
    let bytes = 0;
    for (let index = 0; index < 5000; index++) {
      const one = node(`key:${index}`, 0, 1 + ((index * 7919) % 20_000));
      policy.arrive(one);
      while (bytes + one.costBytes > 100_000) {
        const victim = policy.victim(one.costBytes)!;
        expect(present.delete(victim)).toBe(true);
        bytes -= victim.costBytes;
      }
      policy.add(one);
      present.add(one);
      bytes += one.costBytes;
    }
    expect(drained(policy)).toHaveLength(present.size);
  });
});

describe('frequency sketch', () => {
  test('remembers counts, also while it grows, and halves them', () => {
    const sketch = new FrequencySketch();
    sketch.reserve(10_000);
    const hashes = Array.from({ length: 1000 }, (_, index) => hashKey(`key:${index}`, 7));
    hashes.forEach((hash, index) => sketch.raise(hash, (index % 15) + 1));
    const exact = () => hashes.filter((hash, index) => sketch.frequency(hash) === (index % 15) + 1).length;
    expect(exact()).toBeGreaterThan(990);
    sketch.reserve(100_000);
    expect(exact()).toBeGreaterThan(990);
    sketch.age();
    expect(hashes.every((hash, index) => sketch.frequency(hash) >= ((index % 15) + 1) >> 1)).toBe(true);
    expect(sketch.frequency(hashes[14]!)).toBe(7);
  });
});
