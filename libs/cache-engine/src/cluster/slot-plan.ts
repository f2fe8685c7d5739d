/** A slot that is to change its master. */
export interface SlotMove {
  readonly slot: number;
  readonly from: string;
  readonly to: string;
}

/** Slots by master, in ascending order. */
export type Shares = ReadonlyMap<string, readonly number[]>;

/**
 * The fewest moves that give a master its equal share, from those who have the most. From each the last slots are taken, so
 * that what both have afterwards is few ranges. Planned again half way, it is what is left to do.
 *
 * @param givers masters that can give slots up now; all masters count for what is an equal share
 */
export function planShareFor(shares: Shares, newcomer: string, givers: ReadonlySet<string>): SlotMove[] {
  const total = [...shares.values()].reduce((sum, slots) => sum + slots.length, 0);
  const share = Math.floor(total / Math.max(1, shares.size));
  const left = new Map(
    [...shares].filter(([id]) => id !== newcomer && givers.has(id)).map(([id, slots]) => [id, slots.length]),
  );
  for (let missing = share - (shares.get(newcomer)?.length ?? 0); missing > 0; missing--) {
    const giver = extreme(left, (count, best) => count > best);
    if (giver === undefined || (left.get(giver) ?? 0) <= share) break;
    left.set(giver, (left.get(giver) ?? 0) - 1);
  }
  return [...left].flatMap(([from, count]) =>
    (shares.get(from) ?? []).slice(count).map((slot) => ({ slot, from, to: newcomer })),
  );
}

/**
 * Moves all slots of a master to others, so that these end as equal as they can. Each takes one run of slots.
 *
 * @param takers masters that can take slots now
 */
export function planDeparture(shares: Shares, leaver: string, takers: ReadonlySet<string>): SlotMove[] {
  const slots = shares.get(leaver) ?? [];
  const counts = new Map(
    [...shares].filter(([id]) => id !== leaver && takers.has(id)).map(([id, own]) => [id, own.length]),
  );
  const taken = new Map<string, number>();
  for (let each = 0; each < slots.length; each++) {
    const taker = extreme(counts, (count, best) => count < best);
    if (taker === undefined) return [];
    counts.set(taker, (counts.get(taker) ?? 0) + 1);
    taken.set(taker, (taken.get(taker) ?? 0) + 1);
  }
  let next = 0;
  return [...taken].sort(byId).flatMap(([to, count]) => {
    const run = slots.slice(next, next + count);
    next += count;
    return run.map((slot) => ({ slot, from: leaver, to }));
  });
}

/**
 * Of some moves those that may be under way together: none takes slots who gives some up. A master that takes a slot raises
 * its epoch, and what it then still claims of the slots it gives up would count for more than the claim of their new master.
 * That one would drop the keys that it was sent, and either would hold the other for the master.
 */
export function oneWay(moves: readonly SlotMove[]): SlotMove[] {
  const givers = new Set<string>();
  const takers = new Set<string>();
  return moves.filter(({ from, to }) => {
    if (takers.has(from) || givers.has(to)) return false;
    givers.add(from);
    takers.add(to);
    return true;
  });
}

/** Of equals the one with the first id, so that everybody who plans the same plans it alike. */
function extreme(
  counts: ReadonlyMap<string, number>,
  isBetter: (count: number, best: number) => boolean,
): string | undefined {
  let best: [id: string, count: number] | undefined;
  for (const [id, count] of counts) {
    if (!best || isBetter(count, best[1]) || (count === best[1] && id < best[0])) best = [id, count];
  }
  return best?.[0];
}

function byId([one]: [string, unknown], [other]: [string, unknown]): number {
  return one < other ? -1 : 1;
}
