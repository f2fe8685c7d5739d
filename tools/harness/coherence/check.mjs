import { byKey } from './history.mjs';
import { checkCounter, checkDocuments } from './lost-updates.mjs';
import { measureStaleness } from './staleness.mjs';

/** @typedef {import('./history.mjs').Operation} Operation */

/**
 * @typedef {object} Findings
 * @property {import('./history.mjs').Violation[]} violations
 * @property {Staleness} staleness of the reads that raced with a change
 * @property {number} operations
 * @property {number} reads that found an entry, or that there was none
 * @property {number} unknown operations without a clear answer
 * @property {number} stale answers that said of themselves that they could not be checked
 * @property {Record<string, number>} layers by which reads were answered
 *
 * @typedef {{ reads: number, old: number, p50Ms: number, p99Ms: number, maxMs: number }} Staleness
 */

/**
 * Checks a history against what is promised: bounded staleness, no lost update.
 *
 * @param {Operation[]} history
 * @param {{ boundMs: number, graceMs: number, counters: ReadonlyMap<string, number | undefined> }} options
 *   `graceMs`: for how long copies are served that could not be checked; `counters`: their final values
 * @returns {Findings}
 */
export function check(history, { boundMs, graceMs, counters }) {
  /** @type {import('./history.mjs').Violation[]} */
  const violations = [];
  /** @type {number[]} */
  const measured = [];
  /** @type {Record<string, number>} */
  const layers = {};
  for (const [key, operations] of byKey(history)) {
    if (counters.has(key)) violations.push(...checkCounter(operations, counters.get(key)));
    else violations.push(...checkDocuments(operations));
    for (const { operation, staleMs, raced } of measureStaleness(operations, boundMs)) {
      const limitMs = operation.stale ? graceMs + boundMs : boundMs;
      if (staleMs > limitMs) {
        const explanation = `${operation.outcome === 'absent' ? 'no entry' : operation.version} was known to be wrong for ${Math.round(staleMs)} ms`;
        violations.push({ rule: 'bounded staleness', explanation, operation });
      }
      if (raced && !operation.stale) measured.push(staleMs);
      if (operation.layer) layers[operation.layer] = (layers[operation.layer] ?? 0) + 1;
    }
  }
  return {
    violations,
    staleness: { reads: measured.length, old: measured.filter((ms) => ms > 0).length, ...quantiles(measured) },
    operations: history.length,
    reads: Object.values(layers).reduce((sum, count) => sum + count, 0),
    unknown: history.filter(({ outcome }) => outcome === 'unknown').length,
    stale: history.filter(({ stale }) => stale).length,
    layers,
  };
}

/** @param {number[]} values */
export function quantiles(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const at = (/** @type {number} */ share) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}

/** @param {import('./history.mjs').Violation[]} violations @returns {string} the first few, in words */
export function explain(violations) {
  return violations
    .slice(0, 10)
    .map(({ rule, explanation, operation }) => `${rule}: ${explanation}; ${JSON.stringify(operation)}`)
    .join('\n');
}
