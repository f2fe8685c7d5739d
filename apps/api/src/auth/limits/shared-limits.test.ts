import { SharedLimits } from './shared-limits.js';

const SILENT_MS = 60_000;
const runner = { run: <T>() => Promise.resolve(Buffer.from('0 1 0 1 0 0') as T) };

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

test('nodes are counted while they hear of each other, and remembered while they do not', async () => {
  const peer = (id: string, silentMs = 0) => ({ id, name: id, silentMs });
  let state = { selfId: 'a', trusted: true, epoch: 0, gaps: 0, peers: [peer('a'), peer('b'), peer('c')] };
  const shared = new SharedLimits(runner, { state: () => state }, 100);
  expect(shared.nodes).toBe(3);

  state = { ...state, trusted: false, peers: [peer('a'), peer('b', SILENT_MS), peer('c', SILENT_MS)] };
  jest.advanceTimersByTime(SILENT_MS);
  expect(shared.nodes).toBe(3);

  state = { ...state, trusted: true, peers: [peer('a'), peer('b'), peer('c', SILENT_MS)] };
  jest.advanceTimersByTime(1000);
  expect(shared.nodes).toBe(2);
  await shared.close();
});
