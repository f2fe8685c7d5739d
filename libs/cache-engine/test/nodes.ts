import { type Backplane, NoBackplane } from '../src/backplane/backplane.js';
import { BatchedLayer } from '../src/batched-layer.js';
import { Cache } from '../src/cache.js';
import type { CacheSettings } from '../src/cache-operations.js';
import { jsonText, jsonValue } from '../src/entry.js';
import type { Layer } from '../src/layer.js';
import { MemoryLayer } from '../src/layers/memory.js';
import { SharedTiers } from '../src/shared-tiers.js';
import type { OpenLayer } from './layers.js';

export const MIB = 1024 * 1024;

export const SETTINGS: CacheSettings = {
  layers: {
    l1: { type: 'memory', size_mb: 64, eviction_policy: 'lru', ttl_default: 300, outage_grace: 60 },
    l2: { type: 'auto', nodes: [], max_connections: 10, ttl_default: 3600, deadline_ms: 500 },
    l3: {
      type: 'distributed',
      cluster_size: 3,
      replication_factor: 2,
      consistency_level: 'eventual',
      ttl_default: 86_400,
      deadline_ms: 1000,
    },
  },
  defaultStrategy: 'write-through',
  storage: {
    compression: { enabled: false, algorithm: 'lz4', min_size_bytes: 1024 },
    encryption: { prefixes: [] },
  },
};

/** A node: an L1 of its own over a layer that others may share. */
export function node(
  shared: Layer,
  settings = SETTINGS,
  l1 = new MemoryLayer(64 * MIB),
  backplane: Backplane = new NoBackplane(),
) {
  return { l1, cache: new Cache(l1, new SharedTiers('L2', new BatchedLayer(shared)), backplane, settings) };
}

/** A node that hears of the others. */
export function nodeOn({ layer, backplane }: OpenLayer, shared: Layer = layer) {
  return node(shared, SETTINGS, undefined, backplane);
}

export async function text(cache: Cache, key: string): Promise<string> {
  return jsonText((await cache.read(key)).entry);
}

export function put(cache: Cache, key: string, value: string) {
  return cache.put(key, jsonValue(value), {});
}
