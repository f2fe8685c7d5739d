import { type NodeConnections, parseInfo } from './node-connections.js';
import type { Member } from './topology.js';

/** What a node tells of itself. */
export interface NodeFacts {
  /** Without those that a replica has on behalf of its master counted twice: each node tells its own. */
  readonly keys: number;
  readonly usedMemoryBytes: number;
  /** null: no limit is set. */
  readonly maxMemoryBytes: number | null;
  readonly version: string;
  readonly uptimeSeconds: number;
  readonly connectedClients: number;
  readonly operationsPerSecond: number;
  /** Of a replica. */
  readonly replication: { readonly isLinked: boolean; readonly lagBytes: number | null } | undefined;
  /** Whether it says that the cluster works: `cluster_state`. */
  readonly seesClusterOk: boolean;
  readonly slotsOk: number;
}

/** Undefined where the node does not answer. */
export async function readFacts(nodes: NodeConnections, node: Member): Promise<NodeFacts | undefined> {
  if (!node.isReachable) return undefined;
  try {
    const [infoText, clusterText, keys] = await Promise.all([
      nodes.text(node.address, 'INFO'),
      nodes.text(node.address, 'CLUSTER', 'INFO'),
      nodes.send<number>(node.address, ['DBSIZE']),
    ]);
    const [info, cluster] = [parseInfo(infoText), parseInfo(clusterText)];
    const number = (name: string) => Number(info.get(name) ?? 0);
    return {
      keys,
      usedMemoryBytes: number('used_memory'),
      maxMemoryBytes: number('maxmemory') || null,
      version: info.get('redis_version') ?? '',
      uptimeSeconds: number('uptime_in_seconds'),
      connectedClients: number('connected_clients'),
      operationsPerSecond: number('instantaneous_ops_per_sec'),
      replication: info.get('role') === 'slave' ? replicationOf(info) : undefined,
      seesClusterOk: cluster.get('cluster_state') === 'ok',
      slotsOk: Number(cluster.get('cluster_slots_ok') ?? 0),
    };
  } catch {
    return undefined;
  }
}

/** How far a replica is behind what it has been sent; how far behind its master, only that one knows. */
function replicationOf(info: ReadonlyMap<string, string>): { isLinked: boolean; lagBytes: number | null } {
  const [read, applied] = [Number(info.get('slave_read_repl_offset')), Number(info.get('slave_repl_offset'))];
  const isKnown = Number.isFinite(read) && Number.isFinite(applied);
  return { isLinked: info.get('master_link_status') === 'up', lagBytes: isKnown ? Math.max(0, read - applied) : null };
}
