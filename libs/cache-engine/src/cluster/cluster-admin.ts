import { formatAddress, type RedisAccess, type RedisAddress } from '../redis/address.js';
import type { Addition, ChangeProgress, ClusterChange, Removal } from './cluster-change.js';
import { ClusterChanges } from './cluster-changes.js';
import { ClusterView } from './cluster-view.js';
import { ClusterChangeRefused } from './errors.js';
import { NodeConnections, parseInfo } from './node-connections.js';
import { type NodeFacts, readFacts } from './node-facts.js';
import { chooseMaster, chooseRole, type NewRole } from './replica-plan.js';
import { replicatedMasters } from './replicated-masters.js';
import {
  type ClusterNode,
  healthyMasters,
  isHealthy,
  type Member,
  member,
  nodeName,
  replicasOf,
  slotsByMaster,
  type Topology,
} from './topology.js';

/** A failover needs a majority of masters that still answers. */
const MIN_MASTERS = 3;
const STALL_AFTER_MS = 30_000;

export interface ClusterAdminOptions {
  readonly access: RedisAccess;
  /** Some of the nodes; the others are learnt from them. */
  readonly seeds: readonly RedisAddress[];
  /** Milliseconds without any progress after which a change is given up for now. */
  readonly stallAfterMs?: number;
}

export interface AdditionWish {
  readonly address: RedisAddress;
  readonly role: 'auto' | 'master' | 'replica';
  /** Id of a master. */
  readonly replicaOf?: string | undefined;
}

/** What the cluster should be like, for a node that may become what is needed. */
export interface WantedSize {
  readonly masters: number;
  /** Of each entry, that of the master included. */
  readonly copies: number;
}

/**
 * The nodes of a Redis Cluster: shows them, and takes one in or out while the cluster is in use, with its own commands.
 * Only one change may be carried out at a time.
 */
export class ClusterAdmin {
  private readonly nodes: NodeConnections;
  private readonly view: ClusterView;
  private readonly changes: ClusterChanges;

  constructor({ access, seeds, stallAfterMs = STALL_AFTER_MS }: ClusterAdminOptions) {
    this.nodes = new NodeConnections(access);
    this.view = new ClusterView(this.nodes, seeds);
    this.changes = new ClusterChanges(this.view, this.nodes, stallAfterMs);
  }

  /** @throws NodeUnreachable when no node answers */
  async describe(): Promise<{ topology: Topology; facts: ReadonlyMap<string, NodeFacts> }> {
    const topology = await this.view.read();
    const facts = new Map<string, NodeFacts>();
    await Promise.all(
      topology.members.map(async (node) => {
        const known = await readFacts(this.nodes, node);
        if (known) facts.set(node.id, known);
      }),
    );
    return { topology, facts };
  }

  /** @throws ClusterChangeRefused, NodeUnreachable */
  async planAddition({ address, role, replicaOf }: AdditionWish, wanted: WantedSize): Promise<Addition> {
    const [topology, node] = await Promise.all([this.view.read(), this.readNewNode(address)]);
    if (member(topology, node.id)) {
      throw new ClusterChangeRefused('already_member', `${nodeName(node)} is in the cluster already`);
    }
    await this.refuseUnlessEmpty(node);
    const become = chooseFor(topology, node, role, replicaOf, wanted);
    const masterId = become.role === 'replica' ? become.masterId : undefined;
    return { kind: 'add', id: node.id, address, role: become.role, masterId };
  }

  /** @throws ClusterChangeRefused, NodeUnreachable */
  async planRemoval(id: string): Promise<Removal> {
    const topology = await this.view.read();
    const node = member(topology, id);
    if (!node) throw new ClusterChangeRefused('unknown_node', `the cluster has no node ${id}`);
    const shares = slotsByMaster(topology);
    const slots = shares.get(id)?.length ?? 0;
    if (slots > 0 && !isHealthy(node)) {
      throw new ClusterChangeRefused(
        'slots_unserved',
        `${nodeName(node)} does not answer and no replica has taken its ${slots} slots over: bring it back first`,
      );
    }
    const serving = healthyMasters(topology).filter((master) => (shares.get(master.id)?.length ?? 0) > 0);
    const left = serving.filter((master) => master !== node).length;
    if (slots > 0 && left < MIN_MASTERS) {
      throw new ClusterChangeRefused(
        'too_few_masters',
        `${left} masters would be left, and a cluster needs ${MIN_MASTERS} to get over the loss of one: add another first`,
      );
    }
    return {
      kind: 'remove',
      id,
      address: node.address,
      replicas: replicasOf(topology, id).map((replica) => replica.id),
    };
  }

  /**
   * Makes a planned change, or what is left of it.
   *
   * @throws ClusterChangeStalled when it gets no further; it can be carried out again
   * @throws the signal's reason once that is aborted; between two slots, so that none is left half moved
   */
  carryOut(change: ClusterChange, progress: ChangeProgress, signal: AbortSignal): Promise<void> {
    return this.changes.carryOut(change, progress, signal);
  }

  close(): void {
    this.nodes.close();
  }

  private async readNewNode(address: RedisAddress): Promise<ClusterNode> {
    try {
      const own = await this.view.readAlone(address);
      if (own) return own;
    } catch (error) {
      const { message } = error as Error;
      const name = formatAddress(address);
      const options = { cause: error };
      if (/cluster support disabled/.test(message)) {
        throw new ClusterChangeRefused('not_cluster_enabled', `${name} runs without cluster-enabled yes`, options);
      }
      if (/NOAUTH|WRONGPASS|NOPERM/.test(message)) {
        const reason = `${name} does not take the user and password of the cluster: ${message}`;
        throw new ClusterChangeRefused('access_denied', reason, options);
      }
      throw new ClusterChangeRefused('unreachable', `${name} cannot be reached: ${message}`, options);
    }
    throw new ClusterChangeRefused('unreachable', `${formatAddress(address)} does not say who it is`);
  }

  private async refuseUnlessEmpty(node: ClusterNode): Promise<void> {
    const [keys, cluster] = await Promise.all([
      this.nodes.send<number>(node.address, ['DBSIZE']),
      this.nodes.text(node.address, 'CLUSTER', 'INFO').then(parseInfo),
    ]);
    const refuse = (what: string) =>
      new ClusterChangeRefused(
        'not_empty',
        `${nodeName(node)} is not empty: it ${what}. CLUSTER RESET and FLUSHALL make it so`,
      );
    if (cluster.get('cluster_known_nodes') !== '1') throw refuse('knows other nodes');
    if (keys > 0) throw refuse(`has ${keys} keys`);
    if (node.slots.length > 0) throw refuse('has slots');
  }
}

function chooseFor(
  topology: Topology,
  { address }: ClusterNode,
  role: AdditionWish['role'],
  replicaOf: string | undefined,
  wanted: WantedSize,
): NewRole {
  const shares = slotsByMaster(topology);
  const serving = healthyMasters(topology).filter(({ id }) => (shares.get(id)?.length ?? 0) > 0);
  const masters = replicatedMasters(topology, serving);
  if (replicaOf !== undefined) {
    const master: Member | undefined = member(topology, replicaOf);
    if (!master) throw new ClusterChangeRefused('unknown_node', `the cluster has no node ${replicaOf}`);
    if (!serving.includes(master)) {
      throw new ClusterChangeRefused('not_a_master', `${nodeName(master)} is not a master that serves slots`);
    }
    return { role: 'replica', masterId: replicaOf };
  }
  if (role === 'master') return { role };
  if (role === 'auto') return chooseRole(address.host, masters, wanted.masters, wanted.copies);
  const masterId = chooseMaster(address.host, masters);
  if (masterId === undefined) throw new ClusterChangeRefused('not_a_master', 'the cluster has no master that answers');
  return { role: 'replica', masterId };
}
