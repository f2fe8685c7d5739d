import { startApi } from '../tools/harness/api-process.mjs';
import { startRedis } from '../tools/harness/redis-process.mjs';
import { prepare } from '../tools/setup/prepare.mjs';
import { tableOf, writeTable } from './report.mjs';

/**
 * `npm run bench:tags`: how long it takes to invalidate a tag of 10 entries and one of a million, in turn, on Redis; and
 * whether no entry survives it.
 */
const SIZES = [10, 1_000, 1_000_000];
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 50);
const BATCH = 1000;
const AT_ONCE = 4;

await prepare({ build: true });
const redis = await startRedis();
const limits = {
  RATE_LIMITS__TIERS__ENTERPRISE__REQUESTS_PER_HOUR: '6000000000',
  RATE_LIMITS__TIERS__ENTERPRISE__BURST_SIZE: '10000000',
};
const api = await startApi({ env: { ...limits, CACHE__LAYERS__L1__SIZE_MB: '64', REDIS_URL: redis.url } });

/** @param {string} path @param {object} body @returns {Promise<any>} */
async function post(path, body) {
  const headers = { 'content-type': 'application/json', 'x-api-key': api.apiKey };
  const response = await fetch(api.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return response.json();
}

/** @param {number} size */
async function fill(size) {
  let from = 0;
  const worker = async () => {
    while (from < size) {
      const start = from;
      from += BATCH;
      const count = Math.min(BATCH, size - start);
      const entries = Array.from({ length: count }, (_, index) => ({ key: `${size}:${start + index}`, value: index }));
      await post('/v1/cache/bulk/set', { entries, options: { tags: [`tag of ${size}`], ttl: 86_400 } });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** @param {number[]} times @param {number} part */
const quantile = (times, part) => times.sort((a, b) => a - b)[Math.floor(times.length * part)] ?? NaN;

/** @type {Map<number, number[]>} */
const timesMs = new Map(SIZES.map((size) => [size, []]));
/** @type {Map<number, number>} */
const survivors = new Map();
try {
  for (const size of SIZES) {
    console.log(`storing ${size} entries with one tag …`);
    await fill(size);
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const size of SIZES) {
      const startedAt = performance.now();
      await post('/v1/cache/invalidate', { tags: [`tag of ${size}`] });
      timesMs.get(size)?.push(performance.now() - startedAt);
      if (round > 0) continue;
      const keys = Array.from({ length: Math.min(size, BATCH) }, (_, index) => `${size}:${size - 1 - index}`);
      survivors.set(size, (await post('/v1/cache/bulk/get', { keys })).summary.hits);
    }
  }
} finally {
  await api.stop();
  await redis.stop();
}

const rows = SIZES.map((size) => {
  const times = timesMs.get(size) ?? [];
  const figures = [quantile(times, 0.5), quantile(times, 0.99)].map((ms) => ms.toFixed(2));
  return [size.toLocaleString('en'), ...figures, survivors.get(size)];
});
const head = ['entries with the tag', 'p50 ms', 'p99 ms', 'found of the last 1,000'];
const table = tableOf(head, rows);
console.log(`\n${table}`);
writeTable('tags', 'npm run bench:tags', `${ROUNDS} rounds in turn`, table);
