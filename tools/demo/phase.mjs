const BAR_WIDTH = 24;
const DRAW_INTERVAL_MS = 100;
const FAILURES_SHOWN = 5;

/**
 * @typedef {object} PhaseResult
 * @property {string} name
 * @property {number} count
 * @property {number} seconds
 * @property {number[]} latencies milliseconds, ascending
 * @property {Map<string, number>} outcomes how many answers came from which layer with which cache status
 * @property {string[]} failures
 */

/**
 * Does one call for each item, some at a time.
 *
 * @template Item
 * @param {string} name
 * @param {Item[]} items
 * @param {number} concurrency
 * @param {(item: Item) => Promise<import('./client.mjs').Answer>} call rejects when the answer is not what it should be
 * @returns {Promise<PhaseResult>}
 */
export async function runPhase(name, items, concurrency, call) {
  /** @type {PhaseResult} */
  const result = { name, count: items.length, seconds: 0, latencies: [], outcomes: new Map(), failures: [] };
  const progress = createBar(name, items.length);
  const started = performance.now();
  let next = 0;
  let done = 0;

  const work = async () => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) {
      try {
        const { headers, milliseconds } = await call(item);
        result.latencies.push(milliseconds);
        const outcome = [headers['x-cache-layer'], headers['x-cache-status']].filter(Boolean).join(' ');
        if (outcome) result.outcomes.set(outcome, (result.outcomes.get(outcome) ?? 0) + 1);
      } catch (error) {
        result.failures.push(error instanceof Error ? error.message : String(error));
      }
      progress.draw((done += 1));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));

  result.seconds = (performance.now() - started) / 1000;
  result.latencies.sort((a, b) => a - b);
  progress.end(describe(result));
  for (const failure of result.failures.slice(0, FAILURES_SHOWN)) console.log(`      ${failure}`);
  return result;
}

/** @param {PhaseResult} result */
function describe({ name, count, seconds, latencies, failures }) {
  const at = (/** @type {number} */ quantile) =>
    (latencies[Math.ceil(latencies.length * quantile) - 1] ?? 0).toFixed(1);
  return [
    `${failures.length === 0 ? '✓' : '✗'} ${name.padEnd(26)}`,
    String(count).padStart(6),
    `${String(Math.round(count / seconds)).padStart(6)} requests/s`,
    `p50 ${at(0.5)} ms`,
    `p99 ${at(0.99)} ms`,
    ...(failures.length > 0 ? [`${failures.length} FAILED`] : []),
  ].join('  ');
}

/** @param {string} name @param {number} total */
function createBar(name, total) {
  const { stdout } = process;
  let drawn = 0;
  return {
    /** @param {number} done */
    draw(done) {
      const now = performance.now();
      if (!stdout.isTTY || now - drawn < DRAW_INTERVAL_MS) return;
      drawn = now;
      const filled = Math.round((done / total) * BAR_WIDTH);
      stdout.write(
        `\r\x1b[2K  ${name.padEnd(26)} ${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${done}/${total}`,
      );
    },
    /** @param {string} line */
    end(line) {
      if (stdout.isTTY) stdout.write('\r\x1b[2K');
      console.log(line);
    },
  };
}
