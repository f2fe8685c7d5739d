import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient } from 'redis';
import { startApi } from '../tools/harness/api-process.mjs';
import { startRedisCluster } from '../tools/harness/redis-cluster.mjs';
import { startRedis } from '../tools/harness/redis-process.mjs';
import { startSource } from './source.mjs';
import { COLD_TTL_SECONDS, sourcesConfig } from './strategies.mjs';
import { createTemporaryFolder, findFreePort, spawnTied } from '../tools/harness/tied-process.mjs';

const SERVER_CORE = '0';
const LOAD_CORE = '1';
const START_TIMEOUT_MS = 30_000;
/** Keeps the limiter on and out of the way. */
const LIMITS = {
  RATE_LIMITS__TIERS__ENTERPRISE__REQUESTS_PER_HOUR: '6000000000',
  RATE_LIMITS__TIERS__ENTERPRISE__BURST_SIZE: '10000000',
};

/** @param {{ readonly pid?: number | undefined }} process @param {string} core */
function pin(process, core) {
  execFileSync('taskset', ['-acp', core, String(process.pid)], { stdio: 'ignore' });
}

/**
 * Everything that is measured: each server on the first core; Redis, the cluster, the source and the load on the second.
 *
 * @param {{ getBody: string, putBody: string, keys: number, value: string }} options `keys` of them have the `value`
 */
export async function startServers({ getBody, putBody, keys, value }) {
  const redis = await startRedis();
  pin(redis.process, LOAD_CORE);
  const onRedis = await startApi({ env: { ...LIMITS, CACHE__LAYERS__L1__SIZE_MB: '64', REDIS_URL: redis.url } });
  const embedded = await startApi({ env: { ...LIMITS, CACHE__LAYERS__L1__SIZE_MB: '64' } });
  const cluster = await startRedisCluster({ masters: 3, replicasPerMaster: 0 });
  for (const node of cluster.nodes) pin(node.process, LOAD_CORE);
  const onCluster = await startApi({
    env: { ...LIMITS, CACHE__LAYERS__L1__SIZE_MB: '64', REDIS_CLUSTER_NODES: cluster.addresses },
  });
  const pair = await Promise.all([0, 1].map(() => startPeer(redis.url)));
  const source = await startSource(value);
  const withSources = await startApi({
    env: {
      ...LIMITS,
      CACHE__LAYERS__L1__SIZE_MB: '64',
      REDIS_URL: `${redis.url}/3`,
      CACHE__SOURCES: sourcesConfig(source.url),
    },
  });
  for (const { process } of [onRedis, embedded, onCluster, withSources, ...pair]) pin(process, SERVER_CORE);
  const peerRedisUrl = `${redis.url}/2`;
  await fillRedis(peerRedisUrl, keys, value);
  const fastify = await startFastify(getBody, putBody, peerRedisUrl, source.url);
  const webdis = await startWebdis(redis.port);
  return {
    onRedis,
    embedded,
    onCluster,
    withSources,
    source,
    /** To be called when the stores are filled. */
    pinSource: () => pin(process, LOAD_CORE),
    pair,
    fastify,
    webdis,
    stop: async () => {
      const servers = [onRedis, embedded, onCluster, withSources, ...pair, fastify, webdis];
      await Promise.all(servers.map((server) => server.stop()));
      await Promise.all([redis.stop(), cluster.stop(), source.stop()]);
    },
  };
}

/**
 * One of two processes that share a database of the Redis, which the others do not use.
 *
 * @param {string} redisUrl
 */
function startPeer(redisUrl) {
  return startApi({ env: { ...LIMITS, CACHE__LAYERS__L1__SIZE_MB: '64', REDIS_URL: `${redisUrl}/1` } });
}

/**
 * The values as any service would have them in Redis.
 *
 * @param {string} url @param {number} keys @param {string} value
 */
async function fillRedis(url, keys, value) {
  const client = createClient({ url });
  await client.connect();
  for (let from = 0; from < keys; from += 1000) {
    await client.mSet(Array.from({ length: 1000 }, (_, index) => [`bench:${from + index}`, value]));
  }
  client.destroy();
}

/** @param {string} getBody @param {string} putBody @param {string} redisUrl @param {string} sourceUrl */
async function startFastify(getBody, putBody, redisUrl, sourceUrl) {
  const file = fileURLToPath(new URL('peers/bare-fastify.mjs', import.meta.url));
  const env = {
    ...process.env,
    BENCH_GET_BODY: getBody,
    BENCH_PUT_BODY: putBody,
    BENCH_REDIS_URL: redisUrl,
    BENCH_SOURCE_URL: sourceUrl,
    BENCH_SOURCE_TTL: String(COLD_TTL_SECONDS),
  };
  const server = spawnTied(process.execPath, [file], { env });
  const [, url = ''] = await server.waitForOutput(/listening on (\S+)/, START_TIMEOUT_MS);
  pin(server.process, SERVER_CORE);
  return { url, stop: () => server.end('SIGTERM') };
}

/** @param {number} redisPort */
async function startWebdis(redisPort) {
  const folder = createTemporaryFolder('webdis');
  const port = await findFreePort();
  const file = path.join(folder.path, 'webdis.json');
  const settings = { redis_host: '127.0.0.1', redis_port: redisPort, http_host: '127.0.0.1', http_port: port };
  writeFileSync(
    file,
    JSON.stringify({ ...settings, threads: 1, pool_size: 20, daemonize: false, verbosity: 0, logfile: '/dev/null' }),
  );
  const server = spawnTied('webdis', [file]);
  const url = `http://127.0.0.1:${port}`;
  for (let ready = false; !ready;) {
    ready = await fetch(`${url}/PING`).then(
      (response) => response.ok,
      () => false,
    );
  }
  pin(server.process, SERVER_CORE);
  return {
    url,
    stop: async () => {
      await server.end('SIGKILL');
      folder.remove();
    },
  };
}
