import { findCommand } from '../tools/harness/installed.mjs';
import { prepare } from '../tools/setup/prepare.mjs';
import { fill } from './fill.mjs';
import { median, tableOf, writeTable } from './report.mjs';
import { startServers } from './servers.mjs';
import { strategyCases } from './strategies.mjs';
import { load } from './wrk.mjs';

/**
 * `npm run bench`: what a read and a write cost, against a bare Fastify route and webdis in the same run, and then what
 * authentication and limits do (limits.mjs). Rounds are
 * interleaved, so that a machine that slows down slows down everybody; medians are reported, and written to
 * docs/benchmarks.md. `npm run bench -- <case> …` measures these cases and their peers, and writes nothing. BENCH_ROUNDS,
 * BENCH_SECONDS and BENCH_KEYS say how often, how long and of how many keys.
 */
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7);
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 4);
/** A third fits into the 64 MiB that L1 has here. */
const KEYS = Number(process.env['BENCH_KEYS'] ?? 100_000);
const VALUE = { text: 'x'.repeat(1000 - '{"text":""}'.length) };
const PUT_BODY = JSON.stringify({ value: VALUE });

const missing = ['wrk', 'webdis', 'redis-server', 'taskset'].filter((name) => findCommand(name) === null);
if (missing.length > 0) {
  console.error(`npm run bench needs ${missing.join(', ')}: sudo apt-get install wrk webdis redis-server util-linux`);
  process.exit(1);
}
await prepare({ build: true });

const getBody = JSON.stringify({ key: 'bench:0', value: VALUE });
const putBody = JSON.stringify({
  key: 'bench:0',
  status: 'updated',
  metadata: {
    created_at: '2026-01-15T10:15:00.000Z',
    updated_at: '2026-01-15T10:15:00.000Z',
    expires_at: '2026-01-15T11:15:00.000Z',
    version: '1768472100000042',
    size_bytes: 1000,
    compression_ratio: 1,
    replicated_to: [],
  },
  cache_layers: ['L1', 'L2'],
});
const servers = await startServers({ getBody, putBody, keys: KEYS, value: JSON.stringify(VALUE) });
const { fastify, webdis, onRedis, embedded, onCluster, pair } = servers;

/** @param {{ url: string, apiKey: string }} api */
const keyOf = (api) => ({ headers: [`X-API-Key: ${api.apiKey}`] });
const env = { BENCH_KEYS: String(KEYS), BENCH_BODY: PUT_BODY };
const webdisEnv = { ...env, BENCH_BODY: JSON.stringify(VALUE) };

/** @param {number} span */
const bulk = (span) => ({ ...env, BENCH_SPAN: String(span) });

/**
 * @typedef {object} Case
 * @property {string} peer the case that it is compared with
 * @property {number} [target]
 * @property {(seconds: number) => Promise<import('./wrk.mjs').Measurement>} run
 */
/** @type {Record<string, Case>} */
const CASES = {
  'fastify-get': { peer: 'fastify-get', run: (seconds) => load(fastify.url, 'one-key.lua', { seconds, env }) },
  'l1-get': {
    peer: 'fastify-get',
    target: 0.75,
    run: (seconds) => load(onRedis.url, 'one-key.lua', { seconds, env, ...keyOf(onRedis) }),
  },
  'webdis-get': {
    peer: 'fastify-get',
    run: (seconds) => load(webdis.url, 'webdis-get.lua', { seconds, env: webdisEnv }),
  },
  'l2-get-redis': {
    peer: 'fastify-get',
    target: 0.42,
    run: (seconds) => load(onRedis.url, 'many-keys.lua', { seconds, env, ...keyOf(onRedis) }),
  },
  'l2-get-embedded': {
    peer: 'fastify-get',
    run: (seconds) => load(embedded.url, 'many-keys.lua', { seconds, env, ...keyOf(embedded) }),
  },
  'fastify-put': { peer: 'fastify-put', run: (seconds) => load(fastify.url, 'put.lua', { seconds, env }) },
  'put-redis': {
    peer: 'fastify-put',
    target: 0.35,
    run: (seconds) => load(onRedis.url, 'put.lua', { seconds, env, ...keyOf(onRedis) }),
  },
  'webdis-put': {
    peer: 'fastify-put',
    run: (seconds) => load(webdis.url, 'webdis-put.lua', { seconds, env: webdisEnv }),
  },
  'put-embedded': {
    peer: 'fastify-put',
    run: (seconds) => load(embedded.url, 'put.lua', { seconds, env, ...keyOf(embedded) }),
  },
  'l3-get-cluster': {
    peer: 'fastify-get',
    run: (seconds) => load(onCluster.url, 'many-keys.lua', { seconds, env, ...keyOf(onCluster) }),
  },
  'put-cluster': {
    peer: 'fastify-put',
    run: (seconds) => load(onCluster.url, 'put.lua', { seconds, env, ...keyOf(onCluster) }),
  },
  'fastify-mget': {
    peer: 'fastify-mget',
    run: (seconds) => load(fastify.url, 'bulk-get.lua', { seconds, env: bulk(KEYS) }),
  },
  'bulk-get-100-redis': {
    peer: 'fastify-mget',
    target: 0.6,
    run: (seconds) => load(onRedis.url, 'bulk-get.lua', { seconds, env: bulk(KEYS), ...keyOf(onRedis) }),
  },
  'bulk-get-100-l1': {
    peer: 'fastify-mget',
    run: (seconds) => load(onRedis.url, 'bulk-get.lua', { seconds, env: bulk(100), ...keyOf(onRedis) }),
  },
  'l1-get-2-processes': { peer: 'fastify-get', run: (seconds) => loadPair('one-key.lua', seconds) },
  ...strategyCases(servers, { keys: KEYS, body: PUT_BODY }),
  'put-2-processes': { peer: 'fastify-put', run: (seconds) => loadPair('put.lua', seconds) },
};
const only = process.argv.slice(2);
const wanted = only.length === 0 ? Object.keys(CASES) : only;
const peers = wanted.flatMap((name) => CASES[name]?.peer ?? []);
const names = Object.keys(CASES).filter((name) => wanted.includes(name) || peers.includes(name));

/** @type {Map<string, import('./wrk.mjs').Measurement[]>} */
const measured = new Map(names.map((name) => [name, []]));
try {
  console.log('Filling the stores …');
  await Promise.all([onRedis, embedded, onCluster].map((api) => fill(api, KEYS, PUT_BODY)));
  await Promise.all([webdisSet(), ...pair.map((api) => fill(api, 1, PUT_BODY))]);
  servers.pinSource();
  for (let round = 0; round <= ROUNDS; round++) {
    for (const name of names) {
      const result = await CASES[name]?.run(round === 0 ? 1 : SECONDS);
      // The first round warms up.
      if (round > 0 && result) measured.get(name)?.push(result);
    }
    if (round > 0)
      console.log(
        `round ${round}/${ROUNDS}: ${names.map((name) => `${name} ${Math.round(measured.get(name)?.at(-1)?.requestsPerSecond ?? 0)}`).join('  ')}`,
      );
  }
} finally {
  await servers.stop();
}

const table = report();
console.log(`\n${table}`);
if (only.length === 0) {
  writeTable('requests', 'npm run bench', `${ROUNDS} interleaved rounds of ${SECONDS} s`, table);
  await import('./limits.mjs');
}

async function webdisSet() {
  const response = await fetch(`${webdis.url}/SET/bench:0`, { method: 'PUT', body: getBody });
  if (!response.ok) throw new Error(`webdis does not take a value: ${response.status}`);
}

/**
 * Loads both processes of the pair at once, which tell each other of every write.
 *
 * @param {string} script @param {number} seconds @returns {Promise<import('./wrk.mjs').Measurement>}
 */
async function loadPair(script, seconds) {
  const both = await Promise.all(
    pair.map((api) => load(api.url, script, { seconds, env, connections: 32, ...keyOf(api) })),
  );
  return {
    requestsPerSecond: both.reduce((sum, { requestsPerSecond }) => sum + requestsPerSecond, 0),
    p50Ms: Math.max(...both.map(({ p50Ms }) => p50Ms)),
    p99Ms: Math.max(...both.map(({ p99Ms }) => p99Ms)),
  };
}

/** @param {string} name @param {'requestsPerSecond' | 'p50Ms' | 'p99Ms'} figure */
function medianOf(name, figure) {
  return median((measured.get(name) ?? []).map((one) => one[figure]));
}

function report() {
  const rows = names.map((name) => {
    const { peer = 'fastify-get', target } = CASES[name] ?? {};
    const ratios = (measured.get(name) ?? []).map(
      (one, round) => one.requestsPerSecond / (measured.get(peer)?.[round]?.requestsPerSecond ?? NaN),
    );
    const ratio = median(ratios);
    const p50Ratio = medianOf(name, 'p50Ms') / medianOf(peer, 'p50Ms');
    return [
      name,
      Math.round(medianOf(name, 'requestsPerSecond')).toLocaleString('en'),
      ratio.toFixed(2),
      target?.toFixed(2) ?? '',
      medianOf(name, 'p50Ms').toFixed(2),
      p50Ratio.toFixed(2),
      medianOf(name, 'p99Ms').toFixed(2),
    ];
  });
  const head = ['case', 'requests/s', '× Fastify', 'target', 'p50 ms', 'p50 × Fastify', 'p99 ms'];
  return tableOf(head, rows);
}
