import type { AuditEntry } from './audit-log.js';
import { AuditNotes, type Note } from './audit-notes.js';

const by = (id: string, address = '192.0.2.1') =>
  ({ type: 'api_key', id, name: 'a test', address, request_id: 'req_1' }) as const;
const refusal = (id: string, address?: string): AuditEntry => ({
  action: 'access.refuse',
  outcome: 'refused',
  actor: by(id, address),
  after: { required: 'admin:read' },
});

let stored: Note<AuditEntry>[];
let isAway: boolean;
let notes: AuditNotes<AuditEntry>;
beforeEach(() => {
  jest.useFakeTimers();
  stored = [];
  isAway = false;
  notes = new AuditNotes((batch) => {
    if (isAway) return Promise.reject(new Error('away'));
    stored.push(...batch);
    return Promise.resolve();
  });
});
afterEach(() => jest.useRealTimers());

const told = () => stored.map(({ entry }) => [entry.actor.id, entry.after]);

describe('notes for the audit log', () => {
  test('are written within a second', async () => {
    notes.add(refusal('a'));
    notes.add(refusal('b'));
    await jest.advanceTimersByTimeAsync(1000);
    expect(told()).toEqual([
      ['a', { required: 'admin:read' }],
      ['b', { required: 'admin:read' }],
    ]);
  });

  test('of one action and caller are told apart by group', async () => {
    for (const group of ['a', 'b', 'a', 'c']) notes.add(refusal('a'), group);
    await jest.advanceTimersByTimeAsync(1000);
    expect(told()).toHaveLength(3);
  });

  test('of a flood are the first, and a count a minute', async () => {
    for (let i = 0; i < 500; i++) notes.add(refusal('a'));
    notes.add(refusal('a', '192.0.2.2'));
    await jest.advanceTimersByTimeAsync(1000);
    expect(told()).toHaveLength(2);
    for (let i = 0; i < 500; i++) notes.add(refusal('a'));
    await jest.advanceTimersByTimeAsync(62_000);
    expect(told().slice(2)).toEqual([['a', { required: 'admin:read', repeats: 999 }]]);
    notes.add(refusal('a'));
    await jest.advanceTimersByTimeAsync(1000);
    expect(told()).toHaveLength(4);
  });

  test('are written when the database is back, with the times at which they came', async () => {
    isAway = true;
    const before = Date.now();
    notes.add(refusal('a'));
    await jest.advanceTimersByTimeAsync(30_000);
    expect(told()).toEqual([]);
    isAway = false;
    await jest.advanceTimersByTimeAsync(1000);
    expect(stored.map(({ at }) => at.getTime())).toEqual([before]);
  });

  test('take no more room than they may, however many callers there are', async () => {
    isAway = true;
    for (let i = 0; i < 100_000; i++) notes.add(refusal(`caller ${i}`));
    isAway = false;
    await jest.advanceTimersByTimeAsync(120_000);
    expect(stored.length).toBeGreaterThanOrEqual(1000);
    expect(stored.length).toBeLessThanOrEqual(2000);
  });

  test('and the counts of floods are written before the process ends', async () => {
    for (let i = 0; i < 3; i++) notes.add(refusal('a'));
    await notes.close();
    expect(told()).toEqual([
      ['a', { required: 'admin:read' }],
      ['a', { required: 'admin:read', repeats: 2 }],
    ]);
  });

  test('are written once when the process ends while some are being written', async () => {
    let goOn = () => {};
    const slow = new AuditNotes<AuditEntry>(async (batch) => {
      await new Promise<void>((resolve) => (goOn = resolve));
      stored.push(...batch);
    });
    for (let i = 0; i < 250; i++) slow.add(refusal(`caller ${i}`));
    await jest.advanceTimersByTimeAsync(600);
    const end = { isReached: false };
    const closing = slow.close().then(() => (end.isReached = true));
    while (!end.isReached) {
      goOn();
      await jest.advanceTimersByTimeAsync(600);
    }
    await closing;
    expect(stored.map(({ entry }) => entry.actor.id)).toEqual(Array.from({ length: 250 }, (_, i) => `caller ${i}`));
  });

  test('do not keep the process from ending while the database is away', async () => {
    isAway = true;
    for (let i = 0; i < 500; i++) notes.add(refusal(`caller ${i}`));
    await notes.close();
    expect(stored).toEqual([]);
  });
});
