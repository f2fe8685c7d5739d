import { setImmediate as nextTurn } from 'node:timers/promises';
import { eventually } from '../../../../../tools/harness/eventually.mjs';
import { StartQueue } from './start-queue.js';

const SLICE_MS = 10;

let queue: StartQueue;
let nowMs: number;
beforeEach(() => {
  nowMs = 0;
  queue = new StartQueue(() => nowMs);
});

const work = (milliseconds: number) => void (nowMs += milliseconds);

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

test('what is urgent begins first', async () => {
  const begun: string[] = [];
  queue.add(() => begun.push('ordinary'));
  for (const name of ['urgent', 'urgent too']) queue.add(() => begun.push(name), true);
  await eventually('all have begun', () => queue.length === 0);
  expect(begun).toEqual(['urgent', 'urgent too', 'ordinary']);
});

describe('the wait', () => {
  /** A turn that begins so many requests, each of which takes so long, and does something else for a while. */
  async function turn(requests: number, milliseconds: number, elseMs = 0): Promise<void> {
    for (let i = 0; i < requests; i++) {
      expect(queue.beginsNow()).toBe(true);
      work(milliseconds);
    }
    work(elseMs);
    await nextTurn();
  }

  function crowd(count: number): void {
    for (let i = 0; i < count; i++) queue.add(() => undefined);
  }

  test('is told from what requests have taken in the present turn', () => {
    for (let i = 0; i < 4; i++) queue.beginsNow();
    work(SLICE_MS);
    expect(queue.waitMs).toBe(0);
    crowd(8);
    expect(queue.waitMs).toBe(2 * SLICE_MS);
  });

  test('takes into account what else the turns do', async () => {
    for (let i = 0; i < 20; i++) await turn(10, 0.5, 35);
    crowd(10);
    expect(queue.waitMs).toBeCloseTo(40);
  });

  test('is not told from one pause alone', async () => {
    for (let i = 0; i < 20; i++) await turn(90, 0.1);
    expect(queue.beginsNow()).toBe(true);
    work(12);
    crowd(100);
    expect(queue.waitMs).toBeLessThan(15);
  });
});
