import { isDeepStrictEqual } from 'node:util';
import { startApi } from '../harness/api-process.mjs';
import { prepare } from '../setup/prepare.mjs';
import { ROOT } from '../setup/repository.mjs';
import { CacheClient } from './client.mjs';
import { findDocuments } from './documents.mjs';
import { runPhase } from './phase.mjs';

const DEFAULT_URL = 'http://127.0.0.1:3000';
const CONCURRENCY = 32;
const CHANGE = { updated_by_the_demo: true };

/** @typedef {import('./documents.mjs').Document} Document */

export async function runDemo() {
  const service = await findService();
  const { documents, skipped } = findDocuments(ROOT);
  console.log(
    `${documents.length} package.json files; skipped: ${skipped.notJson} not JSON, ${skipped.tooLarge} over 1 MiB, ${skipped.keyTooLong} with a path over 512 bytes\n`,
  );

  const client = new CacheClient(service.url, service.apiKey, CONCURRENCY);
  const started = performance.now();
  const phases = await runPhases(client, documents);
  const seconds = (performance.now() - started) / 1000;
  client.close();
  await service.stop();

  const requests = phases.reduce((sum, phase) => sum + phase.count, 0);
  const failures = phases.reduce((sum, phase) => sum + phase.failures.length, 0);
  console.log(
    `\n${requests} requests in ${seconds.toFixed(1)} s, ${Math.round(requests / seconds)} a second; waited ${client.waits} times as the rate limit asked`,
  );
  printHitRatio(phases.filter(({ name }) => name.startsWith('read')));
  console.log(
    failures === 0
      ? 'Nothing differs, nothing failed.'
      : `${failures} requests failed or gave something else than was stored.`,
  );
  process.exitCode = failures === 0 ? 0 : 1;
}

/** @param {CacheClient} client @param {Document[]} documents */
async function runPhases(client, documents) {
  /** @type {Map<string, unknown>} what a document is after its update */
  const updated = new Map();
  const chosen = documents.filter(({ text }, index) => index % 10 === 0 && text.startsWith('{'));
  const everyFourth = documents.filter((_, index) => index % 4 === 0);

  const put = async (/** @type {Document} */ { key, text }) =>
    expectStatus(await client.call('PUT', key, { body: `{"value":${text}}` }), key, 200, 201);
  const patch = async (/** @type {Document} */ { key, text }) => {
    updated.set(key, { ...JSON.parse(text), ...CHANGE });
    return expectStatus(await client.call('PATCH', key, { body: JSON.stringify({ value: CHANGE }) }), key, 200);
  };
  const dropFromL1 = async (/** @type {Document} */ { key }) =>
    expectStatus(await client.call('DELETE', key, { query: '?cascade=false' }), key, 204, 404);
  const read = async (/** @type {Document} */ { key, text }) => {
    const answer = expectStatus(await client.call('GET', key), key, 200);
    const value = valueText(answer.text, key);
    const isAsStored = updated.has(key) ? isDeepStrictEqual(JSON.parse(value), updated.get(key)) : value === text;
    if (!isAsStored)
      throw new Error(`${key}: came back different, ${text.length} characters sent, ${value.length} received`);
    return answer;
  };

  return [
    await runPhase('store', documents, CONCURRENCY, put),
    await runPhase('read back', documents, CONCURRENCY, read),
    await runPhase('update a tenth', chosen, CONCURRENCY, patch),
    await runPhase('drop a quarter from L1', everyFourth, CONCURRENCY, dropFromL1),
    await runPhase('read again', documents, CONCURRENCY, read),
  ];
}

/** The service at CACHE_URL; without a key for it, one that is started for this demo. */
async function findService() {
  const url = process.env['CACHE_URL'] ?? DEFAULT_URL;
  const apiKey = process.env['CACHE_API_KEY'];
  if (apiKey && (await isReady(url))) {
    console.log(`Using the service at ${url}`);
    return { url, apiKey, stop: async () => undefined };
  }
  if (process.env['CACHE_URL']) {
    console.error(
      apiKey ? `No service answers at ${url}` : `CACHE_API_KEY has to hold an API key of the service at ${url}`,
    );
    process.exit(1);
  }

  const code = await prepare({ build: true });
  if (code !== 0) process.exit(code);
  const why = apiKey ? `No service answers at ${url}` : 'CACHE_API_KEY is not set';
  console.log(`${why}: starting a service for this demo, with its data in a temporary folder`);
  // Without a handler a signal would skip what removes the folder.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
  const api = await startApi({ env: { LOG_LEVEL: 'warn' } });
  return { url: api.url, apiKey: api.apiKey, stop: () => api.stop() };
}

/** @param {string} url */
async function isReady(url) {
  try {
    return (await fetch(new URL('/health/ready', url), { signal: AbortSignal.timeout(5000) })).ok;
  } catch {
    return false;
  }
}

/** @param {import('./client.mjs').Answer} answer @param {string} key @param {number[]} expected */
function expectStatus(answer, key, ...expected) {
  if (!expected.includes(answer.status)) throw new Error(`${key}: ${answer.status} ${answer.text.slice(0, 200)}`);
  return answer;
}

/** @param {string} body @param {string} key @returns {string} the value as the service wrote it, which parsing would not show */
function valueText(body, key) {
  const start = `{"key":${JSON.stringify(key)},"value":`;
  if (!body.startsWith(start) || !body.endsWith('}')) throw new Error(`${key}: unexpected body ${body.slice(0, 200)}`);
  return body.slice(start.length, -1);
}

/** @param {import('./phase.mjs').PhaseResult[]} reads */
function printHitRatio(reads) {
  const total = reads.reduce((sum, { count }) => sum + count, 0);
  /** @type {Map<string, number>} */
  const outcomes = new Map();
  for (const [outcome, count] of reads.flatMap((phase) => [...phase.outcomes]))
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + count);
  const shares = [...outcomes]
    .sort()
    .map(([outcome, count]) => `${outcome} ${count} (${((100 * count) / total).toFixed(1)} %)`);
  console.log(`Reads by layer: ${shares.join(', ')}`);
}
