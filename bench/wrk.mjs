import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const CONNECTIONS = 64;
const LOAD_CORE = '1';
const run = promisify(execFile);

/**
 * @typedef {object} Measurement
 * @property {number} requestsPerSecond
 * @property {number} p50Ms
 * @property {number} p99Ms
 */

/**
 * Loads a server with keep-alive connections from the second core.
 *
 * @param {string} url origin
 * @param {string} script file in bench/load
 * @param {{ seconds: number, headers?: string[], env?: Record<string, string>, connections?: number }} options
 * @returns {Promise<Measurement>} rejects when any response is not a success
 */
export async function load(url, script, { seconds, headers = [], env = {}, connections = CONNECTIONS }) {
  const file = fileURLToPath(new URL(`load/${script}`, import.meta.url));
  const { stdout } = await run(
    'taskset',
    ['-c', LOAD_CORE, 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', file]
      .concat(headers.flatMap((header) => ['-H', header]))
      .concat(url),
    { env: { ...process.env, ...env } },
  );
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`${url} with ${script} fails:\n${stdout}`);
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
    p50Ms: milliseconds(/50%\s+([\d.]+)(us|ms|s)/.exec(stdout)),
    p99Ms: milliseconds(/99%\s+([\d.]+)(us|ms|s)/.exec(stdout)),
  };
}

/** @param {RegExpExecArray | null} match */
function milliseconds(match) {
  const [, amount = 'NaN', unit = 'ms'] = match ?? [];
  return Number(amount) * { us: 0.001, ms: 1, s: 1000 }[/** @type {'us' | 'ms' | 's'} */ (unit)];
}
