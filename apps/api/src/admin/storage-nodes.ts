import {
  type ClusterAdmin,
  type NodeFacts,
  slotRanges,
  slotsByMaster,
  formatAddress,
  isHealthy,
  type Member,
  type Topology,
} from '@cache-system/cache-engine';
import type { ClusterStatus, Config, StorageNode } from '@cache-system/contracts';
import { Inject, Injectable } from '@nestjs/common';
import { Layers } from '../platform/engine/layers.js';
import { ApiError } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { STORAGE_CLUSTER } from './storage-cluster.js';

const CHECK_TIMEOUT_MS = 2000;
const NOT_TOLD = {
  keys: null,
  memory: null,
  replication: null,
  version: null,
  uptime_seconds: null,
  connected_clients: null,
  operations_per_second: null,
};

/** The servers that keep the entries. */
@Injectable()
export class StorageNodes {
  constructor(
    private readonly layers: Layers,
    private readonly config: LiveConfig,
    @Inject(STORAGE_CLUSTER) private readonly cluster: ClusterAdmin | undefined,
  ) {}

  /** @throws ApiError when the cluster does not answer */
  async list(): Promise<{ nodes: StorageNode[]; cluster: ClusterStatus | null }> {
    const alone = this.layers.l2 ? [await this.describeL2(this.layers.l2)] : [];
    if (!this.cluster) return { nodes: alone, cluster: null };
    const { topology, facts } = await this.cluster.describe().catch((cause: unknown) => {
      throw new ApiError('CACHE_UNAVAILABLE', { layer: 'L3' }, { cause });
    });
    const shares = slotsByMaster(topology);
    const members = [...topology.members].sort(byRoleAndSlots(shares));
    return {
      nodes: [...members.map((node) => clusterNode(node, topology, shares, facts.get(node.id))), ...alone],
      cluster: clusterStatus(topology, shares, facts, this.config.current),
    };
  }

  /** What is known of an L2 without asking it more than whether it is there. */
  private async describeL2(l2: NonNullable<Layers['l2']>): Promise<StorageNode> {
    const problem = await withinTime(l2.check()).then(
      () => undefined,
      (error: unknown) => (error as Error).message,
    );
    return {
      id: 'l2',
      type: l2.type === 'embedded' ? 'embedded' : 'redis',
      address: null,
      hostname: null,
      role: 'master',
      master_id: null,
      replicas: [],
      health: problem === undefined ? 'healthy' : 'unhealthy',
      problems: problem === undefined ? [] : [problem],
      slots: null,
      ...NOT_TOLD,
    };
  }
}

function clusterNode(
  node: Member,
  { members }: Topology,
  shares: ReadonlyMap<string, readonly number[]>,
  facts: NodeFacts | undefined,
): StorageNode {
  const { isUp, problems } = healthOf(node, facts);
  const slots = shares.get(node.id) ?? [];
  return {
    id: node.id,
    type: 'redis_cluster',
    address: formatAddress(node.address),
    hostname: node.hostname ?? null,
    role: node.role,
    master_id: node.masterId ?? null,
    replicas: members.filter(({ masterId }) => masterId === node.id).map(({ id }) => id),
    health: isUp ? (problems.length === 0 ? 'healthy' : 'degraded') : 'unhealthy',
    problems,
    slots: {
      count: slots.length,
      ranges: slotRanges(slots).map(([from, to]) => ({ from, to })),
      moving: node.migrating.size + node.importing.size,
    },
    ...(facts ? told(facts) : NOT_TOLD),
  };
}

function told(facts: NodeFacts) {
  const { replication } = facts;
  return {
    keys: facts.keys,
    memory: { used_bytes: facts.usedMemoryBytes, max_bytes: facts.maxMemoryBytes },
    replication: replication
      ? { link: replication.isLinked ? ('up' as const) : ('down' as const), lag_bytes: replication.lagBytes }
      : null,
    version: facts.version,
    uptime_seconds: facts.uptimeSeconds,
    connected_clients: facts.connectedClients,
    operations_per_second: facts.operationsPerSecond,
  };
}

function healthOf(node: Member, facts: NodeFacts | undefined): { isUp: boolean; problems: string[] } {
  const problems: string[] = [];
  if (!facts) problems.push('it does not answer');
  if (node.failing === 'yes') problems.push('the other nodes hold it for dead');
  const isUp = problems.length === 0;
  if (node.failing === 'suspected') problems.push('other nodes suspect it to be dead');
  if (facts && !facts.seesClusterOk) problems.push('it sees the cluster as down');
  if (facts?.replication?.isLinked === false) problems.push('it has no connection to its master');
  return { isUp, problems };
}

function clusterStatus(
  topology: Topology,
  shares: ReadonlyMap<string, readonly number[]>,
  facts: ReadonlyMap<string, NodeFacts>,
  config: Config,
): ClusterStatus {
  const { members, owners, isAgreed } = topology;
  const { cluster_size: wantedMasters, replication_factor: wantedCopies } = config.cache.layers.l3;
  const masters = members.filter(({ id, role }) => role === 'master' && (shares.get(id)?.length ?? 0) > 0);
  const isUp = (node: Member) => healthOf(node, facts.get(node.id)).isUp;
  const assigned = owners.filter((id) => id !== undefined).length;
  const ok = masters.filter(isUp).reduce((sum, { id }) => sum + (shares.get(id)?.length ?? 0), 0);
  const warnings = sizeWarnings(
    topology,
    masters.map(({ id }) => id),
    config,
  );
  if (!isAgreed) warnings.push('the nodes do not all see the same cluster');
  for (const node of members.filter((each) => !isUp(each))) {
    warnings.push(`${formatAddress(node.address)} is not healthy`);
  }
  return {
    state: ok < owners.length ? 'fail' : warnings.length > 0 ? 'degraded' : 'ok',
    slots_assigned: assigned,
    slots_ok: ok,
    slots_moving: members.reduce((sum, { migrating }) => sum + migrating.size, 0),
    masters: masters.length,
    replicas: members.filter(({ role }) => role === 'replica').length,
    wanted_masters: wantedMasters,
    wanted_copies: wantedCopies,
    warnings,
  };
}

/** What the cluster lacks of what the configuration wants, with these masters and so many more replicas than it has. */
export function sizeWarnings(
  { members }: Topology,
  masterIds: readonly string[],
  config: Config,
  moreReplicas = 0,
): string[] {
  const { cluster_size: wantedMasters, replication_factor: wantedCopies } = config.cache.layers.l3;
  const warnings: string[] = [];
  if (masterIds.length < wantedMasters) {
    warnings.push(`${masterIds.length} masters, and cache.layers.l3.cluster_size is ${wantedMasters}`);
  }
  const replicas = members.filter((node) => node.role === 'replica' && isHealthy(node)).length + moreReplicas;
  const wantedReplicas = masterIds.length * (wantedCopies - 1);
  if (replicas < wantedReplicas) {
    warnings.push(
      `${replicas} replicas for ${masterIds.length} masters, and cache.layers.l3.replication_factor of ${wantedCopies} wants ${wantedReplicas}`,
    );
  }
  return warnings;
}

/** Masters in the order of their slots, each before the replicas. */
function byRoleAndSlots(shares: ReadonlyMap<string, readonly number[]>) {
  const first = ({ id }: Member) => shares.get(id)?.[0] ?? Infinity;
  return (one: Member, other: Member): number => {
    if (one.role !== other.role) return one.role === 'master' ? -1 : 1;
    if (first(one) !== first(other)) return first(one) - first(other);
    return one.id < other.id ? -1 : 1;
  };
}

function withinTime(answer: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${CHECK_TIMEOUT_MS} ms`)), CHECK_TIMEOUT_MS);
  });
  return Promise.race([answer, timeout]).finally(() => clearTimeout(timer));
}
