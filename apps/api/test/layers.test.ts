import { ApiNodes } from '../../../tools/harness/coherence/nodes.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startPostgres } from '../../../tools/harness/postgres-process.mjs';
import { type ClusterNode, startRedisCluster } from '../../../tools/harness/redis-cluster.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { type Answer, Client, entryPath } from './support/client.js';
import { expectError, expectWritten } from './support/expectations.js';
import { onRealStores, STORES } from './support/service.js';

const DEADLINE_MS = 500;
/** A busy machine may be late; what hangs is later. */
const SLACK_MS = 3000;
const ROUNDS = 40;
const CONSISTENCY_LEVELS = ['eventual', 'quorum', 'all'];

/** The servers are its own, so one of the two runs is enough: that which has Redis. */

let postgres: Awaited<ReturnType<typeof startPostgres>>;
let cluster: Awaited<ReturnType<typeof startRedisCluster>>;
beforeAll(async () => {
  if (STORES !== 'real') return;
  [postgres, cluster] = await Promise.all([startPostgres(), startRedisCluster()]);
});
afterAll(async () => {
  if (STORES !== 'real') return;
  await Promise.all([postgres.stop(), cluster.stop()]);
});

/** Nodes over the cluster, each with a client. */
async function startNodes(count: number, envOf: (index: number) => Record<string, string>) {
  const nodes = new ApiNodes((index) => ({
    DATABASE_URL: postgres.url,
    REDIS_CLUSTER_NODES: cluster.addresses,
    CACHE__LAYERS__L2__DEADLINE_MS: String(DEADLINE_MS),
    CACHE__LAYERS__L3__DEADLINE_MS: String(DEADLINE_MS),
    ...envOf(index),
  }));
  await nodes.start(count);
  const clients = nodes.processes.map(({ url, apiKey }) => new Client(url, { 'x-api-key': apiKey }));
  const stop = async () => {
    for (const client of clients) client.close();
    await nodes.stop();
  };
  return { clients, stop };
}

const layerOf = ({ headers }: Answer) => headers['x-cache-layer'];

function heldIn(answer: Answer): readonly string[] {
  return (answer.json as { cache_layers: string[] }).cache_layers;
}

/** The master of a key, and its replica, as that master sees it. */
async function serversOf(key: string): Promise<{ master: ClusterNode; replica: ClusterNode }> {
  const master = await cluster.masterOf(`cache{}:default:${key}`);
  const view = await master.command('CLUSTER', 'NODES');
  const replica = cluster.nodes.find(({ id }) => new RegExp(`^${id} .*slave ${master.id}`, 'm').test(view));
  if (!replica) throw new Error('the master has no replica');
  return { master, replica };
}

/** A failure that says which layer it is of, and when to come again. */
function expectUnavailable(answer: Answer): void {
  if (answer.status === 504) {
    expect(expectError(answer, 504, 'CACHE_TIMEOUT')).toEqual({ layer: 'L3', deadline_ms: DEADLINE_MS });
  } else expect(expectError(answer, 502, 'CACHE_UNAVAILABLE')).toEqual({ layer: 'L3' });
  expect(answer.headers['retry-after']).toMatch(/^\d+$/);
}

onRealStores('with Redis above a cluster', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let stop: () => Promise<void>;
  let one: Client;
  let other: Client;

  beforeAll(async () => {
    redis = await startRedis();
    const started = await startNodes(2, () => ({ REDIS_URL: redis.url }));
    stop = started.stop;
    [one, other] = started.clients as [Client, Client];
  });
  afterAll(async () => {
    await stop();
    await redis.stop();
  });

  /** A node reads from L2 only what it can be sure of; a while after it has started that is everything. */
  async function storedInL2(key: string): Promise<void> {
    await one.put(entryPath(key), { value: { n: 1 } });
    await eventually('the other node reads it from L2', async () => {
      await other.delete(entryPath(key, '?cascade=false'));
      return layerOf(await other.get(entryPath(key))) === 'L2';
    });
  }

  test('an answer names the layers that hold the entry', async () => {
    const stored = await one.put(entryPath('k'), { value: { n: 1 } });
    expectWritten(stored, 'created');
    expect(heldIn(stored)).toEqual(['L1', 'L2', 'L3']);
    expect(layerOf(await one.get(entryPath('k')))).toBe('L1');
    const patched = await one.patch(entryPath('k'), { value: { m: 2 } });
    expect(heldIn(patched)).toEqual(['L1', 'L2', 'L3']);
    const counted = await one.post(entryPath('count', '/increment'), { by: 2 });
    expect(heldIn(counted)).toEqual(['L1', 'L2', 'L3']);
    const around = await one.put(entryPath('k', '?strategy=write-around'), { value: 3 });
    expect(heldIn(around)).toEqual(['L3']);
    expect(layerOf(await one.get(entryPath('k')))).toBe('L3');
    expect(layerOf(await one.get(entryPath('k')))).toBe('L1');
  });

  test('a read takes the entry from the first layer that has it, and keeps it in those above', async () => {
    await storedInL2('read');
    expect(layerOf(await other.get(entryPath('read')))).toBe('L1');
    const hit = await other.get(entryPath('read', '?include_metadata=true'));
    expect(hit.json).toMatchObject({ metadata: { cache_layer: 'L1' } });
    await one.put(entryPath('read', '?strategy=write-around'), { value: 2 });
    await eventually('the other node has dropped it', async () => {
      const answer = await other.get(entryPath('read'));
      return (answer.json as { value: unknown }).value === 2;
    });
    const missed = await other.get(entryPath('absent'));
    expect(expectError(missed, 404, 'CACHE_KEY_NOT_FOUND')).toMatchObject({ searched_layers: ['L1', 'L2', 'L3'] });
    expect(missed.headers['x-cache-status']).toBe('MISS');
  });

  test('a removal names the layers that had the entry', async () => {
    await storedInL2('gone');
    await one.get(entryPath('gone'));
    const removed = await one.delete(entryPath('gone'));
    expect(removed.status).toBe(204);
    expect(removed.headers['x-deleted-from']).toBe('L1,L2,L3');
    await eventually('the other node has heard it', async () => (await other.get(entryPath('gone'))).status === 404);
    await one.put(entryPath('gone', '?strategy=write-around'), { value: 1 });
    expect((await other.delete(entryPath('gone'))).headers['x-deleted-from']).toBe('L3');
    await one.put(entryPath('gone'), { value: 1 });
    expect((await other.delete(entryPath('gone'))).headers['x-deleted-from']).toBe('L2,L3');
    await eventually('the first node has heard it', async () => (await one.get(entryPath('gone'))).status === 404);
    expectError(await one.delete(entryPath('gone')), 404, 'CACHE_KEY_NOT_FOUND');
  });

  test('a removal without cascade drops the copies in the L1 of every node, and nothing else', async () => {
    await storedInL2('kept');
    // L2 where it can be sure of it.
    expect(['L2', 'L3']).toContain(layerOf(await one.get(entryPath('kept'))));
    expect([layerOf(await one.get(entryPath('kept'))), layerOf(await other.get(entryPath('kept')))]).toEqual([
      'L1',
      'L1',
    ]);
    const dropped = await one.delete(entryPath('kept', '?cascade=false'));
    expect(dropped.headers['x-deleted-from']).toBe('L1');
    expect(layerOf(await one.get(entryPath('kept')))).toBe('L2');
    await eventually('the other node has dropped it', async () => {
      const layer = layerOf(await other.get(entryPath('kept')));
      // Asked too early it has it still, and is asked to drop it again.
      if (layer === 'L1') await one.delete(entryPath('kept', '?cascade=false'));
      return layer === 'L2';
    });
  });

  test('a touch is seen at once on every node', async () => {
    await storedInL2('touched');
    expect((await one.post(entryPath('touched', '/touch'), { ttl: 1000 })).status).toBe(200);
    const ttl = async (client: Client) =>
      /ttl=(\d+)/.exec(String((await client.get(entryPath('touched'))).headers['cache-status']))?.[1];
    expect(Number(await ttl(one))).toBeLessThanOrEqual(1000);
    await eventually('the other node has the new expiry', async () => Number(await ttl(other)) <= 1000);
  });

  test('with L2 down, L3 answers for it and says so; with L2 back, nothing is old', async () => {
    await storedInL2('frozen');
    await storedInL2('removed');
    redis.freeze();
    const written = await one.put(entryPath('frozen'), { value: { n: 2 } });
    expect(written.status).toBe(200);
    expect(heldIn(written)).toEqual(['L1', 'L3']);
    expect((await one.delete(entryPath('removed'))).headers['x-deleted-from']).toBe('L3');
    await eventually('the other node reads from L3', async () => {
      const answer = await other.get(entryPath('frozen'));
      expect(answer.status).toBe(200);
      return layerOf(answer) === 'L3' || (answer.json as { value: { n: number } }).value.n === 2;
    });
    await other.delete(entryPath('frozen', '?cascade=false'));
    const answer = await eventualAnswer(other, 'frozen', 'L3');
    expect(answer.headers['cache-status']).toContain('L2 unavailable');
    expect(answer.json).toMatchObject({ value: { n: 2 } });
    const missed = await other.get(entryPath('removed'));
    expect(expectError(missed, 404, 'CACHE_KEY_NOT_FOUND')).toMatchObject({
      searched_layers: ['L1', 'L3'],
      unavailable_layers: ['L2'],
    });
    redis.thaw();
    await eventually('L2 is read again', async () => {
      await other.delete(entryPath('frozen', '?cascade=false'));
      const now = await other.get(entryPath('frozen'));
      expect(now.json).toMatchObject({ value: { n: 2 } });
      return layerOf(now) === 'L2';
    });
    expectError(await other.get(entryPath('removed')), 404, 'CACHE_KEY_NOT_FOUND');
  });

  test('with L3 down, no change is acknowledged, and none takes longer than the deadline', async () => {
    await storedInL2('down');
    for (const server of cluster.nodes) server.freeze();
    const startedMs = performance.now();
    const changes = await Promise.all([
      one.put(entryPath('down'), { value: 2 }),
      one.put(entryPath('new'), { value: 2 }),
      one.patch(entryPath('down'), { value: { n: 3 } }),
      one.delete(entryPath('down')),
      one.post(entryPath('count', '/increment'), { by: 1 }),
      one.post(entryPath('down', '/touch'), { ttl: 10 }),
    ]);
    const elapsedMs = performance.now() - startedMs;
    for (const server of cluster.nodes) server.thaw();
    changes.forEach(expectUnavailable);
    expect(elapsedMs).toBeLessThan(DEADLINE_MS + SLACK_MS);
    await eventually('writes work', async () => (await one.put(entryPath('down'), { value: 4 })).status < 300);
    for (const client of [one, other]) {
      await eventually('the write is there', async () => {
        const { json } = await client.get(entryPath('down'));
        return (json as { value?: unknown }).value === 4;
      });
    }
  });
});

/** The answer of a node once it comes from a layer. */
async function eventualAnswer(client: Client, key: string, layer: string): Promise<Answer> {
  let answer: Answer | undefined;
  await eventually(`${key} is read from ${layer}`, async () => {
    answer = await client.get(entryPath(key));
    if (layerOf(answer) === layer) return true;
    await client.delete(entryPath(key, '?cascade=false'));
    return false;
  });
  return answer!;
}

onRealStores('with a cluster alone', () => {
  let stop: () => Promise<void>;
  let clients: Client[];

  beforeAll(async () => {
    await cluster.waitUntilStable();
    ({ clients, stop } = await startNodes(3, (index) => ({
      CACHE__LAYERS__L3__CONSISTENCY_LEVEL: CONSISTENCY_LEVELS[index]!,
    })));
  });
  afterAll(() => stop());

  const replicated = (client: Client, key: string) =>
    client.put(entryPath(key), { value: 1, options: { replicate: true } });

  test('there are L1 and L3', async () => {
    const [one, , other] = clients as [Client, Client, Client];
    expect(heldIn(await one.put(entryPath('k'), { value: 1 }))).toEqual(['L1', 'L3']);
    expect(layerOf(await other.get(entryPath('k')))).toBe('L3');
    const missed = await other.get(entryPath('absent'));
    expect(expectError(missed, 404, 'CACHE_KEY_NOT_FOUND')).toMatchObject({ searched_layers: ['L1', 'L3'] });
    expect((await one.delete(entryPath('k'))).headers['x-deleted-from']).toBe('L1,L3');
  });

  test('a write that is to be replicated names the replicas that have it', async () => {
    const { replica } = await serversOf('replicated');
    const [eventual, quorum, all] = clients as [Client, Client, Client];
    const namesOf = (answer: Answer) => expectWritten(answer, 'updated').metadata.replicated_to;
    await eventual.put(entryPath('replicated'), { value: 0 });
    expect(namesOf(await replicated(eventual, 'replicated'))).toEqual([]);
    expect(namesOf(await replicated(quorum, 'replicated'))).toEqual([`127.0.0.1:${replica.port}`]);
    expect(namesOf(await replicated(all, 'replicated'))).toEqual([`127.0.0.1:${replica.port}`]);
    // Only who asks for it waits.
    expect(namesOf(await all.put(entryPath('replicated'), { value: 2 }))).toEqual([]);
  });

  test('a write that too few replicas confirm is a timeout that says the entry is stored, also when they are given up', async () => {
    const { master, replica } = await serversOf('unconfirmed');
    const [eventual, quorum, all] = clients as [Client, Client, Client];
    await eventual.put(entryPath('unconfirmed'), { value: 0 });
    replica.freeze();
    const expectUnconfirmed = async (client: Client) => {
      const answer = await replicated(client, 'unconfirmed');
      const details = expectError(answer, 504, 'CACHE_TIMEOUT');
      expect(details).toMatchObject({ layer: 'L3', stored: true, replicated_to: [], replicas_wanted: 1 });
      expect(answer.headers['retry-after']).toMatch(/^\d+$/);
      const found = await client.get(entryPath('unconfirmed'));
      expect(found.headers['etag']).toBe(`"${String(details['version'])}"`);
    };
    await expectUnconfirmed(quorum);
    await expectUnconfirmed(all);
    await eventually('the cluster has given it up', async () =>
      new RegExp(`^${replica.id} .*slave,fail `, 'm').test(await master.command('CLUSTER', 'NODES')),
    );
    await expectUnconfirmed(all);
    expect((await replicated(eventual, 'unconfirmed')).status).toBe(200);
    replica.thaw();
    await cluster.waitUntilStable();
    await eventually('it is confirmed again', async () => (await replicated(all, 'unconfirmed')).status === 200);
  });

  test('one shard down does not concern the keys of the others', async () => {
    const { master, replica } = await serversOf('lost');
    const elsewhere = await keysElsewhere(master);
    const [one, , other] = clients as [Client, Client, Client];
    for (const key of elsewhere) await one.put(entryPath(key), { value: 1 });
    await one.put(entryPath('lost'), { value: 1 });
    await Promise.all([master.kill9(), replica.kill9()]);
    const startedMs = performance.now();
    expectUnavailable(await one.put(entryPath('lost'), { value: 2 }));
    expect(performance.now() - startedMs).toBeLessThan(DEADLINE_MS + SLACK_MS);
    let failuresMs = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (const key of elsewhere) {
        expect((await one.put(entryPath(key), { value: round })).status).toBe(200);
        expect((await other.get(entryPath(key))).status).toBe(200);
      }
      const askedMs = performance.now();
      expectUnavailable(await one.put(entryPath('lost'), { value: 2 }));
      failuresMs += performance.now() - askedMs;
    }
    // Not each caller waits until a dead shard has had its time.
    expect(failuresMs).toBeLessThan((ROUNDS * DEADLINE_MS) / 2);
  });
});

/** Some keys of each other shard. */
async function keysElsewhere(master: ClusterNode): Promise<string[]> {
  const keys: string[] = [];
  for (let number = 0; keys.length < 6; number++) {
    const key = `elsewhere-${number}`;
    if ((await serversOf(key)).master.id !== master.id) keys.push(key);
  }
  return keys;
}
