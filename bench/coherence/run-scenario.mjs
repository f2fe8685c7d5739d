import { setTimeout as sleep } from 'node:timers/promises';
import { check, explain } from '../../tools/harness/coherence/check.mjs';
import { settle } from '../../tools/harness/coherence/scenarios.mjs';
import { Workload } from '../../tools/harness/coherence/workload.mjs';

/** What `cache.coherence.max_staleness_ms` is unless it is set. */
const BOUND_MS = 1000;
export const GRACE_SECONDS = 5;
/** Throughput is back when a window has so much of the median before the fault, and no call that failed. */
const WINDOW_MS = 250;
const SPEED_SHARE = 0.6;

/** @typedef {(stage: import('../../tools/harness/coherence/scenarios.mjs').Stage, ms: number) => Promise<unknown>} Fault */

/**
 * @param {import('./stacks.mjs').Stack} stack @param {Fault | undefined} fault undefined: all is well
 * @param {number} ms how long clients are at work: a quarter before the fault
 * @returns {Promise<{ cells: string[], violations: string }>}
 */
export async function runScenario(stack, fault, ms) {
  const { nodes, redisPorts } = stack;
  const workload = new Workload(nodes.processes);
  workload.start();
  const startedMs = performance.now();
  await sleep(ms / 4);
  const faultMs = performance.now();
  await fault?.({ nodes, workload, redisPorts: redisPorts() }, ms / 2);
  const healedMs = performance.now();
  await sleep(Math.max(ms / 4, startedMs + ms - healedMs));
  await settle(workload, BOUND_MS);
  const counters = await workload.readCounters();
  workload.close();
  const findings = check(workload.history, { boundMs: BOUND_MS, graceMs: GRACE_SECONDS * 1000, counters });
  const { p50Ms, p99Ms, maxMs, reads, old } = findings.staleness;
  const back = fault ? speedAfter(workload.history, { startedMs, faultMs, healedMs }) : undefined;
  return {
    violations: explain(findings.violations),
    cells: [
      findings.operations.toLocaleString('en'),
      findings.unknown.toLocaleString('en'),
      findings.stale.toLocaleString('en'),
      reads.toLocaleString('en'),
      old.toLocaleString('en'),
      ...[p50Ms, p99Ms, maxMs].map((figure) => figure.toFixed(1)),
      back === undefined ? '' : (back / 1000).toFixed(1),
      String(findings.violations.length),
    ],
  };
}

/**
 * @param {import('../../tools/harness/coherence/history.mjs').Operation[]} history
 * @param {{ startedMs: number, faultMs: number, healedMs: number }} times
 * @returns {number} milliseconds from the end of the fault to the first window that is as good as before; Infinity: none
 */
function speedAfter(history, { startedMs, faultMs, healedMs }) {
  const within = (/** @type {number} */ fromMs) =>
    history.filter(({ endMs }) => endMs >= fromMs && endMs < fromMs + WINDOW_MS);
  /** @type {number[]} */
  const before = [];
  // The first second warms up.
  for (let ms = startedMs + 1000; ms + WINDOW_MS < faultMs; ms += WINDOW_MS) before.push(within(ms).length);
  const usual = before.sort((one, other) => one - other)[Math.floor(before.length / 2)] ?? 0;
  const lastMs = history.reduce((last, { endMs }) => Math.max(last, endMs), 0);
  for (let ms = healedMs; ms < lastMs; ms += WINDOW_MS) {
    const window = within(ms);
    if (window.length >= usual * SPEED_SHARE && window.every(({ outcome }) => outcome !== 'unknown'))
      return ms - healedMs;
  }
  return Infinity;
}
