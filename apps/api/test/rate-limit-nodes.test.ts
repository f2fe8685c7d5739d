import { type Health, healthSchema, nodeListSchema } from '@cache-system/contracts';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { redisCommand } from '../../../tools/harness/redis-command.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { type Answer, Client, entryPath } from './support/client.js';
import { mintKey } from './support/keys.js';
import { onRealStores, type Service, startService } from './support/service.js';

const SETTINGS = {
  CACHE__LAYERS__L2__DEADLINE_MS: '2000',
};
const AT_ONCE = 16;

onRealStores('three nodes on one Redis', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let service: Service;
  let others: Awaited<ReturnType<typeof startApi>>[];
  let nodes: Client[];

  beforeAll(async () => {
    redis = await startRedis();
    service = await startService({ ...SETTINGS, REDIS_URL: redis.url });
    const env = { LOG_LEVEL: 'warn', ...service.stores, ...SETTINGS, REDIS_URL: redis.url };
    others = await Promise.all([1, 2].map((index) => startApi({ env: { ...env, NODE_NAME: `node-${index}` } })));
    nodes = [service.client, ...others.map(({ url }) => new Client(url, service.client.headers))];
    await service.client.put(entryPath('read'), { value: 1 });
    await eventually('all nodes know of each other', async () =>
      (await Promise.all(nodes.map(countPeers))).every((n) => n === 3),
    );
  });
  afterAll(async () => {
    for (const node of nodes) node.close();
    await Promise.all([service.stop(), ...others.map((api) => api.stop())]);
    await redis.stop();
  });

  async function countPeers(node: Client): Promise<number> {
    const { api_nodes: known } = nodeListSchema.parse((await node.get('/v1/admin/nodes')).json);
    return known.filter(({ state }) => state === 'serving').length;
  }

  /** The same key on each node. A token comes back every minute. */
  async function limitedTo(burst: number): Promise<Client[]> {
    const { api_key: key } = await mintKey(service.client, {
      rate_limit: { requests_per_minute: 1, burst_size: burst },
    });
    return nodes.map((node) => node.with({ 'x-api-key': key }));
  }

  const read = (client: Client) => client.get(entryPath('read'));

  /** Sends to a node, several at a time, until it has refused as many. */
  async function flood(client: Client, send: (client: Client) => Promise<Answer> = read): Promise<number> {
    let passed = 0;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let refused = 0; refused < 3;) {
          const { status } = await send(client);
          if (status === 200) passed++;
          else refused++;
        }
      }),
    );
    return passed;
  }

  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);

  test('let through together what the limit says, to within two percent, all flooded at once', async () => {
    const clients = await limitedTo(3000);
    const startedAtMs = Date.now();
    const passed = await Promise.all(clients.map((client) => flood(client)));
    const refilled = Math.ceil((Date.now() - startedAtMs) / 60_000);
    expect(sum(passed)).toBeGreaterThanOrEqual(3000 * 0.98);
    expect(sum(passed)).toBeLessThanOrEqual(3000 + refilled);
  });

  test('give a small limit out to the last request and not one more', async () => {
    const clients = await limitedTo(7);
    const answers = await Promise.all(clients.flatMap((client) => Array.from({ length: 10 }, () => read(client))));
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(7);
    expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(8);
  });

  test('ask Redis for far fewer requests than they let through', async () => {
    const [client] = await limitedTo(1_000_000);
    await read(client!);
    // Nodes tell each other all the time that they are there, by scripts too.
    const calls = async () => {
      const text = await redisCommand(redis.port, ['INFO', 'commandstats']);
      return Number(/cmdstat_evalsha:calls=(\d+)/.exec(text)?.[1] ?? 0);
    };
    const before = await calls();
    for (let i = 0; i < 60; i++) await Promise.all(Array.from({ length: 50 }, () => read(client!)));
    expect((await calls()) - before).toBeLessThan(300);
  });

  test('give back what they took in advance and do not use', async () => {
    const [first, second] = await limitedTo(60);
    for (let i = 0; i < 6; i++) expect((await read(first!)).status).toBe(200);
    let passed = 6;
    await eventually(
      'the other node gets everything that is left',
      async () => {
        const { status } = await read(second!);
        if (status === 200) passed++;
        return passed >= 60;
      },
      30_000,
    );
  });

  test('keep their part each while Redis is away, say so, and count together again by themselves', async () => {
    const clients = await limitedTo(300);
    const me = (client: Client) => client.get('/v1/auth/me');
    // Each node has seen the key, and has heard what is left of it.
    for (const client of clients) expect((await me(client)).status).toBe(200);
    const limits = async (node: Client): Promise<NonNullable<Health['components']>[string] | undefined> =>
      healthSchema.parse((await node.get('/v1/monitor/health?detailed=true')).json).components?.['rate_limits'];
    expect((await limits(nodes[1]!))?.status).toBe('healthy');

    redis.freeze();
    const passed = await Promise.all(clients.map((client) => flood(client, me)));
    for (const each of passed) expect(each).toBeGreaterThan(60);
    expect(sum(passed)).toBeGreaterThanOrEqual(250);
    // Parts of a node that are on their way to Redis when it stops may be counted there as well.
    expect(sum(passed)).toBeLessThanOrEqual(300);
    expect(await limits(nodes[1]!)).toMatchObject({ status: 'degraded', error: expect.any(String) as string });

    redis.thaw();
    await eventually('all nodes count together', async () => {
      const states = await Promise.all(nodes.map(limits));
      return states.every((state) => state?.status === 'healthy');
    });
    const fresh = await limitedTo(40);
    const together = await Promise.all(fresh.map((client) => flood(client, me)));
    expect(sum(together)).toBeGreaterThanOrEqual(40);
    expect(sum(together)).toBeLessThanOrEqual(41);
  });
});
