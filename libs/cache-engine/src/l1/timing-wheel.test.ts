import { TICK_MS, type Timed, TimingWheel } from './timing-wheel.js';

const START_MS = 1_700_000_000_000;
const ALL = Infinity;

function timed(heldUntilMs: number): Timed {
  return { heldUntilMs, sooner: undefined, later: undefined, bucket: -1 };
}

describe('timing wheel', () => {
  test('expires each at its time, never early and never more than a tick late', () => {
    let nowMs = START_MS;
    const expiredAt = new Map<Timed, number>();
    const wheel = new TimingWheel(START_MS, (one) => expiredAt.set(one, nowMs));
    const all = Array.from({ length: 2000 }, (_, index) => timed(START_MS + Math.floor(1.009 ** index)));
    for (const one of all) wheel.add(one);
    while (wheel.count > 0) {
      nowMs += nowMs < START_MS + 600_000 ? TICK_MS / 2 : TICK_MS * 40;
      wheel.advance(nowMs, ALL);
    }
    for (const one of all) {
      const late = expiredAt.get(one)! - one.heldUntilMs;
      expect(late).toBeGreaterThanOrEqual(0);
      expect(late).toBeLessThanOrEqual(TICK_MS * 41);
    }
  });

  test('forgets what is removed', () => {
    const expired: Timed[] = [];
    const wheel = new TimingWheel(START_MS, (one) => expired.push(one));
    const all = Array.from({ length: 300 }, (_, index) => timed(START_MS + index * 777));
    for (const one of all) wheel.add(one);
    for (const one of all) if (one.heldUntilMs % 2 === 0) wheel.remove(one);
    expect(wheel.count).toBe(150);
    wheel.advance(START_MS + 1_000_000, ALL);
    expect(expired).toHaveLength(150);
    expect(wheel.count).toBe(0);
  });

  test('leaves the rest for the next time', () => {
    let expired = 0;
    const wheel = new TimingWheel(START_MS, () => expired++);
    for (let index = 0; index < 100; index++) wheel.add(timed(START_MS + 10));
    const later = START_MS + 10 * TICK_MS;
    wheel.advance(later, 30);
    expect(expired).toBe(30);
    wheel.advance(later, 30);
    wheel.advance(later, ALL);
    expect(expired).toBe(100);
  });

  test.each([
    ['forward by years', START_MS * 2, 2],
    ['back', START_MS - 1e9, 0],
  ])('survives a clock that is set %s', (_, setToMs, expected) => {
    let expired = 0;
    const wheel = new TimingWheel(START_MS, () => expired++);
    wheel.add(timed(START_MS + 1000));
    wheel.add(timed(START_MS + 1e9));
    wheel.advance(setToMs, ALL);
    expect(expired).toBe(expected);
  });

  test('takes what is due already', () => {
    let expired = 0;
    const wheel = new TimingWheel(START_MS, () => expired++);
    wheel.add(timed(1));
    wheel.advance(START_MS, ALL);
    expect(expired).toBe(1);
  });
});
