import { type ClusterNode, parseClusterNodes, slotRanges } from '../cluster/topology.js';
import { formatAddress, type RedisAddress } from './address.js';

interface ShardNode {
  readonly id: string;
  /** `host:port` */
  readonly address: string;
  /** The host name that the node announces, with its port; else its address. */
  readonly name: string;
}

/** A master with its replicas and the slots that it serves, both ends of a range included. */
export interface Shard {
  readonly master: ShardNode;
  readonly replicas: readonly ShardNode[];
  /** Replicas that the others hold for dead. */
  readonly lostReplicas: number;
  readonly ranges: readonly (readonly [from: number, to: number])[];
}

/**
 * Reads the reply to `CLUSTER NODES`. Not `CLUSTER SLOTS`, which leaves out replicas that nothing was written to yet.
 * Nodes that the others hold for dead are only counted.
 */
export function readShards(reply: string, asked: RedisAddress): Shard[] {
  const known = parseClusterNodes(reply, asked).filter(({ isStranger }) => !isStranger);
  const nodes = known.filter(({ failing }) => failing !== 'yes');
  return nodes
    .filter(({ role, slots }) => role === 'master' && slots.length > 0)
    .map((master) => ({
      master: shardNode(master),
      replicas: nodes.filter(({ masterId }) => masterId === master.id).map(shardNode),
      lostReplicas: known.filter(({ masterId, failing }) => masterId === master.id && failing === 'yes').length,
      ranges: slotRanges(master.slots),
    }));
}

function shardNode({ id, address, hostname }: ClusterNode): ShardNode {
  return { id, address: formatAddress(address), name: formatAddress({ ...address, host: hostname ?? address.host }) };
}
