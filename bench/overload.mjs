import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startApi } from '../tools/harness/api-process.mjs';
import { findCommand } from '../tools/harness/installed.mjs';
import { prepare } from '../tools/setup/prepare.mjs';
import { fill } from './fill.mjs';
import { median, tableOf, writeTable } from './report.mjs';

/**
 * `npm run bench:overload`: what is left of a node's work when more and more is asked of it than it can do. The most that it
 * can is measured with 64 connections that are always busy; then so many times as much is sent at a steady rate, whatever
 * comes back. A share is of the peak of the same round. Written to docs/benchmarks.md. BENCH_ROUNDS says how often, and
 * BENCH_SECONDS how long each measurement takes.
 */
const GENERATOR = fileURLToPath(new URL('overload/generator.mjs', import.meta.url));
const PROBE = fileURLToPath(new URL('overload/probe.mjs', import.meta.url));
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5);
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 3);
const TIMES = [1, 2, 5];
const CONNECTIONS = 1000;
/** A refusal comes in less. */
const PROMISED_MS = 50;
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

/** @typedef {{ perSecond: number, p50Ms: number, p99Ms: number }} Answered */
const NEVER = { perSecond: 0, p50Ms: NaN, p99Ms: NaN };

/** @param {string} script @param {object} options @param {number} niceness @returns {Promise<any>} what it prints */
async function load(script, options, niceness) {
  const given = JSON.stringify({ port: Number(new URL(api.url).port), seconds: SECONDS, ...options });
  const command = ['nice', '-n', String(niceness), process.execPath, script, given];
  const { stdout } = await run('taskset', ['-c', LOAD_CORE, ...command]);
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

/** @typedef {Awaited<ReturnType<typeof measure>>} Outcome */

/** @param {string} name @param {object} options */
async function measure(name, options) {
  const before = processorSeconds();
  const [{ byStatus, unsent, broken }, probed] = await Promise.all([
    load(GENERATOR, { request: WORK[name], ...options }, 19),
    load(PROBE, { request: WORK[name] }, 0),
  ]);
  /** @type {Map<number, Answered>} */
  const answers = new Map(byStatus);
  const good = answers.get(200) ?? NEVER;
  const refused = answers.get(503) ?? NEVER;
  /** @type {Map<number, number[]>} */
  const probes = new Map(probed);
  const others = [...answers.keys()].filter((status) => status !== 200 && status !== 503);
  if (others.length > 0 || broken > 0) console.error(`${name}: also ${others.join()} and ${broken} broken connections`);
  const perProcessorSecond = (good.perSecond * SECONDS) / (processorSeconds() - before);
  return {
    good,
    refused,
    served: probes.get(200) ?? [],
    turnedAway: probes.get(503) ?? [],
    perProcessorSecond,
    unsentPerSecond: unsent / SECONDS,
    residentMib: residentMib(),
  };
}

/** @param {number} figure @param {number} [digits] */
const text = (figure, digits = 0) =>
  Number.isNaN(figure) ? '' : figure.toLocaleString('en', { maximumFractionDigits: digits });

/** @type {Record<string, (Outcome & { share: number, shareByProcessor: number })[]>} of each line of the table, by round */
const outcomes = {};
try {
  await fill(api, 100, value);
  for (const name of Object.keys(WORK)) {
    await measure(name, { connections: CONNECTIONS });
    for (let round = 0; round < ROUNDS; round++) {
      const peak = await measure(name, { connections: 64 });
      note(name, 'peak', peak, peak);
      note(name, 'all busy', await measure(name, { connections: CONNECTIONS }), peak);
      for (const times of TIMES) {
        const loaded = await measure(name, { connections: CONNECTIONS, rate: times * peak.good.perSecond });
        note(name, `${times} ×`, loaded, peak);
      }
    }
  }
} finally {
  await api.stop();
}

/** @param {string} name @param {string} sent @param {Outcome} one @param {Outcome} peak of the same round */
function note(name, sent, one, peak) {
  const share = one.good.perSecond / peak.good.perSecond;
  const shareByProcessor = one.perProcessorSecond / peak.perProcessorSecond;
  (outcomes[`${name}|${sent}`] ??= []).push({ ...one, share, shareByProcessor });
}

const rows = Object.entries(outcomes).map(([line, rounds]) => {
  /** @param {(one: typeof rounds[number]) => number} figure @param {number} [digits] */
  const middle = (figure, digits) => text(median(rounds.map(figure).filter((each) => !Number.isNaN(each))), digits);
  const turnedAway = rounds.flatMap((one) => one.turnedAway).sort((a, b) => a - b);
  const served = rounds.flatMap((one) => one.served).sort((a, b) => a - b);
  return [
    ...line.split('|'),
    middle((one) => one.good.perSecond),
    middle((one) => one.share, 2),
    middle((one) => one.shareByProcessor, 2),
    middle((one) => one.good.p99Ms),
    middle((one) => one.refused.perSecond),
    middle((one) => one.unsentPerSecond),
    text((100 * turnedAway.length) / (served.length + turnedAway.length)),
    text(at(turnedAway, 0.5)),
    text((100 * turnedAway.filter((ms) => ms < PROMISED_MS).length) / turnedAway.length),
    text(at(turnedAway, 0.99)),
    text(at(served, 0.99)),
    middle((one) => one.residentMib),
  ];
});

/** @param {readonly number[]} sorted @param {number} share */
function at(sorted, share) {
  return sorted[Math.floor(sorted.length * share)] ?? NaN;
}

const head = ['request', 'sent', 'good/s', '× peak', '× peak, by CPU', 'p99 ms', '503/s', 'not sent/s'];
head.push('others refused %', 'their 503 p50 ms', `in ${PROMISED_MS} ms %`, 'p99 ms', 'served p99 ms', 'RSS MiB');
const table = tableOf(head, rows);
console.log(`\n${table}`);
writeTable(
  'overload',
  'npm run bench:overload',
  `medians of ${ROUNDS} rounds of ${SECONDS} s each; milliseconds of others are of all rounds`,
  table,
);
