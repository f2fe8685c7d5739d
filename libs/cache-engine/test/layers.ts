import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedisCluster } from '../../../tools/harness/redis-cluster.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { Announcer } from '../src/backplane/announcer.js';
import { type Backplane, NoBackplane } from '../src/backplane/backplane.js';
import { JournalBackplane } from '../src/backplane/journal-backplane.js';
import { RedisBackplane } from '../src/backplane/redis-backplane.js';
import type { Layer } from '../src/layer.js';
import { LmdbLayer } from '../src/layers/lmdb.js';
import { MemoryLayer } from '../src/layers/memory.js';
import { RedisClusterLayer, type ReplicaReads } from '../src/layers/redis-cluster.js';
import { RedisLayer } from '../src/layers/redis.js';
import { parseClusterNodes, parseRedisAddress, parseRedisUrl } from '../src/redis/address.js';
import { RedisCluster } from '../src/redis/cluster.js';
import { RedisServer } from '../src/redis/server.js';

/** What the stated bound on old values is in the tests: a machine that is busy with something else keeps it as well. */
export const LEASE_MS = 3000;

/** A layer as one node has it, with the backplane that comes with it. */
export interface OpenLayer {
  readonly layer: Layer;
  readonly backplane: Backplane;
  close(): Promise<void>;
}

/** The real thing behind a layer, and how a node gets at it. */
export interface Store {
  open(): Promise<OpenLayer>;
  stop(): Promise<void>;
}

/** Opens a layer on a server, as the service does it. */
export async function openRedis(url: string): Promise<OpenLayer & { layer: RedisLayer; backplane: RedisBackplane }> {
  const { address, access } = parseRedisUrl(url);
  return openServer(new RedisServer({ access, nodes: [address], maxConnections: 10 }));
}

async function openServer(server: RedisServer) {
  await server.connect();
  const announcer = new Announcer('cache-bus:0', 'node');
  const layer = new RedisLayer(server, announcer);
  const backplane = new RedisBackplane(server, announcer, LEASE_MS);
  await backplane.start();
  const close = async () => {
    await backplane.close();
    await layer.close();
  };
  return { layer, backplane, close };
}

export async function openCluster(
  addresses: string,
  replicaReads?: (open: { backplane: RedisBackplane }) => ReplicaReads,
): Promise<OpenLayer & { layer: RedisClusterLayer; backplane: RedisBackplane; cluster: RedisCluster }> {
  const { addresses: seeds, access } = parseClusterNodes(addresses);
  const cluster = new RedisCluster({ access, seeds, maxConnections: 10 });
  await cluster.connect();
  const announcer = new Announcer('cache-bus:0', 'node');
  const backplane = new RedisBackplane(cluster, announcer, LEASE_MS);
  const layer = new RedisClusterLayer(cluster, announcer, () => 5000, replicaReads?.({ backplane }));
  await backplane.start();
  const close = async () => {
    await backplane.close();
    await layer.close();
  };
  return { layer, backplane, cluster, close };
}

function openLmdb(path: string): OpenLayer & { layer: LmdbLayer } {
  const layer = new LmdbLayer(path);
  const backplane = new JournalBackplane(layer);
  const close = async () => {
    await backplane.close();
    await layer.close();
  };
  return { layer, backplane, close };
}

/** The stores that nodes share; what holds of several nodes is shown on each. */
export const SHARED_STORES: Readonly<Record<string, () => Promise<Store>>> = {
  lmdb: () => {
    const path = mkdtempSync(join(tmpdir(), 'cache-lmdb-'));
    return Promise.resolve({
      open: () => Promise.resolve(openLmdb(path)),
      stop: () => {
        rmSync(path, { recursive: true, force: true });
        return Promise.resolve();
      },
    });
  },
  redis: async () => {
    const server = await startRedis();
    return { open: () => openRedis(server.url), stop: () => server.stop() };
  },
  sentinel: async () => {
    const { startSentinels } = await import('../../../tools/harness/redis-sentinel.mjs');
    const trio = await startSentinels();
    const { access } = parseRedisUrl('redis://127.0.0.1');
    const nodes = trio.addresses.split(',').map(parseRedisAddress);
    return {
      open: () => openServer(new RedisServer({ access, nodes, sentinelMaster: trio.masterName, maxConnections: 10 })),
      stop: () => trio.stop(),
    };
  },
  cluster: async () => {
    const cluster = await startRedisCluster();
    return { open: () => openCluster(cluster.addresses), stop: () => cluster.stop() };
  },
};

/** Every implementation of the port; the conformance suite runs against each. */
export const STORES: Readonly<Record<string, () => Promise<Store>>> = {
  memory: () => {
    const layer = new MemoryLayer(64 * 1024 * 1024);
    const close = () => layer.close();
    return Promise.resolve({
      open: () => Promise.resolve({ layer, backplane: new NoBackplane(), close }),
      stop: () => Promise.resolve(),
    });
  },
  ...SHARED_STORES,
};
