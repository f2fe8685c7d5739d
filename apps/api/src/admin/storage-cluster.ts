import { ClusterAdmin } from '@cache-system/cache-engine';
import type { Environment } from '../platform/env.js';

/** Token of the `ClusterAdmin`; undefined where no Redis Cluster is configured. */
export const STORAGE_CLUSTER = Symbol('storage cluster');

export function openStorageCluster({ redis }: Environment): ClusterAdmin | undefined {
  return redis.cluster && new ClusterAdmin({ access: redis.cluster.access, seeds: redis.cluster.addresses });
}
