import { setImmediate as nextTurn } from 'node:timers/promises';
import { eventually } from '../../../../../tools/harness/eventually.mjs';
import { StartQueue } from './start-queue.js';

const SLICE_MS = 10;

let queue: StartQueue;
beforeEach(() => {
  queue = new StartQueue();
});

function work(milliseconds: number): void {
  const startedAt = performance.now();
  while (performance.now() - startedAt < milliseconds);
}

test('requests begin at once until a turn has taken its time, and again in the next', async () => {
  expect([queue.beginsNow(), queue.beginsNow()]).toEqual([true, true]);
  work(SLICE_MS);
  expect(queue.beginsNow()).toBe(false);
  await nextTurn();
  expect(queue.beginsNow()).toBe(true);
});

test('what waits begins in its order, over several turns, and nothing before it', async () => {
  const begun: string[] = [];
  let turns = 0;
  const turn = () => {
    turns++;
    if (queue.length > 0) setImmediate(turn);
  };
  for (const name of ['a', 'b', 'c', 'd']) {
    queue.add(() => {
      begun.push(name);
      work(SLICE_MS / 2);
    });
  }
  setImmediate(turn);
  expect(queue.beginsNow()).toBe(false);
  await eventually('all have begun', () => queue.length === 0);
  expect(begun).toEqual(['a', 'b', 'c', 'd']);
  expect(turns).toBeGreaterThan(1);
});

test('what a request leaves for the end of its turn comes before the next begins', async () => {
  const done: string[] = [];
  for (const name of ['a', 'b']) {
    queue.add(() => {
      process.nextTick(() => done.push(`${name} tick`));
      void Promise.resolve().then(() => done.push(`${name} promise`));
    });
  }
  await eventually('both are done', () => done.length === 4);
  expect(done).toEqual(['a tick', 'a promise', 'b tick', 'b promise']);
});

test('the wait is told from what began last', () => {
  for (let i = 0; i < 4; i++) queue.beginsNow();
  work(SLICE_MS);
  expect(queue.waitMs).toBe(0);
  for (let i = 0; i < 8; i++) queue.add(() => undefined);
  expect(queue.waitMs).toBe(2 * SLICE_MS);
});
