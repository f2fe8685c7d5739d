/** A master, as far as it matters for its replicas. */
export interface ReplicatedMaster {
  readonly id: string;
  readonly host: string;
  /** Hosts of its replicas. */
  readonly replicaHosts: readonly string[];
}

/** What a new node becomes. */
export type NewRole = { readonly role: 'master' } | { readonly role: 'replica'; readonly masterId: string };

/**
 * A master while there are fewer than there should be; else a replica where copies are missing; else one more master.
 *
 * @param wantedCopies of each entry, that of the master included
 */
export function chooseRole(
  host: string,
  masters: readonly ReplicatedMaster[],
  wantedMasters: number,
  wantedCopies: number,
): NewRole {
  if (masters.length < wantedMasters) return { role: 'master' };
  const lacking = masters.filter(({ replicaHosts }) => replicaHosts.length < wantedCopies - 1);
  const masterId = chooseMaster(host, lacking);
  return masterId === undefined ? { role: 'master' } : { role: 'replica', masterId };
}

/**
 * The master that a replica on `host` serves best: one with the fewest replicas, and of those one that does not run on the
 * same host, where both would die together, nor has a replica there already. Undefined when there is no master.
 */
export function chooseMaster(host: string, masters: readonly ReplicatedMaster[]): string | undefined {
  const worth = ({ host: own, replicaHosts }: ReplicatedMaster): [number, number, number] => [
    replicaHosts.length,
    own === host ? 1 : 0,
    replicaHosts.filter((each) => each === host).length,
  ];
  const [best] = [...masters].sort((one, other) => {
    const [a, b] = [worth(one), worth(other)];
    return a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || (one.id < other.id ? -1 : 1);
  });
  return best?.id;
}

/** A new master for each of these replicas, one after the other. */
export function planReplicas(
  replicas: readonly { readonly id: string; readonly host: string }[],
  masters: readonly ReplicatedMaster[],
): Map<string, string> {
  const present = new Map(masters.map((master) => [master.id, master]));
  const plan = new Map<string, string>();
  for (const { id, host } of replicas) {
    const chosen = present.get(chooseMaster(host, [...present.values()]) ?? '');
    if (!chosen) break;
    plan.set(id, chosen.id);
    present.set(chosen.id, { ...chosen, replicaHosts: [...chosen.replicaHosts, host] });
  }
  return plan;
}
