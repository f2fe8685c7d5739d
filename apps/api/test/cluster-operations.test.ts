import { setInterval as every } from 'node:timers/promises';
import { type NodeJob, nodeJobSchema, type NodeList, nodeListSchema, storageNodeSchema } from '@cache-system/contracts';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedisCluster } from '../../../tools/harness/redis-cluster.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { readAudit } from './support/audit.js';
import { type Answer, Client, entryPath } from './support/client.js';
import { expectError, expectExactly, expectViolation } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService, STORES } from './support/service.js';

const NODES = '/v1/admin/nodes';
const ENTRIES = 1000;
const REQUESTS_PER_SECOND = 200;

type Cluster = Awaited<ReturnType<typeof startRedisCluster>>;

async function listNodes(client: Client): Promise<NodeList> {
  return expectExactly(nodeListSchema, (await client.get(NODES)).json);
}

function expectJob(answer: Answer, status = 202): NodeJob {
  expect({ status: answer.status, json: answer.json }).toMatchObject({ status });
  return expectExactly(nodeJobSchema, answer.json);
}

/** Watches a job by its events until it is over, `until` says so, or the node that tells of it is gone. */
async function watch(client: Client, id: string, until: (job: NodeJob) => unknown = () => false): Promise<NodeJob[]> {
  const seen: NodeJob[] = [];
  const closing = new AbortController();
  try {
    const response = await fetch(`${client.url}${NODES}/jobs/${id}/events`, {
      headers: client.headers,
      signal: closing.signal,
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    let text = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const events = (text + chunk).split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) {
        const [, json = 'null'] = /^id: \S+\nevent: progress\ndata: (.*)$/.exec(event) ?? [];
        seen.push(expectExactly(nodeJobSchema, JSON.parse(json)));
        if (until(seen.at(-1)!)) closing.abort();
      }
    }
  } catch (error) {
    if ((error as Error).name !== 'AbortError' && !/terminated/.test((error as Error).message)) throw error;
  }
  return seen;
}

/** Reads and writes steadily, half of the reads past the memory of the node; each write is read back in the end. */
function startTraffic(client: Client) {
  const stopping = new AbortController();
  const problems: string[] = [];
  const written = new Map<string, number>();
  const pending = new Set<Promise<void>>();
  let requests = 0;
  const request = async (number: number) => {
    const key = `entry:${number % ENTRIES}`;
    const isWrite = number % 3 === 0;
    const headers: Record<string, string> = number % 2 === 0 ? { 'cache-control': 'no-cache' } : {};
    const answer = isWrite
      ? await client.put(entryPath(key), { value: number })
      : await client.get(entryPath(key), { headers });
    if (answer.status !== 200) problems.push(`${isWrite ? 'PUT' : 'GET'} ${key}: ${answer.status} ${answer.text}`);
    else if (isWrite) written.set(key, number);
  };
  const running = (async () => {
    try {
      for await (const _ of every(2000 / REQUESTS_PER_SECOND, undefined, { signal: stopping.signal })) {
        for (let each = 0; each < 2; each++) {
          const one = request(requests++)
            .catch((error: unknown) => void problems.push(String(error)))
            .finally(() => pending.delete(one));
          pending.add(one);
        }
      }
    } catch (error) {
      if ((error as Error).name !== 'AbortError') throw error;
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await running;
      await Promise.all(pending);
      for (const [key, number] of written) {
        const { json } = await client.get(entryPath(key), { headers: { 'cache-control': 'no-cache' } });
        if ((json as { value?: unknown }).value !== number) problems.push(`${key} is not ${number}`);
      }
      return { requests, problems };
    },
  };
}

describe('a Redis Cluster behind two API nodes', () => {
  let cluster: Cluster;
  /** The one that carries out what it is asked to, and the one with the traffic. */
  let first: Service;
  let second: { client: Client; stop: () => Promise<unknown> };
  let firstEnv: Record<string, string>;
  const data = createTemporaryFolder('cluster-operations');

  beforeAll(async () => {
    cluster = await startRedisCluster();
    const env = { REDIS_CLUSTER_NODES: cluster.addresses, BOOTSTRAP_API_KEY: 'the-key-of-both-nodes-in-this-test' };
    firstEnv = { ...env, NODE_NAME: 'first', DATA_DIR: data.path };
    first = await startService(firstEnv);
    const api = await startApi({ env: { LOG_LEVEL: 'warn', ...first.stores, ...env, NODE_NAME: 'second' } });
    second = { client: new Client(api.url, { 'x-api-key': api.apiKey }), stop: () => api.stop() };
    for (let from = 0; from < ENTRIES; from += 50) {
      const keys = Array.from({ length: 50 }, (_, index) => `entry:${from + index}`);
      await Promise.all(keys.map((key) => second.client.put(entryPath(key), { value: 'first' })));
    }
  });
  afterAll(async () => {
    await first.stop();
    await second.stop();
    second.client.close();
    await cluster.stop();
    data.remove();
  });

  /** The node that has the jobs once the first was killed: the second where they share a database. */
  const survivor = () => (STORES === 'real' ? second.client : first.client);

  test('is shown with its nodes', async () => {
    const { storage_nodes: nodes, cluster: status, api_nodes: apiNodes } = await listNodes(first.client);
    expect(status).toMatchObject({ state: 'ok', slots_ok: 16_384, masters: 3, replicas: 3, warnings: [] });
    expect(apiNodes.map(({ name, is_self: isSelf, state }) => ({ name, isSelf, state }))).toEqual([
      { name: 'first', isSelf: true, state: 'serving' },
      { name: 'second', isSelf: false, state: 'serving' },
    ]);
    const inCluster = nodes.filter(({ type }) => type === 'redis_cluster');
    expect(inCluster.map(({ role, health }) => `${role} ${health}`)).toEqual([
      ...['master healthy', 'master healthy', 'master healthy'],
      ...['replica healthy', 'replica healthy', 'replica healthy'],
    ]);
    const [master] = inCluster;
    expect(master).toMatchObject({
      id: cluster.nodes[0]!.id,
      address: `127.0.0.1:${cluster.nodes[0]!.port}`,
      slots: { count: 5461, ranges: [{ from: 0, to: 5460 }], moving: 0 },
      replicas: [cluster.nodes[3]!.id],
    });
    expect(master?.keys).toBeGreaterThan(200);
    const replica = (await first.client.get(`${NODES}/${cluster.nodes[3]!.id}`)).json;
    expect(expectExactly(storageNodeSchema, replica)).toMatchObject({
      role: 'replica',
      master_id: master?.id,
      replication: { link: 'up' },
    });
    expect((await first.client.get(`${NODES}/${apiNodes[1]!.id}`)).json).toMatchObject({ name: 'second' });
    expectError(await first.client.get(`${NODES}/${'0'.repeat(40)}`), 404, 'RESOURCE_NOT_FOUND');
  });

  test('takes a node in and gives one up in full use, although the process that does it is killed', async () => {
    const traffic = startTraffic(second.client);
    const node = await cluster.addNode();

    const accepted = await first.client.post(NODES, { address: `127.0.0.1:${node.port}`, role: 'master' });
    const job = expectJob(accepted);
    expect(job).toMatchObject({ kind: 'add', node: { id: node.id, role: 'master' }, created_by: 'bootstrap' });
    expect(accepted.headers['location']).toBe(`${NODES}/jobs/${job.id}`);
    const conflict = await first.client.delete(`${NODES}/${cluster.nodes[0]!.id}`);
    expect(expectError(conflict, 409, 'CACHE_KEY_CONFLICT')).toMatchObject({ reason: 'job_active', job_id: job.id });

    const before = await watch(first.client, job.id, ({ slots_moved: moved }) => moved > 500);
    expect(before.at(-1)).toMatchObject({ state: 'running', runs_on: 'first', resumed: 0, slots_total: 4096 });
    await first.api.kill9();
    if (STORES !== 'real') first = await startService(firstEnv);
    await eventually('the job runs again', async () => {
      return expectJob(await survivor().get(`${NODES}/jobs/${job.id}`), 200).resumed === 1;
    });
    const after = await watch(survivor(), job.id);
    expect(after.at(-1)).toMatchObject({
      state: 'completed',
      slots_total: after.at(-1)!.slots_moved,
      error: null,
      steps: ['meet', 'move_slots', 'settle'].map((name) => ({ name, state: 'completed' })),
      warnings: ['3 replicas for 4 masters, and cache.layers.l3.replication_factor of 2 wants 4'],
    });
    const { cluster: status, storage_nodes: nodes } = await listNodes(survivor());
    const counts = nodes.filter(({ role, slots }) => role === 'master' && slots).map(({ slots }) => slots?.count);
    expect(counts).toEqual([4096, 4096, 4096, 4096]);
    expect(status).toMatchObject({ masters: 4, slots_ok: 16_384, slots_moving: 0 });

    const leaver = cluster.nodes[0]!;
    const removal = expectJob(await survivor().delete(`${NODES}/${leaver.id}`));
    const seen = await watch(survivor(), removal.id);
    expect(seen.at(-1)).toMatchObject({ kind: 'remove', state: 'completed', slots_total: 4096, slots_moved: 4096 });
    expect(seen.length).toBeGreaterThan(1);
    const left = await listNodes(survivor());
    expect(left.cluster).toMatchObject({ state: 'ok', masters: 3, replicas: 3, warnings: [] });
    expect(left.storage_nodes.map(({ id }) => id)).not.toContain(leaver.id);
    await cluster.waitUntilStable();

    const { requests, problems } = await traffic.stop();
    expect(problems).toEqual([]);
    expect(requests).toBeGreaterThan(100);
    for (let entry = 0; entry < ENTRIES; entry++) {
      const { status } = await second.client.get(entryPath(`entry:${entry}`), {
        headers: { 'cache-control': 'no-cache' },
      });
      expect({ entry, status }).toEqual({ entry, status: 200 });
    }

    // Whoever knows the end already need not come again.
    const events = `${NODES}/jobs/${removal.id}/events`;
    const id = /^id: (\S+)/.exec((await survivor().get(events)).text)?.[1] ?? '';
    expect((await survivor().get(events, { headers: { 'last-event-id': id } })).status).toBe(204);
    const { json } = await survivor().get(`${NODES}/jobs`);
    expect((json as { jobs: NodeJob[] }).jobs.map((each) => each.id)).toEqual([removal.id, job.id]);
  });

  test('stops moving slots when the job is cancelled, and can be made whole again', async () => {
    const node = cluster.nodes[0]!;
    const client = survivor();
    const job = expectJob(await client.post(NODES, { address: `127.0.0.1:${node.port}`, role: 'master' }));
    await watch(client, job.id, ({ slots_moved: moved }) => moved > 100);
    expectJob(await client.post(`${NODES}/jobs/${job.id}/cancel`));
    expect((await watch(client, job.id)).at(-1)).toMatchObject({ state: 'cancelled' });
    const { slots_moved: moved } = expectJob(await client.get(`${NODES}/jobs/${job.id}`), 200);
    expect(moved).toBeLessThan(4096);
    expect((await listNodes(client)).cluster).toMatchObject({ slots_ok: 16_384, slots_moving: 0, masters: 4 });
    const refused = await client.post(`${NODES}/jobs/${job.id}/resume`);
    expect(expectError(refused, 409, 'CACHE_KEY_CONFLICT')).toMatchObject({ reason: 'job_over' });
    const removal = expectJob(await client.delete(`${NODES}/${node.id}`));
    expect((await watch(client, removal.id)).at(-1)).toMatchObject({ state: 'completed', slots_total: moved });
    const told = async (action: string) => {
      const { entries } = await readAudit(client, { action, limit: '2' });
      return entries.map((entry) => [entry.action, entry.actor.name, entry.target?.id]);
    };
    expect(await told('node.*')).toEqual([
      ['node.remove', 'bootstrap', node.id],
      ['node.add', 'bootstrap', node.id],
    ]);
    expect(await told('node_job.*')).toEqual([['node_job.cancel', 'bootstrap', job.id]]);
  });

  test('refuses what makes no sense, and says why', async () => {
    const client = survivor();
    const add = (address: string, fields: object = {}) => client.post(NODES, { address, ...fields });
    const redis = await startRedis();
    expectViolation(await add(`127.0.0.1:${redis.port}`), 'address', /without cluster-enabled/);
    await redis.stop();
    expectViolation(await add(`127.0.0.1:${redis.port}`), 'address', /cannot be reached/);
    expectViolation(await add('nowhere'), 'address', /must be host:port/);
    expectViolation(await add('127.0.0.1:70000'), 'address', /port/);
    const known = `127.0.0.1:${cluster.nodes[1]!.port}`;
    expect(expectError(await add(known), 409, 'CACHE_KEY_CONFLICT')).toMatchObject({ reason: 'already_member' });
    const spare = cluster.nodes[0]!;
    const at = `127.0.0.1:${spare.port}`;
    expectViolation(await add(at, { replica_of: '0'.repeat(40) }), 'replica_of', /no node/);
    expectViolation(await add(at, { role: 'master', replica_of: '0'.repeat(40) }), 'replica_of', /replicates nobody/);
    await spare.command('CLUSTER', 'ADDSLOTS', '1');
    expectViolation(await add(at), 'address', /is not empty: it has slots/);
    const remove = (id: string) => client.delete(`${NODES}/${id}`);
    expectError(await remove('0'.repeat(40)), 404, 'RESOURCE_NOT_FOUND');
    const last = expectError(await remove(cluster.nodes[1]!.id), 409, 'CACHE_KEY_CONFLICT');
    expect(last).toMatchObject({ reason: 'too_few_masters' });
    for (const { id } of (await listNodes(client)).api_nodes) {
      expect(expectError(await remove(id), 409, 'CACHE_KEY_CONFLICT')).toMatchObject({ reason: 'api_node' });
    }
    for (const path of ['', '/events']) {
      expectError(await client.get(`${NODES}/jobs/not-there${path}`), 404, 'RESOURCE_NOT_FOUND');
    }
    const { api_key: key } = await mintKey(client, { permissions: ['admin:read'] });
    const reader = client.with({ 'x-api-key': key });
    expectError(await reader.post(NODES, { address: at }), 403, 'INSUFFICIENT_PERMISSIONS');
  });
});

test('without a Redis Cluster there is nothing to add a node to', async () => {
  const service = await startService();
  const { cluster, storage_nodes: nodes } = await listNodes(service.client);
  expect(cluster).toBeNull();
  expect(nodes).toMatchObject([{ type: STORES === 'real' ? 'redis' : 'embedded', health: 'healthy' }]);
  const answer = await service.client.post(NODES, { address: '127.0.0.1:7000' });
  expect(expectError(answer, 409, 'CACHE_KEY_CONFLICT')).toMatchObject({ reason: 'no_cluster' });
  await service.stop();
});
