import { RecentChanges } from '../src/recent-changes.js';
import { BatchedLayer } from '../src/batched-layer.js';
import { Cache } from '../src/cache.js';
import { CopyTier } from '../src/copy-tier.js';
import { GuardedCopies, GuardedLayer } from '../src/guarded-layer.js';
import type { CopyLayer } from '../src/layer.js';
import { MemoryLayer } from '../src/layers/memory.js';
import { RedisLayer } from '../src/layers/redis.js';
import { parseRedisUrl } from '../src/redis/address.js';
import { RedisServer } from '../src/redis/server.js';
import { SharedTiers } from '../src/shared-tiers.js';
import { openCluster } from './layers.js';
import { MIB, SETTINGS } from './nodes.js';

const L2_DEADLINE_MS = 300;
/** So long a node that has just started asks L3 alone; shorter than in the service, for the sake of the tests. */
const GENERATION_MS = 1500;

/** A node with L1, L2 in a Redis and L3 in a cluster, as the service makes it. */
export async function openTiers(
  addresses: string,
  l2Url: string,
  wrap: (copies: CopyLayer) => CopyLayer = (copies) => copies,
) {
  const l3 = await openCluster(addresses);
  const { layer, backplane } = l3;
  const guarded = new GuardedLayer(layer, 'L3', SETTINGS.layers.l3.deadline_ms);
  const { address, access } = parseRedisUrl(l2Url);
  const server = new RedisServer({ access, nodes: [address], maxConnections: 10 });
  await server.connect();
  const redis = new RedisLayer(server);
  const copies = new GuardedCopies(wrap(redis), 'L2', L2_DEADLINE_MS);
  const recent = new RecentChanges(
    () => backplane.epoch,
    () => GENERATION_MS,
  );
  backplane.follow({ changed: (key, revision) => recent.note(key, revision), dropped: () => undefined });
  const tier = new CopyTier(
    copies,
    () => 3_600_000,
    () => backplane.distrustCopies(),
    recent,
  );
  backplane.followCopies((epoch) => tier.setEpoch(epoch));
  server.onServerChange(() => void tier.distrust().catch(() => undefined));
  const tiers = new SharedTiers('L3', new BatchedLayer(guarded), { copies: tier, replicated: guarded });
  const l1 = new MemoryLayer(64 * MIB);
  const cache = new Cache(l1, tiers, backplane, SETTINGS);
  const close = async () => {
    await l3.close();
    await copies.close();
  };
  return { cache, l1, backplane, redis, tier, recent, close };
}

export type TieredNode = Awaited<ReturnType<typeof openTiers>>;
