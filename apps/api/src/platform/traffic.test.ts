import { Traffic } from './traffic.js';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

describe('the traffic', () => {
  test('of a node that has answered nothing is not made up', () => {
    expect(new Traffic().summary()).toEqual({ requestsPerSecond: 0, averageResponseTimeMs: null, errorRate: null });
  });

  test('is averaged over the time that the node runs, while that is less than a minute', () => {
    const traffic = new Traffic();
    for (let i = 0; i < 20; i++) traffic.record(200, 5);
    jest.advanceTimersByTime(10_000);
    expect(traffic.summary()).toEqual({ requestsPerSecond: 2, averageResponseTimeMs: 5, errorRate: 0 });
  });

  test('of the last minute counts, and no older one', () => {
    const traffic = new Traffic();
    for (let i = 0; i < 600; i++) traffic.record(500, 100);
    jest.advanceTimersByTime(61_000);
    for (let i = 0; i < 60; i++) traffic.record(200, 1);
    expect(traffic.summary()).toEqual({ requestsPerSecond: 1, averageResponseTimeMs: 1, errorRate: 0 });
    jest.advanceTimersByTime(3_600_000);
    expect(traffic.summary()).toEqual({ requestsPerSecond: 0, averageResponseTimeMs: null, errorRate: null });
  });

  test('is steady when it is steady', () => {
    const traffic = new Traffic();
    for (let second = 0; second < 300; second++) {
      for (let i = 0; i < 10; i++) traffic.record(200, 2);
      jest.advanceTimersByTime(1000);
    }
    expect(traffic.summary().requestsPerSecond).toBeCloseTo(10, 0);
    expect(traffic.summary().averageResponseTimeMs).toBe(2);
  });

  test('fails by what the service does wrong, not by what its callers do', () => {
    const traffic = new Traffic();
    for (const status of [200, 404, 429, 500, 502, 503, 200, 401]) traffic.record(status, 1);
    expect(traffic.summary().errorRate).toBe(0.375);
  });
});
