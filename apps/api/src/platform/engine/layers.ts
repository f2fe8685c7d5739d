import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  Announcer,
  type Backplane,
  BatchedLayer,
  CopyTier,
  type Entry,
  formatAddress,
  GuardedCopies,
  GuardedLayer,
  JournalBackplane,
  LmdbLayer,
  parseRedisAddress,
  RecentChanges,
  RedisBackplane,
  RedisCluster,
  RedisClusterLayer,
  RedisLayer,
  RedisServer,
  SharedTiers,
} from '@cache-system/cache-engine';
import type { Config } from '@cache-system/contracts';
import { type Environment, StartRefused } from '../env.js';
import type { LiveConfig } from '../live-config.js';
import { log } from '../logging.js';

type ClusterNodes = NonNullable<Environment['redis']['cluster']>;

const CONNECT_TIMEOUT_MS = 3000;
/** A replica that may be further behind its master is not read from. */
const MAX_REPLICA_LAG_MS = 5000;

/** One shared layer, as far as others than the cache are concerned. */
export interface SharedLayer {
  readonly type: 'embedded' | 'redis' | 'cluster';
  check(): Promise<void>;
  /** Connections of this node; an embedded layer has none. */
  readonly connections?: { readonly active: number; readonly max: number };
}

/** Everything below L1. */
export class Layers {
  constructor(
    readonly tiers: SharedTiers,
    readonly backplane: Backplane,
    readonly l2: SharedLayer | undefined,
    readonly l3: SharedLayer | undefined,
    readonly cluster: RedisCluster | undefined,
    /** Where nodes keep together what is not an entry; undefined where this one is alone. */
    readonly shared: RedisServer | RedisCluster | undefined,
    private readonly closers: readonly (() => Promise<void>)[],
  ) {}

  async close(): Promise<void> {
    for (const close of this.closers) await close();
  }
}

/** @throws StartRefused when what is configured is not given or cannot be reached */
export async function openLayers(environment: Environment, config: LiveConfig): Promise<Layers> {
  const { l2 } = config.current.cache.layers;
  const { server, cluster } = environment.redis;
  const hasRedis = server !== undefined || l2.nodes.length > 0;
  const redisWanted = l2.type === 'redis' || (l2.type === 'auto' && hasRedis);
  if (redisWanted && !hasRedis) {
    throw new StartRefused(['REDIS_URL: is required, as cache.layers.l2.type is redis']);
  }
  if (cluster) {
    if (l2.type !== 'embedded') return openClustered(environment, config, cluster, redisWanted);
    throw new StartRefused(['config cache.layers.l2.type: embedded is for a machine alone, and cannot be above L3']);
  }
  return redisWanted ? openOnRedis(environment, config) : openEmbedded(environment, config);
}

function openEmbedded({ DATA_DIR }: Environment, config: LiveConfig): Layers {
  const lmdb = new LmdbLayer(join(DATA_DIR, 'l2'));
  const guarded = guardL2(lmdb, config);
  const backplane = new JournalBackplane(lmdb);
  const l2: SharedLayer = { type: 'embedded', check: () => guarded.check() };
  const tiers = new SharedTiers('L2', new BatchedLayer(guarded));
  return new Layers(tiers, backplane, l2, undefined, undefined, undefined, [
    () => backplane.close(),
    () => guarded.close(),
  ]);
}

async function openOnRedis(environment: Environment, config: LiveConfig): Promise<Layers> {
  const { server, database } = await connectRedis(environment, config);
  const announcer = new Announcer(`cache-bus:${database}`, environment.NODE_NAME);
  const guarded = guardL2(new RedisLayer(server, announcer, reportMissingRights), config);
  const backplane = await startBackplane(
    new RedisBackplane(server, announcer, leaseMs(config.current), reportTrust, reportDeafness()),
    config,
  );
  const l2: SharedLayer = {
    type: 'redis',
    check: () => guarded.check(),
    get connections() {
      return server.connections;
    },
  };
  const tiers = new SharedTiers('L2', new BatchedLayer(guarded));
  return new Layers(tiers, backplane, l2, undefined, undefined, server, [
    () => backplane.close(),
    () => guarded.close(),
  ]);
}

async function openClustered(
  environment: Environment,
  config: LiveConfig,
  nodes: ClusterNodes,
  redisAbove: boolean,
): Promise<Layers> {
  const cluster = await connectCluster(nodes, config);
  const announcer = new Announcer('cache-bus:0', environment.NODE_NAME);
  const l3Settings = () => config.current.cache.layers.l3;
  const backplane = new RedisBackplane(cluster, announcer, leaseMs(config.current), reportTrust, reportDeafness());
  const recent = recentChanges(backplane, () => 2 * MAX_REPLICA_LAG_MS);
  const replicaReads = {
    maxLagMs: MAX_REPLICA_LAG_MS,
    enabled: () => l3Settings().consistency_level === 'eventual' && backplane.isTrusted(),
    // Of a key that is being moved to another master a replica has nothing any more, and does not say why.
    accepts: (key: string, entry: Entry | undefined) => entry !== undefined && recent.allows(key, entry),
  };
  const deadlineMs = () => l3Settings().deadline_ms;
  const layer = new RedisClusterLayer(cluster, announcer, deadlineMs, replicaReads, reportMissingRights);
  const guarded = new GuardedLayer(layer, 'L3', l3Settings().deadline_ms);
  config.follow(({ cache }) => guarded.setDeadline(cache.layers.l3.deadline_ms));
  // Before this node is registered: one that is refused to start must not have been heard of.
  const l2Server = redisAbove ? (await connectRedis(environment, config)).server : undefined;
  await startBackplane(backplane, config);
  const closers = [() => backplane.close(), () => guarded.close()];
  const l3: SharedLayer = {
    type: 'cluster',
    check: () => guarded.check(),
    get connections() {
      return cluster.connections;
    },
  };
  if (!l2Server) {
    return new Layers(
      new SharedTiers('L3', new BatchedLayer(guarded), { replicated: guarded }),
      backplane,
      undefined,
      l3,
      cluster,
      cluster,
      closers,
    );
  }
  const copies = new RedisLayer(l2Server);
  const guardedCopies = new GuardedCopies(copies, 'L2', config.current.cache.layers.l2.deadline_ms);
  config.follow(({ cache }) => guardedCopies.setDeadline(cache.layers.l2.deadline_ms));
  const tier = new CopyTier(
    guardedCopies,
    () => config.current.cache.layers.l2.ttl_default * 1000,
    () => backplane.distrustCopies(),
    // A writer brings L2 up to date, or raises the epoch, within a deadline; for one that dies it takes longest.
    recentChanges(backplane, () => 5 * leaseMs(config.current) + config.current.cache.layers.l2.deadline_ms),
  );
  backplane.followCopies((epoch) => tier.setEpoch(epoch));
  // A Redis that comes back with what it had written to its disk, or its replica, has copies of before.
  l2Server.onServerChange(() => void tier.distrust().catch(() => undefined));
  // A master of L3 that was replaced may have taken writes with it of which L2 has copies.
  cluster.onServerChange(() => void tier.distrust().catch(() => undefined));
  const l2: SharedLayer = {
    type: 'redis',
    check: () => guardedCopies.check(),
    get connections() {
      return l2Server.connections;
    },
  };
  const tiers = new SharedTiers('L3', new BatchedLayer(guarded), { replicated: guarded, copies: tier });
  return new Layers(tiers, backplane, l2, l3, cluster, l2Server, [...closers, () => guardedCopies.close()]);
}

function guardL2(layer: LmdbLayer | RedisLayer, config: LiveConfig): GuardedLayer {
  const guarded = new GuardedLayer(layer, 'L2', config.current.cache.layers.l2.deadline_ms);
  config.follow(({ cache }: Config) => guarded.setDeadline(cache.layers.l2.deadline_ms));
  return guarded;
}

async function startBackplane(backplane: RedisBackplane, config: LiveConfig): Promise<RedisBackplane> {
  try {
    await inTime(backplane.start());
  } catch (error) {
    const rights = 'its user must be allowed to publish and subscribe on the channels cache-bus:*';
    throw new StartRefused([`Redis: cannot hear and tell other nodes there, ${rights}: ${reasonOf(error)}`]);
  }
  config.follow((snapshot) => backplane.setLease(leaseMs(snapshot)));
  return backplane;
}

function recentChanges(backplane: Backplane, generationMs: () => number): RecentChanges {
  const recent = new RecentChanges(() => backplane.epoch, generationMs);
  backplane.follow({ changed: (key, revision) => recent.note(key, revision), dropped: () => undefined });
  return recent;
}

function reportTrust(trusted: boolean): void {
  if (trusted) log.info('hearing all nodes: L1 is trusted');
  else log.warn('not all nodes are heard: what L1 has is checked with the shared layer');
}

function reportMissingRights(commands: readonly string[]): void {
  log.warn({ commands }, 'the Redis user may not run these commands: cache sizes are not counted, and not limited');
}

/** Once: it is so with every server, each time. */
function reportDeafness(): (reason: Error) => void {
  let isReported = false;
  return (err) => {
    if (!isReported) log.warn({ err }, 'Redis may not tell of expiries: set its notify-keyspace-events to Ex');
    isReported = true;
  };
}

function leaseMs({ cache }: Config): number {
  return cache.coherence.max_staleness_ms;
}

async function connectRedis(
  environment: Environment,
  config: LiveConfig,
): Promise<{ server: RedisServer; database: number }> {
  const { nodes, sentinel_master: sentinelMaster, max_connections: maxConnections } = config.current.cache.layers.l2;
  const { server: given, sentinelLogin } = environment.redis;
  const access = given?.access ?? { database: 0 };
  const addresses = nodes.length > 0 ? nodes.map(parseRedisAddress) : given ? [given.address] : [];
  const server = new RedisServer({
    access,
    nodes: addresses,
    ...(sentinelMaster !== undefined && { sentinelMaster, sentinelLogin }),
    maxConnections,
    onConnection: reporter('Redis'),
  });
  try {
    await inTime(server.connect());
  } catch (error) {
    await server.close();
    const name = nodes.length > 0 ? 'config cache.layers.l2.nodes' : 'REDIS_URL';
    throw new StartRefused([
      `${name}: cannot use Redis at ${addresses.map(formatAddress).join(', ')}: ${reasonOf(error)}`,
    ]);
  }
  return { server, database: access.database };
}

async function connectCluster({ access, addresses }: ClusterNodes, config: LiveConfig): Promise<RedisCluster> {
  const cluster = new RedisCluster({
    access,
    seeds: addresses,
    maxConnections: config.current.cache.layers.l2.max_connections,
    onConnection: reporter('the Redis Cluster'),
  });
  try {
    await inTime(cluster.connect());
  } catch (error) {
    await cluster.close();
    throw new StartRefused([`REDIS_CLUSTER_NODES: cannot use the cluster: ${reasonOf(error)}`]);
  }
  return cluster;
}

function reporter(name: string) {
  return (connected: boolean, reason?: Error) => {
    if (connected) log.info(`connected to ${name}`);
    else log.warn({ err: reason }, `lost the connection to ${name}; trying again`);
  };
}

function inTime(connecting: Promise<void>): Promise<void> {
  const tooLate = delay(CONNECT_TIMEOUT_MS, undefined, { ref: false }).then(() => {
    throw new Error(`no answer within ${CONNECT_TIMEOUT_MS} ms`);
  });
  return Promise.race([connecting, tooLate]);
}

function reasonOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || (code ?? 'no answer');
}
