import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startApi } from '../tools/harness/api-process.mjs';
import { startRedis } from '../tools/harness/redis-process.mjs';
import { prepare } from '../tools/setup/prepare.mjs';
import { fill } from './fill.mjs';
import { median, tableOf, writeTable } from './report.mjs';
import { load } from './wrk.mjs';

/**
 * `npm run bench:limits`: what authentication, permissions and rate limits cost of the throughput of a route, beside the same
 * route of the same service without them (`peers/unguarded.mjs`). Rounds are interleaved; a ratio is the median of those of
 * each round, and written to docs/benchmarks.md. LIMITS_ROUNDS and LIMITS_SECONDS say how often and how long.
 */
const ROUNDS = Number(process.env['LIMITS_ROUNDS'] ?? 25);
const SECONDS = Number(process.env['LIMITS_SECONDS'] ?? 1);
const BODY = JSON.stringify({ value: { text: 'x'.repeat(1000 - '{"text":""}'.length) } });
const TIER = {
  RATE_LIMITS__TIERS__ENTERPRISE__REQUESTS_PER_HOUR: '1000000000',
  RATE_LIMITS__TIERS__ENTERPRISE__BURST_SIZE: '10000000',
};
const EVERY_LIMIT = Object.fromEntries(
  ['ENDPOINT', 'IP', 'GLOBAL'].flatMap((dimension) => [
    [`RATE_LIMITS__${dimension}__ENABLED`, 'true'],
    [`RATE_LIMITS__${dimension}__LIMIT`, '1000000000'],
    [`RATE_LIMITS__${dimension}__BURST`, '10000000'],
  ]),
);

await prepare({ build: true });
const redis = await startRedis();
const pin = (/** @type {{ readonly pid?: number | undefined }} */ { pid }, /** @type {string} */ core) =>
  execFileSync('taskset', ['-acp', core, String(pid)], { stdio: 'ignore' });
pin(redis.process, '1');

const entry = fileURLToPath(new URL('peers/unguarded.mjs', import.meta.url));
const start = async (/** @type {Record<string, string>} */ env, /** @type {string | undefined} */ from) => {
  const api = await startApi({ env: { ...env, REDIS_URL: redis.url }, ...(from && { entry: from }) });
  pin(api.process, '0');
  return api;
};
const services = {
  without: await start({}, entry),
  'key limit': await start(TIER, undefined),
  'all limits': await start({ ...TIER, ...EVERY_LIMIT }, undefined),
};
/** User and system time, in hundredths of a second (proc(5)). */
const ticks = (/** @type {{ process: { readonly pid?: number | undefined } }} */ { process: { pid } }) => {
  const [, , , , , , , , , , , user, system] =
    readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ').map(Number) ?? [];
  return (user ?? 0) + (system ?? 0);
};
const routes = { 'l1-get': 'one-key.lua', put: 'put.lua' };

/** @type {Map<string, number[]>} */
const measured = new Map();
for (let round = 0; round <= ROUNDS; round++) {
  for (const [route, script] of Object.entries(routes)) {
    for (const [name, api] of Object.entries(services)) {
      if (round === 0) await fill(api, 1, BODY);
      const env = { BENCH_KEYS: '1000', BENCH_BODY: BODY };
      const headers = [`X-API-Key: ${api.apiKey}`];
      const seconds = round === 0 ? 1 : SECONDS;
      const before = ticks(api);
      const { requestsPerSecond } = await load(api.url, script, { seconds, env, headers, connections: 16 });
      const perCore = (requestsPerSecond * seconds * 100) / (ticks(api) - before);
      const label = `${route} ${name}`;
      // The first round warms up.
      if (round > 0) measured.set(label, [...(measured.get(label) ?? []), perCore]);
    }
  }
}
await Promise.all(Object.values(services).map((api) => api.stop()));
await redis.stop();

const rows = Object.keys(routes).flatMap((route) =>
  Object.keys(services).map((name) => {
    const own = measured.get(`${route} ${name}`) ?? [];
    const without = measured.get(`${route} without`) ?? [];
    const ratio = median(own.map((each, round) => each / (without[round] ?? NaN)));
    const target = name === 'without' ? '' : '0.85';
    return [route, name, Math.round(median(own)).toLocaleString('en'), ratio.toFixed(2), target];
  }),
);
const table = tableOf(['route', 'service', 'requests per second of processor', '× without', 'target'], rows);
console.log(table);
writeTable('limits', 'npm run bench:limits', `${ROUNDS} interleaved rounds of ${SECONDS} s`, table);
