import { eventually } from '../../../tools/harness/eventually.mjs';
import { type ClusterNode, startRedisCluster } from '../../../tools/harness/redis-cluster.mjs';
import type { Cache } from '../src/cache.js';
import { RecentChanges } from '../src/recent-changes.js';
import { openCluster } from './layers.js';
import { nodeOn, put, text } from './nodes.js';

/** Shorter than in the service, for the sake of the tests. */
const MAX_LAG_MS = 2000;
const PATIENCE_MS = 1000;

describe('reads from replicas', () => {
  let cluster: Awaited<ReturnType<typeof startRedisCluster>>;
  let opened: Awaited<ReturnType<typeof openCluster>>[];
  let writer: Cache;
  let reader: Cache;
  let drop: (key: string) => void;
  let replica: ClusterNode;

  beforeAll(async () => {
    cluster = await startRedisCluster({ nodeTimeoutMs: 20_000 });
    const second = await openCluster(cluster.addresses, ({ backplane }) => {
      const recent = new RecentChanges(
        () => backplane.epoch,
        () => 2 * MAX_LAG_MS,
      );
      backplane.follow({ changed: (key, revision) => recent.note(key, revision), dropped: () => undefined });
      return {
        maxLagMs: MAX_LAG_MS,
        enabled: () => backplane.isTrusted(),
        accepts: (key, entry) => recent.allows(key, entry),
      };
    });
    opened = [await openCluster(cluster.addresses), second];
    writer = nodeOn(opened[0]!).cache;
    const node = nodeOn(second);
    reader = node.cache;
    drop = (key) => node.l1.drop(key);
    const master = await cluster.masterOf('cache{}:k');
    const isOfMaster = async (one: ClusterNode) =>
      (await one.command('CLUSTER', 'NODES')).includes(`myself,slave ${master.id}`);
    for (const one of cluster.nodes) if (await isOfMaster(one)) replica = one;
    await eventually('both are trusted', () => opened.every(({ backplane }) => backplane.isTrusted()));
  });
  afterAll(async () => {
    for (const open of opened) await open.close();
    await cluster.stop();
  });

  async function read(): Promise<string> {
    drop('k');
    return text(reader, 'k');
  }

  /** How many reads a replica has answered. */
  async function answered(): Promise<number> {
    const stats = await replica.command('INFO', 'commandstats');
    return Number(/^cmdstat_get:calls=(\d+)/m.exec(stats)?.[1] ?? 0);
  }

  const replicaIsRead = () =>
    eventually(
      'the replica is read',
      async () => {
        const before = await answered();
        await read();
        return (await answered()) > before;
      },
      20_000,
    );

  test('are those of a replica that is up to date', async () => {
    await put(writer, 'k', '"old"');
    await replicaIsRead();
    expect(await read()).toBe('"old"');
  });

  test('are not held up by one that is frozen', async () => {
    replica.freeze();
    const startedMs = performance.now();
    for (let round = 0; round < 5; round++) expect(await read()).toBe('"old"');
    replica.thaw();
    expect(performance.now() - startedMs).toBeLessThan(5 * PATIENCE_MS);
  });

  test('are never older than what was announced, however long a replica is cut off from its master', async () => {
    await replicaIsRead();
    await replica.command('CONFIG', 'SET', 'masteruser', 'nobody');
    await replica.command('CONFIG', 'SET', 'masterauth', 'wrong');
    await replica.command('CLIENT', 'KILL', 'TYPE', 'master');
    await eventually('it is cut off', async () =>
      (await replica.command('INFO', 'replication')).includes('master_link_status:down'),
    );
    await put(writer, 'k', '"new"');
    await eventually('it is heard of', () => reader.peek('k') === undefined);
    const cutMs = performance.now();
    // Longer than changes are remembered: from then on it counts how far the replica is.
    await eventually(
      'long ago',
      async () => {
        expect(await read()).toBe('"new"');
        return performance.now() - cutMs > 5 * MAX_LAG_MS;
      },
      20_000,
    );
    await replica.command('CONFIG', 'SET', 'masterauth', '');
    await replica.command('CONFIG', 'SET', 'masteruser', '');
    await replicaIsRead();
    expect(await read()).toBe('"new"');
  });
});
