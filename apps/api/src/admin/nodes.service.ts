import {
  type Addition,
  type ClusterAdmin,
  ClusterChangeRefused,
  NodeUnreachable,
  InvalidAddress,
  parseRedisAddress,
  type Removal,
  slotsByMaster,
} from '@cache-system/cache-engine';
import type { AddNodeRequest, Node, NodeJob, NodeList } from '@cache-system/contracts';
import { Inject, Injectable } from '@nestjs/common';
import type { Actor } from '../platform/audit/audit-log.js';
import { ApiError, InvalidRequest, ResourceNotFound } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { ApiNodes } from './api-nodes.js';
import { ClusterConflict, refusalError } from './cluster-conflict.js';
import { ClusterJobRunner } from './cluster-job-runner.js';
import { ClusterJobs } from './cluster-jobs.js';
import { jobView } from './job-view.js';
import { STORAGE_CLUSTER } from './storage-cluster.js';
import { sizeWarnings, StorageNodes } from './storage-nodes.js';

@Injectable()
export class NodesService {
  constructor(
    private readonly apiNodes: ApiNodes,
    private readonly storageNodes: StorageNodes,
    private readonly jobs: ClusterJobs,
    private readonly runner: ClusterJobRunner,
    private readonly config: LiveConfig,
    @Inject(STORAGE_CLUSTER) private readonly cluster: ClusterAdmin | undefined,
  ) {}

  async list(): Promise<NodeList> {
    const { nodes, cluster } = await this.storageNodes.list();
    return { api_nodes: this.apiNodes.list(), storage_nodes: nodes, cluster };
  }

  /** @throws ResourceNotFound */
  async read(id: string): Promise<Node> {
    const { api_nodes: apiNodes, storage_nodes: storageNodes } = await this.list();
    const node = [...storageNodes, ...apiNodes].find((each) => each.id === id);
    if (!node) throw new ResourceNotFound('node', id);
    return node;
  }

  /** @throws InvalidRequest, ClusterConflict */
  async add({ address, role, replica_of: replicaOf }: AddNodeRequest, actor: Actor): Promise<NodeJob> {
    const cluster = this.requireCluster();
    await this.jobs.refuseWhileActive();
    const { cluster_size: masters, replication_factor: copies } = this.config.current.cache.layers.l3;
    try {
      const wish = { address: parseRedisAddress(address), role, replicaOf };
      const change = await cluster.planAddition(wish, { masters, copies });
      const { topology } = await cluster.describe();
      const present = serving(slotsByMaster(topology));
      const after = change.role === 'master' ? [...present, change.id] : present;
      const replicas = change.role === 'replica' ? 1 : 0;
      return await this.begin(change, change.role, sizeWarnings(topology, after, this.config.current, replicas), actor);
    } catch (error) {
      throw translate(error, 'add');
    }
  }

  /** @throws ResourceNotFound, ClusterConflict */
  async remove(id: string, actor: Actor): Promise<NodeJob> {
    if (this.apiNodes.list().some((node) => node.id === id)) {
      throw new ClusterConflict('api_node', 'an API node leaves by itself when its process is stopped with SIGTERM');
    }
    const cluster = this.requireCluster();
    await this.jobs.refuseWhileActive();
    try {
      const change = await cluster.planRemoval(id);
      const { topology } = await cluster.describe();
      const role = topology.members.find((node) => node.id === id)?.role ?? 'master';
      const after = serving(slotsByMaster(topology)).filter((master) => master !== id);
      const replicas = role === 'replica' ? -1 : 0;
      return await this.begin(change, role, sizeWarnings(topology, after, this.config.current, replicas), actor);
    } catch (error) {
      throw translate(error, { remove: id });
    }
  }

  async listJobs(): Promise<NodeJob[]> {
    return (await this.jobs.list()).map(jobView);
  }

  /** @throws ResourceNotFound */
  async readJob(id: string): Promise<NodeJob> {
    return jobView(await this.jobs.read(id));
  }

  /** @throws ResourceNotFound, ClusterConflict */
  async resumeJob(id: string, actor: Actor): Promise<NodeJob> {
    const job = await this.jobs.resume(id, actor);
    this.runner.wake();
    return jobView(job);
  }

  /** @throws ResourceNotFound, ClusterConflict */
  async cancelJob(id: string, actor: Actor): Promise<NodeJob> {
    return jobView(await this.jobs.cancel(id, actor));
  }

  private async begin(
    change: Addition | Removal,
    role: 'master' | 'replica',
    warnings: string[],
    actor: Actor,
  ): Promise<NodeJob> {
    const job = await this.jobs.create({ change, role, warnings, actor });
    this.runner.wake();
    return jobView(job);
  }

  private requireCluster(): ClusterAdmin {
    if (this.cluster) return this.cluster;
    throw new ClusterConflict(
      'no_cluster',
      'no Redis Cluster is configured (REDIS_CLUSTER_NODES), and nothing else takes or gives up nodes',
    );
  }
}

function serving(shares: ReadonlyMap<string, readonly number[]>): string[] {
  return [...shares].filter(([, slots]) => slots.length > 0).map(([id]) => id);
}

function translate(error: unknown, request: Parameters<typeof refusalError>[1]): unknown {
  if (error instanceof InvalidAddress) return new InvalidRequest([{ path: 'address', reason: error.message }]);
  if (error instanceof ClusterChangeRefused) return refusalError(error, request);
  if (error instanceof NodeUnreachable) return new ApiError('CACHE_UNAVAILABLE', { layer: 'L3' }, { cause: error });
  return error;
}
