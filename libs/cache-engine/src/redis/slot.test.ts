import { redisKey } from '../layers/redis-protocol.js';
import { slotOf } from './slot.js';

test('a slot is that of the Redis Cluster specification', () => {
  expect(slotOf('123456789')).toBe(0x31c3);
  expect(slotOf('{user1000}.following')).toBe(slotOf('{user1000}.followers'));
  expect(slotOf('foo{}{bar}')).not.toBe(slotOf('bar'));
});

test.each([
  (i: number) => `{x}${i}`,
  (i: number) => `${i}{x}`,
  (i: number) => `}{x}${i}`,
  (i: number) => `{}{x}${i}`,
  (i: number) => `{{x}}${i}`,
])('no braces in a key bring keys together in one slot, within a tenant or across', (key) => {
  const slots = new Set<number>();
  for (const namespace of ['a', 'b']) {
    for (let i = 0; i < 500; i++) slots.add(slotOf(redisKey(`${namespace}:${key(i)}`)));
  }
  // 1,000 keys by chance into 16,384 slots.
  expect(slots.size).toBeGreaterThan(900);
});
