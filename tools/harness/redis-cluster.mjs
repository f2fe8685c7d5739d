import { eventually } from './eventually.mjs';
import { findCommand } from './installed.mjs';
import { infoField, redisCommand } from './redis-command.mjs';
import { startRedis } from './redis-process.mjs';
import { createTemporaryFolder, findFreePort } from './tied-process.mjs';

const SLOTS = 16_384;
const STABLE_WITHIN_MS = 30_000;

/**
 * @typedef {object} ClusterNode
 * @property {string} id as CLUSTER MYID says; kept over a restart
 * @property {number} port
 * @property {string} url
 * @property {import('node:child_process').ChildProcess} process the one that runs, or ran last
 * @property {(...command: string[]) => Promise<string>} command sends it to this node
 * @property {() => void} freeze stops it from running, with its connections left open
 * @property {() => void} thaw
 * @property {() => Promise<void>} kill9
 * @property {() => Promise<void>} restart on the same port and with what it knew of the cluster; its data is gone
 *
 * @typedef {object} RedisCluster
 * @property {ClusterNode[]} nodes the masters first, then the replicas, then those that were added
 * @property {string} addresses `host:port,…` of the nodes that it was started with
 * @property {() => Promise<ClusterNode>} addNode starts one more, empty, which the cluster does not know yet
 * @property {(keyOrSlot: string | number) => Promise<ClusterNode>} masterOf
 * @property {() => Promise<void>} waitUntilStable all slots are served, and all nodes that run see the same cluster, with replicas linked and no slot on the move
 * @property {() => Promise<void>} stop
 */

/**
 * Starts a real Redis Cluster on free ports. Slots without a master do not take those of the others with them.
 *
 * @param {{ masters?: number, replicasPerMaster?: number, nodeTimeoutMs?: number, args?: string[] }} [options]
 * @returns {Promise<RedisCluster>} stable
 */
export async function startRedisCluster({ masters = 3, replicasPerMaster = 1, nodeTimeoutMs = 5000, args = [] } = {}) {
  if (!findCommand('redis-server')) throw new Error('a Redis Cluster needs redis-server in PATH');
  const settings = ['--cluster-node-timeout', String(nodeTimeoutMs), ...args];
  const size = masters * (1 + replicasPerMaster);
  /** @type {Awaited<ReturnType<typeof startNode>>[]} */
  const nodes = [];
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.remove()));
  };
  const addNode = async () => {
    const node = await startNode(settings);
    nodes.push(node);
    return node;
  };

  try {
    await Promise.all(Array.from({ length: size }, addNode));
    await join(nodes, masters);
    await waitUntilStable(nodes);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    nodes,
    addresses: nodes.map(({ port }) => `127.0.0.1:${port}`).join(','),
    addNode,
    async masterOf(keyOrSlot) {
      // The widest view: a node that was taken out knows but itself.
      const views = await readViews(nodes);
      const view = views.reduce((widest, one) => (one.length > widest.length ? one : widest), []);
      const asked = nodes.find((node) => node.isRunning());
      const slot =
        typeof keyOrSlot === 'number' ? keyOrSlot : Number(await asked?.command('CLUSTER', 'KEYSLOT', keyOrSlot));
      const owner = view.find(({ ranges }) => ranges.some(([first, last]) => first <= slot && slot <= last));
      const node = nodes.find(({ id }) => id === owner?.id);
      if (!node) throw new Error(`no node serves slot ${slot}`);
      return node;
    },
    waitUntilStable: () => waitUntilStable(nodes),
    stop,
  };
}

/** @param {string[]} settings */
async function startNode(settings) {
  const [port, busPort] = [await findFreePort(), await findFreePort()];
  const folder = createTemporaryFolder('redis-node');
  const args = [
    ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-require-full-coverage', 'no'],
    ...['--repl-diskless-sync-delay', '0', ...settings],
  ];
  const start = () => startRedis({ port, dir: folder.path, args });
  let redis = await start();
  let frozen = false;
  const command = (/** @type {string[]} */ ...parts) => redisCommand(port, parts);
  return {
    id: await command('CLUSTER', 'MYID'),
    port,
    busPort,
    url: `redis://127.0.0.1:${port}`,
    get process() {
      return redis.process;
    },
    command,
    freeze() {
      frozen = true;
      redis.freeze();
    },
    thaw() {
      frozen = false;
      redis.thaw();
    },
    kill9: () => redis.kill9(),
    async restart() {
      frozen = false;
      await redis.kill9();
      redis = await start();
    },
    isRunning: () => !frozen && redis.process.exitCode === null && redis.process.signalCode === null,
    async remove() {
      await redis.kill9();
      folder.remove();
    },
  };
}

/** @typedef {Awaited<ReturnType<typeof startNode>>} StartedNode */

/** Makes one cluster of new nodes. @param {StartedNode[]} nodes @param {number} masters */
async function join(nodes, masters) {
  const share = SLOTS / masters;
  await Promise.all(
    nodes.map(async (node, index) => {
      // Were all epochs alike, the nodes would have to settle their order first.
      await node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
      if (index >= masters) return;
      const [first, next] = [Math.round(index * share), Math.round((index + 1) * share)];
      await node.command('CLUSTER', 'ADDSLOTSRANGE', String(first), String(next - 1));
    }),
  );
  // Each meets each, which is sooner done than told on from node to node.
  await Promise.all(
    nodes.flatMap((node, index) =>
      nodes
        .slice(index + 1)
        .map(({ port, busPort }) => node.command('CLUSTER', 'MEET', '127.0.0.1', String(port), String(busPort))),
    ),
  );
  await eventually(
    'every node knows every other',
    async () =>
      (await readViews(nodes)).every(
        (view) => view.length === nodes.length && view.every(({ flags }) => !flags.includes('handshake')),
      ),
    STABLE_WITHIN_MS,
  );
  await Promise.all(
    nodes
      .slice(masters)
      .map((replica, index) => replica.command('CLUSTER', 'REPLICATE', nodes[index % masters]?.id ?? '')),
  );
}

/** @param {StartedNode[]} nodes */
function waitUntilStable(nodes) {
  return eventually(
    'the cluster is stable',
    async () => {
      const running = nodes.filter((node) => node.isRunning());
      const views = await readViews(running);
      const widest = views.reduce((a, b) => (b.length > a.length ? b : a), []);
      const runningIds = new Set(running.map(({ id }) => id));
      const members = running.filter(({ id }) => widest.some((known) => known.id === id));
      const memberViews = views.filter((_, index) => members.includes(/** @type {StartedNode} */ (running[index])));
      if (!memberViews.every((view) => isSettled(view, runningIds) && layout(view) === layout(widest))) return false;
      return (await Promise.all(members.map(isWell))).every(Boolean);
    },
    STABLE_WITHIN_MS,
  );
}

/** Whether the node serves, and has its data where it is a replica. @param {StartedNode} node */
async function isWell(node) {
  const [cluster, replication] = await Promise.all([
    node.command('CLUSTER', 'INFO'),
    node.command('INFO', 'replication'),
  ]);
  if (infoField(cluster, 'cluster_state') !== 'ok' || infoField(cluster, 'cluster_slots_ok') !== String(SLOTS)) {
    return false;
  }
  return infoField(replication, 'role') === 'master' || infoField(replication, 'master_link_status') === 'up';
}

/** @typedef {{ id: string, flags: string[], masterId: string, linked: boolean, ranges: [number, number][], onTheMove: boolean }} KnownNode */

/** @param {KnownNode[]} view @param {Set<string>} runningIds */
function isSettled(view, runningIds) {
  return view.every(({ id, flags, linked, onTheMove }) => {
    if (onTheMove || flags.includes('handshake') || flags.includes('fail?')) return false;
    return runningIds.has(id) ? linked && !flags.includes('fail') : flags.includes('fail');
  });
}

/** Who is there, who serves what and who replicates whom, as a text to compare. @param {KnownNode[]} view */
function layout(view) {
  return view
    .map(({ id, masterId, ranges }) => `${id} ${masterId} ${ranges.join()}`)
    .sort()
    .join('\n');
}

/** What each of these nodes says of the cluster; nothing for one that does not answer. @param {StartedNode[]} nodes */
function readViews(nodes) {
  return Promise.all(
    nodes.map((node) =>
      node.isRunning()
        ? node.command('CLUSTER', 'NODES').then(parseView, () => /** @type {KnownNode[]} */ ([]))
        : /** @type {KnownNode[]} */ ([]),
    ),
  );
}

/** @param {string} text of CLUSTER NODES @returns {KnownNode[]} */
function parseView(text) {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [id = '', , flags = '', masterId = '', , , , link, ...slots] = line.split(' ');
      return {
        id,
        flags: flags.split(','),
        masterId,
        linked: link === 'connected',
        ranges: slots
          .filter((slot) => !slot.startsWith('['))
          .map((slot) => {
            const [first = '', last = first] = slot.split('-');
            return [Number(first), Number(last)];
          }),
        onTheMove: slots.some((slot) => slot.startsWith('[')),
      };
    });
}
