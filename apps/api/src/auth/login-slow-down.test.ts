import { waitSeconds } from './login-slow-down.js';

test('the first failures cost nothing, then the wait doubles up to its bound', () => {
  const patience = { freeFailures: 3, maxWaitSeconds: 30 };
  const waits = Array.from({ length: 12 }, (_, failures) => waitSeconds(failures, patience));
  expect(waits).toEqual([0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]);
  expect(waitSeconds(1_000_000, patience)).toBe(30);
});
