import { check } from '../../../tools/harness/coherence/check.mjs';
import type { Operation } from '../../../tools/harness/coherence/history.mjs';

const OPTIONS = { boundMs: 1000, graceMs: 2000, counters: new Map<string, number>() };
let nextId = 1;

function operation({
  at: [startMs, endMs],
  ...fields
}: Partial<Operation> & { at: [startMs: number, endMs: number] }): Operation {
  const id = fields.id ?? nextId++;
  return { kind: 'get', key: 'k', node: 0, startMs, endMs, status: 200, outcome: 'done', ...fields, id };
}

const text = (setBy: number, patchedBy: number[] = []) =>
  JSON.stringify({ key: 'k', value: { w: setBy, p: Object.fromEntries(patchedBy.map((id) => [`f${id}`, id])) } });

const rules = (history: Operation[], options?: Partial<typeof OPTIONS>) =>
  check(history, { ...OPTIONS, ...options }).violations.map(({ rule }) => rule);

describe('a read of an old version', () => {
  const writes = [
    operation({ kind: 'set', id: 1001, version: 1, at: [0, 10] }),
    operation({ kind: 'set', id: 1002, version: 2, at: [100, 110] }),
  ];
  const read = (startMs: number, extra: Partial<Operation> = {}) =>
    operation({ version: 1, text: text(1001), at: [startMs, startMs + 5], ...extra });

  test('is no violation within the bound, and measured from the end of the first newer answer', () => {
    const { violations, staleness } = check([...writes, read(160)], OPTIONS);
    expect(violations).toEqual([]);
    expect(staleness).toMatchObject({ reads: 1, old: 1, maxMs: 50 });
  });

  test('is one beyond the bound', () => {
    expect(rules([...writes, read(1111)])).toEqual(['bounded staleness']);
  });

  test('is one also where the newer version was only read, not acknowledged', () => {
    const seen = operation({ version: 2, text: text(1002), at: [120, 130] });
    const unknown = operation({ kind: 'set', id: 1002, outcome: 'unknown', at: [100, 5100] });
    expect(rules([writes[0]!, unknown, seen, read(1200)])).toEqual(['bounded staleness']);
    expect(rules([writes[0]!, unknown, read(1200)])).toEqual([]);
  });

  test('that says so is one beyond bound and grace', () => {
    expect(rules([...writes, read(2000, { stale: true })])).toEqual([]);
    expect(rules([...writes, read(3200, { stale: true })])).toEqual(['bounded staleness']);
  });

  test('after a removal is one, as the removal came after what was seen when it began', () => {
    const first = writes[0]!;
    const removal = operation({ kind: 'delete', status: 204, at: [20, 30] });
    expect(rules([first, removal, read(900)])).toEqual([]);
    expect(rules([first, removal, read(1031)])).toEqual(['bounded staleness']);
    const overlapping = operation({ kind: 'delete', status: 204, at: [5, 30] });
    expect(rules([first, overlapping, read(1031)])).toEqual([]);
  });
});

describe('finding nothing', () => {
  const written = operation({ kind: 'set', id: 2001, version: 5, at: [100, 110] });
  const nothing = operation({ outcome: 'absent', status: 404, at: [1200, 1205] });

  test('is a violation beyond the bound, where nothing can have removed the entry', () => {
    expect(rules([written, nothing])).toEqual(['bounded staleness']);
    const before = operation({ kind: 'delete', status: 204, at: [50, 90] });
    expect(rules([before, written, nothing])).toEqual(['bounded staleness']);
  });

  test('is none where a removal can have come after the write', () => {
    for (const at of [
      [50, 101],
      [120, 130],
      [1201, 1300],
    ] as [number, number][]) {
      expect(rules([written, operation({ kind: 'delete', status: 204, at }), nothing])).toEqual([]);
    }
    expect(rules([written, operation({ kind: 'delete', outcome: 'unknown', at: [50, 90] }), nothing])).toEqual([]);
  });
});

describe('an update', () => {
  const set = operation({ kind: 'set', id: 3001, version: 1, at: [0, 10] });
  const patch = operation({ kind: 'patch', id: 3002, version: 2, at: [20, 30] });
  const see = (version: number, seen: string) => operation({ version, text: seen, at: [40, 50] });

  test('that was acknowledged is in every later version', () => {
    expect(rules([set, patch, see(2, text(3001, [3002]))])).toEqual([]);
    expect(rules([set, patch, see(3, text(3001))])).toEqual(['no lost update']);
    expect(rules([set, patch, see(1, text(3001, [3002]))])).toEqual(['no lost update']);
  });

  test('of unknown outcome may be there or not', () => {
    const unknown = operation({ kind: 'patch', id: 3003, outcome: 'unknown', at: [20, 30] });
    expect(rules([set, unknown, see(4, text(3001, [3003]))])).toEqual([]);
    expect(rules([set, unknown])).toEqual([]);
  });

  test('does not happen twice, and a version has one value', () => {
    expect(rules([set, see(1, text(3001)), see(2, text(3001))])).toEqual(['no write happens twice']);
    expect(rules([set, see(1, text(3001)), see(1, text(3009))])).toEqual(['one version, one value']);
  });

  test('under a condition comes next after it', () => {
    const winner = operation({ kind: 'cas', id: 3004, base: 1, version: 3, at: [20, 30] });
    expect(rules([set, winner])).toEqual([]);
    expect(rules([set, patch, winner])).toEqual(['one winner for each version']);
  });

  test('gets a version above all that was known when it began', () => {
    expect(rules([set, operation({ kind: 'set', id: 3005, version: 1, at: [60, 70] })])).toEqual([
      'no version is given twice',
    ]);
    const late = operation({ kind: 'set', id: 3006, version: 1.5, at: [60, 70] });
    expect(rules([set, patch, late])).toEqual(['versions rise']);
  });
});

test('a counter is the number of its increments, give or take those without an answer', () => {
  const one = operation({ kind: 'increment', version: 1, count: 1, at: [0, 10] });
  const other = operation({ kind: 'increment', version: 2, count: 2, at: [20, 30] });
  const unknown = operation({ kind: 'increment', outcome: 'unknown', at: [40, 50] });
  const final = (value: number) => ({ counters: new Map([['k', value]]) });
  expect(rules([one, other], final(2))).toEqual([]);
  expect(rules([one, other], final(1))).toEqual(['no lost update']);
  expect(rules([one, other], final(3))).toEqual(['no lost update']);
  expect(rules([one, other, unknown], final(3))).toEqual([]);
  expect(rules([one, { ...other, count: 1 }], final(2))).toEqual(['no lost update']);
});
