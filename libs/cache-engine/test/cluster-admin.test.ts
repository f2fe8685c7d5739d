import { setInterval as every } from 'node:timers/promises';
import { createCluster } from 'redis';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startRedisCluster } from '../../../tools/harness/redis-cluster.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { ClusterAdmin } from '../src/cluster/cluster-admin.js';
import type { ChangeProgress, ClusterChange } from '../src/cluster/cluster-change.js';
import { ClusterChangeRefused, ClusterChangeStalled } from '../src/cluster/errors.js';
import { parseClusterNodes, slotsByMaster } from '../src/cluster/topology.js';
import { parseClusterNodes as parseNodeAddresses } from '../src/redis/address.js';

type Cluster = Awaited<ReturnType<typeof startRedisCluster>>;
type ClusterNode = Awaited<ReturnType<Cluster['addNode']>>;

const ENTRIES = 3000;
/** As large as a value may be. */
const LARGE = Buffer.alloc(64 * 1024 * 1024, 'a value ').toString();
const WANTED = { masters: 4, copies: 2 };
const RUN_ON = new AbortController().signal;

const addressOf = ({ port }: ClusterNode) => ({ host: '127.0.0.1', port });
const keyOf = (entry: number) => `entry:${entry}`;

function adminOf(cluster: Cluster, stallAfterMs = 30_000): ClusterAdmin {
  const { addresses: seeds, access } = parseNodeAddresses(cluster.addresses);
  return new ClusterAdmin({ access, seeds, stallAfterMs });
}

async function connect(cluster: Cluster) {
  const client = createCluster({
    rootNodes: cluster.nodes.filter(({ process }) => process.signalCode === null).map(({ url }) => ({ url })),
    commandOptions: { timeout: 2000 },
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Counts what it is told, and calls back at each slot. */
function progressOf(onMoved: (slots: number) => void = () => undefined) {
  const seen = { steps: [] as string[], slots: 0, keys: 0 };
  const progress: ChangeProgress = {
    began: (step) => seen.steps.push(step),
    planned: () => undefined,
    moved: (_slot, keys) => {
      seen.slots++;
      seen.keys += keys;
      onMoved(seen.slots);
    },
  };
  return { seen, progress };
}

async function shares(admin: ClusterAdmin): Promise<number[]> {
  const { topology } = await admin.describe();
  return [...slotsByMaster(topology).values()].map(({ length }) => length).sort((one, other) => one - other);
}

/** Reads and writes two hundred times a second until stopped; each write is read back at the end. */
function startTraffic(client: Awaited<ReturnType<typeof connect>>) {
  const stopping = new AbortController();
  const problems: string[] = [];
  const written = new Map<string, string>();
  const pending = new Set<Promise<void>>();
  let requests = 0;
  const request = async (number: number) => {
    const key = keyOf(number % ENTRIES);
    try {
      if (number % 2 === 0) {
        const value = `written ${number}`;
        await client.set(key, value);
        written.set(key, value);
      } else if ((await client.get(key)) === null) problems.push(`${key} was not there`);
    } catch (error) {
      problems.push(`${key}: ${String(error)}`);
    }
  };
  const running = (async () => {
    try {
      for await (const _ of every(10, undefined, { signal: stopping.signal })) {
        for (let each = 0; each < 2; each++) {
          const one = request(requests++).finally(() => pending.delete(one));
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
      for (const [key, value] of written) {
        const found = await client.get(key);
        if (found !== value) problems.push(`${key} is ${String(found)} instead of ${value}`);
      }
      return { requests, problems };
    },
  };
}

/** Carries a change out until so many slots are moved, and drops everything then, as a process that is killed does. */
async function carryOutUntil(slots: number, cluster: Cluster, change: ClusterChange): Promise<void> {
  const admin = adminOf(cluster);
  const killed = new AbortController();
  const { progress } = progressOf((moved) => {
    if (moved < slots) return;
    killed.abort();
    admin.close();
  });
  await expect(admin.carryOut(change, progress, killed.signal)).rejects.toThrow('aborted');
}

describe('a cluster in use', () => {
  let cluster: Cluster;
  let client: Awaited<ReturnType<typeof connect>>;
  let admin: ClusterAdmin;
  let fourth: ClusterNode;
  beforeAll(async () => {
    cluster = await startRedisCluster();
    client = await connect(cluster);
    admin = adminOf(cluster);
    await Promise.all(Array.from({ length: ENTRIES }, (_, entry) => client.set(keyOf(entry), 'first')));
    await client.set(await keyOfTheFirst(), LARGE);
    fourth = await cluster.addNode();
  });
  afterAll(async () => {
    admin.close();
    client.destroy();
    await cluster.stop();
  });

  /** A key that the first master has until it leaves. */
  async function keyOfTheFirst(): Promise<string> {
    for (let number = 0; ; number++) {
      const key = `large:${number}`;
      if (Number(await cluster.nodes[0]!.command('CLUSTER', 'KEYSLOT', key)) < 4096) return key;
    }
  }
  async function emptySlotOf(node: ClusterNode): Promise<number> {
    const { topology } = await admin.describe();
    for (const slot of topology.members.find(({ id }) => id === node.id)!.slots) {
      if ((await node.command('CLUSTER', 'COUNTKEYSINSLOT', String(slot))) === '0') return slot;
    }
    throw new Error('no slot of the node is empty');
  }
  const add = (node: ClusterNode, role: 'auto' | 'master' | 'replica' = 'auto') =>
    admin.planAddition({ address: addressOf(node), role }, WANTED);
  const finish = async (change: ClusterChange) => {
    const { seen, progress } = progressOf();
    await admin.carryOut(change, progress, RUN_ON);
    return seen;
  };

  test('takes a fourth master with its share of slots, although the one who moves them dies on the way', async () => {
    const traffic = startTraffic(client);
    const change = await add(fourth);
    expect(change).toMatchObject({ role: 'master', id: fourth.id });
    await carryOutUntil(1000, cluster, change);
    const { slots, steps } = await finish(change);
    // The few that were on the move when it died come on top.
    expect(slots).toBeGreaterThan(3000);
    expect(slots).toBeLessThanOrEqual(3096);
    expect(steps).toEqual(['meet', 'move_slots', 'settle']);
    expect(await shares(admin)).toEqual([4096, 4096, 4096, 4096]);
    const { requests, problems } = await traffic.stop();
    expect(problems).toEqual([]);
    expect(requests).toBeGreaterThan(50);
    await cluster.waitUntilStable();
  });

  test('gives another one up, whose replica goes to a master that has none; it knows nobody then', async () => {
    const traffic = startTraffic(client);
    const leaver = cluster.nodes[0]!;
    const change = await admin.planRemoval(leaver.id);
    await carryOutUntil(1000, cluster, change);
    await finish(change);
    expect(await shares(admin)).toEqual([5461, 5461, 5462]);
    expect((await traffic.stop()).problems).toEqual([]);
    await cluster.waitUntilStable();
    expect(await leaver.command('CLUSTER', 'INFO')).toContain('cluster_known_nodes:1');
    expect(await leaver.command('DBSIZE')).toBe('0');
    expect((await client.get(await keyOfTheFirst())) === LARGE).toBe(true);
    const { topology } = await admin.describe();
    const masters = topology.members.filter(({ role }) => role === 'master').map(({ id }) => id);
    expect(topology.members.flatMap(({ masterId }) => masterId ?? []).sort()).toEqual(masters.sort());
  });

  test('takes the same node back at once, as replica, and makes slots whole that were left half moved', async () => {
    type Interruption = (key: string, source: ClusterNode, target: ClusterNode) => Promise<unknown>;
    const setSlot = async (key: string, node: ClusterNode, ...change: string[]) =>
      node.command('CLUSTER', 'SETSLOT', await node.command('CLUSTER', 'KEYSLOT', key), ...change);
    const begin: Interruption = async (key, source, target) => {
      await setSlot(key, target, 'IMPORTING', source.id);
      await setSlot(key, source, 'MIGRATING', target.id);
    };
    const migrate = (key: string, source: ClusterNode, target: ClusterNode, ...options: string[]) =>
      source.command('MIGRATE', '127.0.0.1', String(target.port), key, '0', '1000', ...options);
    const interruptions: Interruption[] = [
      (key, source, target) => setSlot(key, target, 'IMPORTING', source.id),
      (key, source, target) => setSlot(key, source, 'MIGRATING', target.id),
      async (key, source, target) => {
        await begin(key, source, target);
        await migrate(key, source, target);
      },
      async (key, source, target) => {
        await begin(key, source, target);
        // The answer was lost: both have the key.
        await migrate(key, source, target, 'COPY');
        await client.set(key, 'first, and changed');
      },
      async (key, source, target) => {
        await begin(key, source, target);
        await migrate(key, source, target);
        await setSlot(key, target, 'NODE', target.id);
      },
    ];
    // One after the other: two servers that migrate to each other at once wait for each other in vain.
    const interrupted: { key: string; owner: string; value: string | null }[] = [];
    for (const [index, interrupt] of interruptions.entries()) {
      const key = keyOf(2 * index + 1);
      const source = await cluster.masterOf(key);
      const target = cluster.nodes.slice(1, 3).find(({ id }) => id !== source.id)!;
      await interrupt(key, source, target);
      interrupted.push({ key, owner: target.id, value: await client.get(key) });
    }
    // Each of two holds the other for its master: nobody would ever take it.
    const [one, other] = cluster.nodes.slice(1, 3) as [ClusterNode, ClusterNode];
    const lost = await emptySlotOf(one);
    await one.command('CLUSTER', 'SETSLOT', String(lost), 'NODE', other.id);
    expect((await admin.describe()).topology.lostSlots).toEqual([lost]);
    const spare = cluster.nodes[0]!;
    const change = await admin.planAddition({ address: addressOf(spare), role: 'auto' }, { masters: 3, copies: 3 });
    expect(change.role).toBe('replica');
    await finish(change);
    await cluster.waitUntilStable();
    expect(await spare.command('INFO', 'replication')).toContain('master_link_status:up');
    const { topology } = await admin.describe();
    expect(topology).toMatchObject({ isAgreed: true, lostSlots: [] });
    for (const { key, owner, value } of interrupted) {
      expect({ key, owner: (await cluster.masterOf(key)).id }).toEqual({ key, owner });
      expect(value).toMatch(/^first/);
      expect(await client.get(key)).toBe(value);
    }
    await finish(await admin.planRemoval(spare.id));
    await cluster.waitUntilStable();
    expect(await spare.command('CLUSTER', 'INFO')).toContain('cluster_known_nodes:1');
  });

  test('refuses what makes no sense', async () => {
    const refusal = (planned: Promise<unknown>) =>
      planned.then(
        () => 'none',
        (error: unknown) => (error instanceof ClusterChangeRefused ? error.reason : error),
      );
    const redis = await startRedis();
    const strange = await cluster.addNode();
    expect(await refusal(add(fourth))).toBe('already_member');
    expect(
      await refusal(admin.planAddition({ address: { host: '127.0.0.1', port: redis.port }, role: 'auto' }, WANTED)),
    ).toBe('not_cluster_enabled');
    await redis.stop();
    expect(
      await refusal(admin.planAddition({ address: { host: '127.0.0.1', port: redis.port }, role: 'auto' }, WANTED)),
    ).toBe('unreachable');
    const replicaOf = (id: string) =>
      refusal(admin.planAddition({ address: addressOf(strange), role: 'replica', replicaOf: id }, WANTED));
    expect(await replicaOf('0'.repeat(40))).toBe('unknown_node');
    expect(await replicaOf(cluster.nodes[4]!.id)).toBe('not_a_master');
    await strange.command('CLUSTER', 'ADDSLOTS', '1');
    expect(await refusal(add(strange))).toBe('not_empty');
    expect(await refusal(admin.planRemoval(strange.id))).toBe('unknown_node');
    expect(await refusal(admin.planRemoval(fourth.id))).toBe('too_few_masters');
  });
});

describe('a cluster that fails while it is changed', () => {
  let cluster: Cluster;
  let admin: ClusterAdmin;
  let node: ClusterNode;
  let change: ClusterChange;
  beforeEach(async () => {
    cluster = await startRedisCluster({ nodeTimeoutMs: 1000 });
    admin = adminOf(cluster);
    const client = await connect(cluster);
    await Promise.all(Array.from({ length: ENTRIES }, (_, entry) => client.set(keyOf(entry), `value ${entry}`)));
    client.destroy();
    node = await cluster.addNode();
    change = await admin.planAddition({ address: addressOf(node), role: 'master' }, WANTED);
  });
  afterEach(async () => {
    admin.close();
    await cluster.stop();
  });

  const expectAllThere = async () => {
    const client = await connect(cluster);
    const found = await Promise.all(Array.from({ length: ENTRIES }, (_, entry) => client.get(keyOf(entry))));
    client.destroy();
    expect(found).toEqual(found.map((_, entry) => `value ${entry}`));
  };

  test('says that it waits for the new node, and goes on once that is back', async () => {
    const impatient = adminOf(cluster, 1500);
    const { progress } = progressOf((slots) => {
      if (slots === 500) node.freeze();
    });
    const stalled: unknown = await impatient.carryOut(change, progress, RUN_ON).catch((error: unknown) => error);
    impatient.close();
    expect(stalled).toBeInstanceOf(ClusterChangeStalled);
    expect((stalled as Error).message).toMatch(/^no progress for 2 s: \S/);
    node.thaw();
    await admin.carryOut(change, progressOf().progress, RUN_ON);
    expect(await shares(admin)).toEqual([4096, 4096, 4096, 4096]);
    await expectAllThere();
  });

  test('goes on after a failover that has left the new node without a master for the slot which it was to take', async () => {
    const key = keyOf(1);
    const source = await cluster.masterOf(key);
    const slot = await source.command('CLUSTER', 'KEYSLOT', key);
    const met = new AbortController();
    const { progress } = progressOf();
    const began = (step: string) => {
      if (step === 'move_slots') met.abort();
    };
    await expect(admin.carryOut(change, { ...progress, began }, met.signal)).rejects.toThrow('aborted');
    const view = async () => parseClusterNodes(await node.command('CLUSTER', 'NODES'), addressOf(node));
    await eventually('the new node knows it', async () =>
      (await view()).some(({ id, slots }) => id === source.id && slots.includes(Number(slot))),
    );
    await node.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source.id);
    await eventually('a replica has taken over', async () => {
      const { topology } = await admin.describe();
      const replica = topology.members.find(({ masterId }) => masterId === source.id);
      // One that is not linked to its master at the moment refuses.
      await cluster.nodes
        .find(({ id }) => id === replica?.id)
        ?.command('CLUSTER', 'FAILOVER')
        .catch(() => undefined);
      return topology.members.some(({ id, role }) => id === source.id && role === 'replica');
    });
    await eventually(
      'the new node knows no master of it',
      async () => !(await view()).some(({ slots }) => slots.includes(Number(slot))),
    );

    await admin.carryOut(change, progressOf().progress, RUN_ON);
    expect(await shares(admin)).toEqual([4096, 4096, 4096, 4096]);
    await expectAllThere();
  });

  test('goes on with the replica of a master that is killed, and forgets the dead one when told to', async () => {
    const killed = cluster.nodes[0]!;
    let death: Promise<void> | undefined;
    const { progress } = progressOf((slots) => {
      if (slots === 500) death = killed.kill9();
    });
    await admin.carryOut(change, progress, RUN_ON);
    await death;
    expect(await shares(admin)).toEqual([0, 4096, 4096, 4096, 4096]);
    await cluster.waitUntilStable();
    await expectAllThere();

    await admin.carryOut(await admin.planRemoval(killed.id), progressOf().progress, RUN_ON);
    expect(await node.command('CLUSTER', 'NODES')).not.toContain(killed.id);
  });
});
