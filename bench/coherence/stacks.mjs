import path from 'node:path';
import { ApiNodes } from '../../tools/harness/coherence/nodes.mjs';
import {
  cutBackplane,
  forbidListening,
  freeze,
  freezeNode,
  killNode,
} from '../../tools/harness/coherence/scenarios.mjs';
import { startRedisCluster } from '../../tools/harness/redis-cluster.mjs';
import { startRedis } from '../../tools/harness/redis-process.mjs';
import { startTcpProxy } from '../../tools/harness/tcp-proxy.mjs';
import { createTemporaryFolder } from '../../tools/harness/tied-process.mjs';
import { GRACE_SECONDS } from './run-scenario.mjs';

/** @typedef {import('./run-scenario.mjs').Fault} Fault */

/**
 * @typedef {object} Stack
 * @property {ApiNodes} nodes
 * @property {() => number[]} redisPorts of those that carry the backplane
 * @property {Record<string, Fault | undefined>} scenarios
 * @property {() => Promise<void>} stop
 */

const NODES = 3;
const FREEZE_MS = 3000;
const SETTINGS = { CACHE__LAYERS__L1__OUTAGE_GRACE: String(GRACE_SECONDS) };
/** What Redis has acknowledged is its to keep: here it does, so that nothing is lost but by our fault. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];

/** @type {Record<string, Fault | undefined>} */
const WITH_ANY_STORE = {
  'all well': undefined,
  'API process killed': (stage) => killNode(stage, 1),
  'API process frozen 3 s': (stage) => freezeNode(stage, 1, FREEZE_MS),
};

/** @type {Record<string, Fault>} */
const WITH_A_BACKPLANE = {
  'backplane cut again and again': cutBackplane,
  'backplane cut for good': forbidListening,
};

/** @type {Record<string, (databaseUrl: string) => Promise<Stack>>} */
export const STACKS = {
  async redis(databaseUrl) {
    const server = await startDurable();
    const proxy = await startTcpProxy(server.port);
    // The last node can be cut off from everything.
    const urls = [server.url, server.url, proxy.url('redis')];
    const nodes = await start(databaseUrl, (index) => ({ REDIS_URL: urls[index] ?? '' }));
    return {
      nodes,
      redisPorts: () => [server.port],
      scenarios: {
        ...WITH_ANY_STORE,
        ...WITH_A_BACKPLANE,
        'one node cut off': async (_, ms) => {
          proxy.stall();
          await wait(ms);
          await proxy.pass();
        },
        'Redis frozen 3 s': () => freeze(server.current, FREEZE_MS),
        'Redis killed': () => server.killAndRestart(),
      },
      stop: async () => {
        await nodes.stop();
        await proxy.stop();
        await server.stop();
      },
    };
  },

  async cluster(databaseUrl) {
    const cluster = await startRedisCluster();
    const nodes = await start(databaseUrl, () => ({ REDIS_CLUSTER_NODES: cluster.addresses }));
    return {
      nodes,
      redisPorts: () => portsOf(cluster),
      scenarios: { ...WITH_ANY_STORE, ...WITH_A_BACKPLANE, ...failingMaster(cluster) },
      stop: async () => {
        await nodes.stop();
        await cluster.stop();
      },
    };
  },

  async 'Redis above a cluster'(databaseUrl) {
    const [server, cluster] = await Promise.all([startDurable(), startRedisCluster()]);
    const nodes = await start(databaseUrl, () => ({ REDIS_URL: server.url, REDIS_CLUSTER_NODES: cluster.addresses }));
    return {
      nodes,
      redisPorts: () => portsOf(cluster),
      scenarios: {
        ...WITH_ANY_STORE,
        ...WITH_A_BACKPLANE,
        'L2 frozen 3 s': () => freeze(server.current, FREEZE_MS),
        'L2 killed': () => server.killAndRestart(),
        ...failingMaster(cluster),
      },
      stop: async () => {
        await nodes.stop();
        await Promise.all([server.stop(), cluster.stop()]);
      },
    };
  },

  async embedded(databaseUrl) {
    const folder = createTemporaryFolder('coherence');
    const nodes = await start(databaseUrl, () => ({ DATA_DIR: path.join(folder.path, 'data') }));
    return {
      nodes,
      redisPorts: () => [],
      scenarios: WITH_ANY_STORE,
      stop: async () => {
        await nodes.stop();
        folder.remove();
      },
    };
  },
};

/** @param {string} databaseUrl @param {(index: number) => Record<string, string>} envOf */
async function start(databaseUrl, envOf) {
  const nodes = new ApiNodes((index) => ({ DATABASE_URL: databaseUrl, ...SETTINGS, ...envOf(index) }));
  await nodes.start(NODES);
  return nodes;
}

/** A Redis that comes back with what it had. */
async function startDurable() {
  const folder = createTemporaryFolder('redis');
  let current = await startRedis({ dir: folder.path, args: DURABLE });
  const { port, url } = current;
  return {
    port,
    url,
    get current() {
      return current;
    },
    async killAndRestart() {
      await current.kill9();
      current = await startRedis({ port, dir: folder.path, args: DURABLE });
    },
    async stop() {
      await current.stop();
      folder.remove();
    },
  };
}

/**
 * @param {Awaited<ReturnType<typeof startRedisCluster>>} cluster
 * @returns {Record<string, Fault>}
 */
function failingMaster(cluster) {
  return {
    'a master frozen 1.5 s': async () => freeze(await cluster.masterOf(0), 1500),
    'a master killed': async () => {
      const master = await cluster.masterOf(0);
      await master.kill9();
      await takenOver(cluster, master.id);
      await master.restart();
      await cluster.waitUntilStable();
    },
  };
}

/** @param {Awaited<ReturnType<typeof startRedisCluster>>} cluster @param {string} formerId */
async function takenOver(cluster, formerId) {
  for (;;) {
    const now = await cluster.masterOf(0).catch(() => undefined);
    if (now && now.id !== formerId) return;
    await wait(50);
  }
}

/** @param {Awaited<ReturnType<typeof startRedisCluster>>} cluster */
function portsOf({ nodes }) {
  return nodes.map(({ port }) => port);
}

/** @param {number} ms @returns {Promise<void>} */
function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
