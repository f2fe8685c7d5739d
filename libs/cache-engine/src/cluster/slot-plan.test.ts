import { oneWay, planDeparture, planShareFor, type SlotMove } from './slot-plan.js';

const SLOTS = 16_384;

/** Slots in equal runs, as a new cluster has them. */
function even(...ids: string[]): Map<string, number[]> {
  const share = SLOTS / ids.length;
  const all = Array.from({ length: SLOTS }, (_, slot) => slot);
  return new Map(ids.map((id, index) => [id, all.slice(Math.round(index * share), Math.round((index + 1) * share))]));
}

function after(shares: ReadonlyMap<string, readonly number[]>, moves: readonly SlotMove[]): Map<string, number[]> {
  const owners = new Map([...shares].flatMap(([id, slots]) => slots.map((slot) => [slot, id] as const)));
  for (const { slot, from, to } of moves) {
    expect(owners.get(slot)).toBe(from);
    owners.set(slot, to);
  }
  const result = new Map([...shares.keys()].map((id) => [id, [] as number[]]));
  for (const [slot, id] of [...owners].sort(([one], [other]) => one - other)) result.get(id)?.push(slot);
  return result;
}

const sizes = (shares: ReadonlyMap<string, readonly number[]>) => [...shares.values()].map(({ length }) => length);
const share = (shares: Map<string, number[]>, newcomer: string) =>
  planShareFor(shares, newcomer, new Set(shares.keys()));
const departure = (shares: Map<string, number[]>, leaver: string) =>
  planDeparture(shares, leaver, new Set(shares.keys()));

describe('the share of a new master', () => {
  test.each([[['a', 'b', 'c']], [['a']], [['a', 'b', 'c', 'd', 'e', 'f', 'g']]])(
    'makes %j and it equal, with no slot moved that need not be',
    (ids) => {
      const shares = even(...ids).set('new', []);
      const moves = share(shares, 'new');
      const equal = Math.floor(SLOTS / (ids.length + 1));
      expect(moves).toHaveLength(equal);
      for (const size of sizes(after(shares, moves))) expect([equal, equal + 1]).toContain(size);
    },
  );

  test('comes from those who have more than others', () => {
    const shares = even('a', 'b').set('new', []);
    shares.set('a', [...shares.get('a')!, ...shares.get('b')!.splice(0, 4096)]);
    const result = after(shares, share(shares, 'new'));
    expect(sizes(result)).toEqual([6827, 4096, 5461]);
  });

  test('planned again half way is what is left to do', () => {
    const shares = even('a', 'b', 'c').set('new', []);
    const moves = share(shares, 'new');
    const half = after(shares, moves.slice(0, 1500));
    const rest = share(half, 'new');
    expect(rest).toHaveLength(moves.length - 1500);
    expect(sizes(after(half, rest))).toEqual(sizes(after(shares, moves)));
    expect(share(after(half, rest), 'new')).toEqual([]);
  });

  test('is not taken from a master that cannot give', () => {
    const shares = even('a', 'b', 'c').set('new', []);
    const moves = planShareFor(shares, 'new', new Set(['a', 'c']));
    expect(new Set(moves.map(({ from }) => from))).toEqual(new Set(['a', 'c']));
  });
});

describe('the slots of a master that leaves', () => {
  test('go to the others so that these are equal, whatever they had', () => {
    const shares = even('a', 'b', 'c', 'd');
    expect(sizes(after(shares, departure(shares, 'b')))).toEqual([5462, 0, 5461, 5461]);
    const uneven = after(shares, departure(shares, 'b').slice(0, 1000));
    expect(sizes(after(uneven, departure(uneven, 'b')))).toEqual([5462, 0, 5461, 5461]);
  });

  test('come in one run to each', () => {
    const moves = departure(even('a', 'b', 'c', 'd'), 'b');
    const changes = moves.filter(({ to }, index) => to !== moves[index - 1]?.to);
    expect(changes).toHaveLength(3);
    expect(moves.map(({ slot }) => slot)).toEqual(even('a', 'b', 'c', 'd').get('b'));
  });

  test('stay where nobody can take them', () => {
    expect(planDeparture(even('a', 'b'), 'a', new Set(['a']))).toEqual([]);
  });
});

test('no master takes slots while it gives some up', () => {
  const [first, back, beside, onward] = [
    { slot: 1, from: 'a', to: 'b' },
    { slot: 2, from: 'b', to: 'a' },
    { slot: 3, from: 'c', to: 'b' },
    { slot: 4, from: 'b', to: 'd' },
  ] as const;
  expect(oneWay([first, back, beside, onward])).toEqual([first, beside]);
  expect(oneWay([back, onward])).toEqual([back, onward]);
});
