import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually } from './eventually.mjs';
import { findCommand } from './installed.mjs';
import { infoField, redisCommand } from './redis-command.mjs';
import { startRedis } from './redis-process.mjs';
import { createTemporaryFolder, findFreePort, spawnTied } from './tied-process.mjs';

const MASTER_NAME = 'cache-master';
const START_TIMEOUT_MS = 10_000;
const AGREE_WITHIN_MS = 30_000;

/**
 * @typedef {object} SentinelProcess
 * @property {number} port
 * @property {() => void} freeze stops it from running, with its connections left open
 * @property {() => void} thaw
 * @property {() => Promise<void>} kill9
 *
 * @typedef {import('./redis-process.mjs').RedisProcess} RedisProcess
 *
 * @typedef {object} Sentinels
 * @property {RedisProcess} master the first one
 * @property {RedisProcess[]} replicas
 * @property {SentinelProcess[]} sentinels
 * @property {string} masterName
 * @property {string} addresses `host:port,…` of the sentinels
 * @property {() => Promise<RedisProcess>} currentMaster as the sentinels that answer see it; rejects while they differ
 * @property {() => Promise<void>} stop
 */

/**
 * Starts a real Redis with replicas, and sentinels that watch them: as many as it takes for a majority have to agree.
 *
 * @param {{ sentinels?: number, replicas?: number, downAfterMs?: number }} [options]
 * @returns {Promise<Sentinels>} when every sentinel knows every other and every replica
 */
export async function startSentinels({ sentinels: count = 3, replicas: replicaCount = 1, downAfterMs = 1000 } = {}) {
  if (!findCommand('redis-server')) throw new Error('Redis Sentinel needs redis-server in PATH');
  /** @type {RedisProcess[]} */
  const servers = [];
  /** @type {SentinelProcess[]} */
  const sentinels = [];
  const stop = async () => {
    await Promise.all([...sentinels, ...servers].map((one) => one.kill9()));
  };
  const start = async (/** @type {string[]} */ ...args) => {
    const server = await startRedis({ args: ['--repl-diskless-sync-delay', '0', ...args] });
    servers.push(server);
    return server;
  };

  try {
    const master = await start();
    const replicas = await Promise.all(
      Array.from({ length: replicaCount }, () => start('--replicaof', `127.0.0.1 ${master.port}`)),
    );
    await eventually(
      'the replicas have the data',
      async () => {
        const info = await redisCommand(master.port, ['INFO', 'replication']);
        return (info.match(/state=online/g) ?? []).length === replicaCount;
      },
      AGREE_WITHIN_MS,
    );
    const quorum = Math.floor(count / 2) + 1;
    const started = Array.from({ length: count }, async () => {
      sentinels.push(await startSentinel(master.port, quorum, downAfterMs));
    });
    await Promise.all(started);
    await eventually(
      'the sentinels know each other and the replicas',
      async () => {
        const lines = await Promise.all(sentinels.map(readMaster));
        return lines.every(
          (line) =>
            line.includes('status=ok') &&
            line.includes(`slaves=${replicaCount}`) &&
            line.endsWith(`sentinels=${count}`),
        );
      },
      AGREE_WITHIN_MS,
    );
    return {
      master,
      replicas,
      sentinels,
      masterName: MASTER_NAME,
      addresses: sentinels.map(({ port }) => `127.0.0.1:${port}`).join(','),
      async currentMaster() {
        const lines = await Promise.all(sentinels.map((one) => readMaster(one).catch(() => '')));
        const ports = new Set(lines.filter(Boolean).map((line) => Number(/address=[^,]*:(\d+)/.exec(line)?.[1])));
        const server = servers.find(({ port }) => ports.has(port));
        if (ports.size !== 1 || !server) throw new Error(`the sentinels see ${ports.size} masters`);
        return server;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @param {number} masterPort @param {number} quorum @param {number} downAfterMs @returns {Promise<SentinelProcess>} */
async function startSentinel(masterPort, quorum, downAfterMs) {
  const port = await findFreePort();
  const folder = createTemporaryFolder('sentinel');
  // A sentinel writes what it learns into its own file, and does not start without one.
  const file = path.join(folder.path, 'sentinel.conf');
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder.path}`,
    `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${masterPort} ${quorum}`,
    `sentinel down-after-milliseconds ${MASTER_NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${MASTER_NAME} ${downAfterMs * 10}`,
  ];
  writeFileSync(file, `${settings.join('\n')}\n`);
  const server = spawnTied('redis-server', [file, '--sentinel']);
  const kill9 = async () => {
    await server.end('SIGKILL');
    folder.remove();
  };
  try {
    await server.waitForOutput(/\+monitor master/, START_TIMEOUT_MS);
  } catch (error) {
    await kill9();
    throw error;
  }
  return {
    port,
    freeze: () => void server.process.kill('SIGSTOP'),
    thaw: () => void server.process.kill('SIGCONT'),
    kill9,
  };
}

/** @param {SentinelProcess} sentinel @returns {Promise<string>} `name=…,status=…,address=…,slaves=…,sentinels=…` */
async function readMaster({ port }) {
  return infoField(await redisCommand(port, ['INFO', 'sentinel']), 'master0') ?? '';
}
