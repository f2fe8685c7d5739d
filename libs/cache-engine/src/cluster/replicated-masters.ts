import type { ReplicatedMaster } from './replica-plan.js';
import { isHealthy, type Member, replicasOf, type Topology } from './topology.js';

/** Masters with the hosts of their replicas that work. @param notCounted ids of replicas that are about to go elsewhere */
export function replicatedMasters(
  topology: Topology,
  masters: readonly Member[],
  notCounted: readonly string[] = [],
): ReplicatedMaster[] {
  return masters.map(({ id, address }) => ({
    id,
    host: address.host,
    replicaHosts: replicasOf(topology, id)
      .filter((replica) => isHealthy(replica) && !notCounted.includes(replica.id))
      .map((replica) => replica.address.host),
  }));
}
