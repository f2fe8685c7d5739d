import { DatabaseClock } from './database-clock.js';

const HOUR_MS = 3_600_000;
const [ASKED_AT, ANSWERED_AT] = [1000, 1010];

/** A clock that was told the time by a database that is ahead by so much. */
function told(aheadMs: number): DatabaseClock {
  const clock = new DatabaseClock();
  clock.hear(performance.timeOrigin + aheadMs + (ASKED_AT + ANSWERED_AT) / 2, ASKED_AT, ANSWERED_AT);
  return clock;
}

test.each([HOUR_MS, -HOUR_MS])('is the time of the database, %i ms ahead of that of the node', (aheadMs) => {
  const differenceMs = told(aheadMs).at(5000) - (performance.timeOrigin + aheadMs + 5000);
  expect(Math.abs(differenceMs)).toBeLessThanOrEqual(ANSWERED_AT - ASKED_AT);
});

test('an answer that took long moves it no further than it proves', () => {
  const clock = told(HOUR_MS);
  const before = clock.at(0);
  clock.hear(before + 3000, 2000, 4000);
  expect(clock.at(0)).toBe(before);
  clock.hear(before + 5000, 2000, 4000);
  expect(clock.at(0)).toBe(before + 1000);
});

test('is that of the node before the database has told', () => {
  expect(Math.abs(new DatabaseClock().nowMs() - Date.now())).toBeLessThan(1000);
});
