import { formatAddress, type RedisAddress } from '../redis/address.js';
import { NodeUnreachable } from './errors.js';
import type { NodeConnections } from './node-connections.js';
import { type ClusterNode, combineViews, parseClusterNodes, type Topology } from './topology.js';

/** Reads how the cluster stands from all of its nodes. */
export class ClusterView {
  /** Where nodes are or were: any that still answers leads to the others. */
  private readonly addresses = new Map<string, RedisAddress>();

  constructor(
    private readonly nodes: NodeConnections,
    seeds: readonly RedisAddress[],
  ) {
    for (const seed of seeds) this.addresses.set(formatAddress(seed), seed);
  }

  /**
   * @param without a node whose own word does not count
   * @throws NodeUnreachable when no node answers
   */
  async read({ without }: { without?: string } = {}): Promise<Topology> {
    const asked = new Set<string>();
    const views: ClusterNode[][] = [];
    const problems: string[] = [];
    for (;;) {
      const unasked = [...this.addresses].filter(([name]) => !asked.has(name));
      if (unasked.length === 0) break;
      await Promise.all(
        unasked.map(async ([name, address]) => {
          asked.add(name);
          try {
            views.push(parseClusterNodes(await this.nodes.text(address, 'CLUSTER', 'NODES'), address));
          } catch (error) {
            problems.push((error as Error).message);
          }
        }),
      );
      for (const { address, isStranger } of views.flat())
        if (!isStranger) this.addresses.set(formatAddress(address), address);
    }
    const heard = distinct(views).filter((view) => view.find(({ isAsked }) => isAsked)?.id !== without);
    if (heard.length === 0) throw new NodeUnreachable(`no node of the cluster answers: ${problems.join('; ')}`);
    const topology = combineViews(heard);
    this.forgetAllBut(topology);
    return topology;
  }

  /** What a node says of itself alone, which need not be in the cluster. @throws NodeUnreachable, ErrorReply */
  async readAlone(address: RedisAddress): Promise<ClusterNode | undefined> {
    const view = parseClusterNodes(await this.nodes.text(address, 'CLUSTER', 'NODES'), address);
    return view.find(({ isAsked }) => isAsked);
  }

  /** Where no node of the cluster is any more, nobody is asked again, unless nobody else is left. */
  private forgetAllBut({ members }: Topology): void {
    const present = members.map(({ address }) => formatAddress(address));
    for (const name of this.addresses.keys()) if (!present.includes(name)) this.addresses.delete(name);
  }
}

/** A seed by its host name is a node that the others know by its address, and so is asked twice. */
function distinct(views: readonly ClusterNode[][]): ClusterNode[][] {
  const byId = new Map(views.map((view) => [view.find(({ isAsked }) => isAsked)?.id, view]));
  return [...byId.values()];
}
