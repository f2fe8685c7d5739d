import { createClient } from 'redis';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedisCluster } from '../../../tools/harness/redis-cluster.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { startSentinels } from '../../../tools/harness/redis-sentinel.mjs';
import { startTcpProxy } from '../../../tools/harness/tcp-proxy.mjs';

/** Opens a connection that is not made anew when it breaks. */
async function connect(url: string) {
  const client = createClient({ url, disableOfflineQueue: true, socket: { reconnectStrategy: false } });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function answersWithin(ms: number, answer: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout;
  const tooLate = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  return Promise.race([answer.then(() => true), tooLate]).finally(() => clearTimeout(timer));
}

describe('the cluster of the tests', () => {
  let cluster: Awaited<ReturnType<typeof startRedisCluster>>;
  beforeAll(async () => {
    cluster = await startRedisCluster({ nodeTimeoutMs: 1000 });
  });
  afterAll(() => cluster.stop());

  test('serves every slot from three masters, each with a replica', async () => {
    const roles = await Promise.all(cluster.nodes.map((node) => node.command('INFO', 'replication')));
    expect(roles.map((info) => /^role:(\w+)/m.exec(info)?.[1])).toEqual([
      ...['master', 'master', 'master'],
      ...['slave', 'slave', 'slave'],
    ]);
    const [first, last] = await Promise.all([cluster.masterOf(0), cluster.masterOf(16_383)]);
    expect([first.id, last.id]).toEqual([cluster.nodes[0]!.id, cluster.nodes[2]!.id]);
    const owner = await cluster.masterOf('a key');
    expect(await owner.command('SET', 'a key', 'here')).toBe('OK');
  });

  test('promotes the replica of a master that was killed, and takes the old one back as replica', async () => {
    const killed = await cluster.masterOf('a key');
    await killed.kill9();
    await cluster.waitUntilStable();
    const heir = await cluster.masterOf('a key');
    expect(heir.id).not.toBe(killed.id);
    expect(await heir.command('GET', 'a key')).toBe('here');
    await killed.restart();
    await cluster.waitUntilStable();
    expect(await killed.command('CLUSTER', 'MYID')).toBe(killed.id);
    expect(await killed.command('INFO', 'replication')).toContain('role:slave');
  });

  test('starts a node that the cluster does not know', async () => {
    const added = await cluster.addNode();
    expect(await added.command('CLUSTER', 'INFO')).toContain('cluster_known_nodes:1');
    await cluster.waitUntilStable();
  });
});

test('the sentinels of the tests put the replica in the place of a frozen master', async () => {
  const group = await startSentinels({ downAfterMs: 500 });
  try {
    expect((await group.currentMaster()).port).toBe(group.master.port);
    group.master.freeze();
    await eventually(
      'the replica is the master',
      async () => (await group.currentMaster().catch(() => group.master)).port === group.replicas[0]!.port,
      20_000,
    );
  } finally {
    await group.stop();
  }
});

describe('the proxy of the tests', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let proxy: Awaited<ReturnType<typeof startTcpProxy>>;
  beforeAll(async () => {
    redis = await startRedis();
    proxy = await startTcpProxy(redis.port);
  });
  afterEach(() => proxy.pass());
  afterAll(async () => {
    await proxy.stop();
    await redis.stop();
  });

  test('holds bytes while it stalls, and delivers them afterwards', async () => {
    const client = await connect(proxy.url('redis'));
    proxy.stall();
    const pong = client.ping();
    expect(await answersWithin(100, pong)).toBe(false);
    await proxy.pass();
    expect(await pong).toBe('PONG');
    client.destroy();
  });

  test('is late in each direction', async () => {
    const client = await connect(proxy.url('redis'));
    await proxy.delay(50);
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: 10 }, () => client.ping()));
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(99);
    client.destroy();
  });

  test('refuses new connections and leaves the open ones', async () => {
    const client = await connect(proxy.url('redis'));
    proxy.refuse();
    expect(await client.ping()).toBe('PONG');
    await expect(connect(proxy.url('redis'))).rejects.toThrow('ECONNREFUSED');
    client.destroy();
  });

  test('resets all connections, and takes them again', async () => {
    const client = await connect(proxy.url('redis'));
    proxy.stall();
    const lost = expect(client.ping()).rejects.toThrow();
    proxy.reset();
    await lost;
    await expect(connect(proxy.url('redis'))).rejects.toThrow('ECONNREFUSED');
    await proxy.pass();
    const again = await connect(proxy.url('redis'));
    expect(await again.ping()).toBe('PONG');
    again.destroy();
  });
});
