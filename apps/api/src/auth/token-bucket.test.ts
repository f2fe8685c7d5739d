import { TokenBucket } from './token-bucket.js';

/** 3600 in an hour: a token a second. */
const aSecondEach = (burst: number) => new TokenBucket(3600, 3600, burst);
const takeAll = (bucket: TokenBucket) => {
  let taken = 0;
  while (bucket.take()) taken++;
  return taken;
};

beforeEach(() => jest.useFakeTimers({ now: 1_000_000_000_000 }));
afterEach(() => jest.useRealTimers());

describe('a token bucket', () => {
  test('lets its burst through at once, and no more', () => {
    const bucket = aSecondEach(5);
    expect(takeAll(bucket)).toBe(5);
    expect(bucket.take()).toBe(false);
  });

  test('is refilled evenly, up to the burst', () => {
    const bucket = aSecondEach(5);
    takeAll(bucket);
    jest.advanceTimersByTime(2000);
    expect(takeAll(bucket)).toBe(2);
    jest.advanceTimersByTime(24 * 3600 * 1000);
    expect(takeAll(bucket)).toBe(5);
  });

  test('keeps parts of a token: asking often costs nothing', () => {
    const bucket = aSecondEach(1);
    takeAll(bucket);
    for (let i = 0; i < 9; i++) {
      jest.advanceTimersByTime(100);
      expect(bucket.take()).toBe(false);
    }
    jest.advanceTimersByTime(101);
    expect(bucket.take()).toBe(true);
  });

  test('lets through over any long time what its limit says, and the burst on top at most', () => {
    const bucket = new TokenBucket(1000, 3600, 50);
    let taken = 0;
    for (let i = 0; i < 3600; i++) {
      jest.advanceTimersByTime(1000);
      taken += takeAll(bucket);
    }
    expect(taken).toBeGreaterThanOrEqual(1000);
    expect(taken).toBeLessThanOrEqual(1050);
  });

  test('says truly after how many seconds there will be a token', () => {
    const bucket = new TokenBucket(720, 3600, 1);
    takeAll(bucket);
    expect(bucket.secondsToNext).toBe(5);
    jest.advanceTimersByTime(4_000);
    expect(bucket.take()).toBe(false);
    expect(bucket.secondsToNext).toBe(1);
    jest.advanceTimersByTime(1_001);
    expect(bucket.take()).toBe(true);
  });

  test('counts down and says when it is full again', () => {
    const bucket = aSecondEach(10);
    bucket.take();
    bucket.take();
    expect(bucket.remaining).toBe(8);
    expect(bucket.resetInSeconds).toBe(2);
    expect(bucket.resetAtSeconds).toBe(1_000_000_002);
  });

  test('gives nothing away when the clock of the system is set', () => {
    const bucket = aSecondEach(3);
    takeAll(bucket);
    jest.setSystemTime(2_000_000_000_000);
    expect(bucket.take()).toBe(false);
    jest.setSystemTime(0);
    jest.advanceTimersByTime(1001);
    expect(bucket.take()).toBe(true);
  });
});
