import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startApi } from '../tools/harness/api-process.mjs';
import { findCommand } from '../tools/harness/installed.mjs';
import { prepare } from '../tools/setup/prepare.mjs';
import { fill } from './fill.mjs';
import { tableOf, writeTable } from './report.mjs';

/**
 * `npm run bench:overload`: what is left of a node's work when more and more is asked of it than it can do. The most that it
 * can is measured with 64 connections that are always busy; then so many times as much is sent at a steady rate, whatever
 * comes back. Written to docs/benchmarks.md. BENCH_SECONDS says how long each measurement takes.
 */
const GENERATOR = fileURLToPath(new URL('overload/generator.mjs', import.meta.url));
const PROBE = fileURLToPath(new URL('overload/probe.mjs', import.meta.url));
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 5);
const TIMES = [1, 2, 5];
const CONNECTIONS = 1000;
const [SERVER_CORE, LOAD_CORE] = ['0', '1'];
/** Of /proc; the same on every Linux that Node runs on. */
const CLOCK_TICKS_PER_SECOND = 100;
const run = promisify(execFile);

if (process.platform !== 'linux' || findCommand('taskset') === null) {
  console.error('npm run bench:overload needs Linux and taskset: sudo apt-get install util-linux');
  process.exit(1);
}
await prepare({ build: true });

const api = await startApi({
  env: {
    LOG_LEVEL: 'error',
    RATE_LIMITS__TIERS__ENTERPRISE__REQUESTS_PER_HOUR: '6000000000',
    RATE_LIMITS__TIERS__ENTERPRISE__BURST_SIZE: '10000000',
  },
});
execFileSync('taskset', ['-acp', SERVER_CORE, String(api.process.pid)], { stdio: 'ignore' });

/** @param {string} line @param {string} [body] */
function request(line, body = '') {
  const headers = ['Host: bench', `X-API-Key: ${api.apiKey}`];
  if (body) headers.push('Content-Type: application/json', `Content-Length: ${body.length}`);
  return [`${line} HTTP/1.1`, ...headers, '', body].join('\r\n');
}
const value = JSON.stringify({ value: { text: 'x'.repeat(100) } });
const keys = JSON.stringify({ keys: Array.from({ length: 100 }, (_, index) => `bench:${index}`) });
/** @type {Record<string, string>} */
const WORK = {
  'bulk get of 100 keys': request('POST /v1/cache/bulk/get', keys),
  PUT: request('PUT /v1/cache/bench:0', value),
  'GET from L1': request('GET /v1/cache/bench:0'),
};

/** @typedef {{ perSecond: number, count: number, p50Ms: number, p99Ms: number }} Answered */
const NEVER = { perSecond: 0, count: 0, p50Ms: NaN, p99Ms: NaN };

/** @param {string} script @param {object} options @returns {Promise<any>} what it prints */
async function load(script, options) {
  const given = JSON.stringify({ port: Number(new URL(api.url).port), seconds: SECONDS, ...options });
  const { stdout } = await run('taskset', ['-c', LOAD_CORE, process.execPath, script, given]);
  return JSON.parse(stdout);
}

/** Seconds of processor time that the server has taken. */
function processorSeconds() {
  const fields = readFileSync(`/proc/${api.process.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
}

function residentMib() {
  const [, kib] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${api.process.pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kib) / 1024);
}

/** @param {string} name @param {object} options */
async function measure(name, options) {
  const before = processorSeconds();
  const [{ byStatus, unsent, broken }, probed] = await Promise.all([
    load(GENERATOR, { request: WORK[name], ...options }),
    load(PROBE, { request: WORK[name] }),
  ]);
  /** @type {Map<number, Answered>} */
  const answers = new Map(byStatus);
  const good = answers.get(200) ?? NEVER;
  const refused = answers.get(503) ?? NEVER;
  /** @type {Map<number, Answered>} */
  const probes = new Map(probed);
  const others = [...answers.keys()].filter((status) => status !== 200 && status !== 503);
  if (others.length > 0 || broken > 0) console.error(`${name}: also ${others.join()} and ${broken} broken connections`);
  const perProcessorSecond = (good.perSecond * SECONDS) / (processorSeconds() - before);
  return {
    good,
    refused,
    served: probes.get(200) ?? NEVER,
    turnedAway: probes.get(503) ?? NEVER,
    perProcessorSecond,
    unsentPerSecond: unsent / SECONDS,
    residentMib: residentMib(),
  };
}

/** @param {number} figure @param {number} [digits] */
const text = (figure, digits = 0) =>
  Number.isNaN(figure) ? '' : figure.toLocaleString('en', { maximumFractionDigits: digits });

const rows = [];
try {
  await fill(api, 100, value);
  for (const name of Object.keys(WORK)) {
    await measure(name, { connections: CONNECTIONS });
    const peak = await measure(name, { connections: 64 });
    rows.push([name, 'peak', ...cells(peak, peak)]);
    for (const times of TIMES) {
      const loaded = await measure(name, { connections: CONNECTIONS, rate: times * peak.good.perSecond });
      rows.push([name, `${times} ×`, ...cells(loaded, peak)]);
    }
    for (const row of rows.slice(-TIMES.length - 1)) console.log(row.join('  '));
  }
} finally {
  await api.stop();
}

/** @param {Awaited<ReturnType<typeof measure>>} one @param {Awaited<ReturnType<typeof measure>>} peak */
function cells(one, peak) {
  const { good, refused, served, turnedAway, unsentPerSecond } = one;
  return [
    text(good.perSecond),
    text(good.perSecond / peak.good.perSecond, 2),
    text(one.perProcessorSecond / peak.perProcessorSecond, 2),
    text(good.p99Ms),
    text(refused.perSecond),
    text(unsentPerSecond),
    text((100 * turnedAway.count) / (served.count + turnedAway.count)),
    text(turnedAway.p50Ms, 1),
    text(turnedAway.p99Ms, 1),
    text(served.p99Ms),
    text(one.residentMib),
  ];
}

const head = ['request', 'sent', 'good/s', '× peak', '× peak, by CPU', 'p99 ms', '503/s', 'not sent/s'];
head.push('others refused %', 'their 503 p50 ms', 'p99 ms', 'served p99 ms', 'RSS MiB');
const table = tableOf(head, rows);
console.log(`\n${table}`);
writeTable('overload', 'npm run bench:overload', `${SECONDS} s each`, table);
