import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createTemporaryFolder, spawnTied } from './tied-process.mjs';

const SERVER = fileURLToPath(new URL('../../apps/api/dist/entry/server.js', import.meta.url));
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 45_000;

/**
 * @typedef {object} ApiProcess
 * @property {string} url origin, without a slash at the end
 * @property {string} apiKey may do everything
 * @property {string} adminEmail
 * @property {string} adminPassword
 * @property {import('node:child_process').ChildProcess} process
 * @property {() => string} output what the server has printed so far
 * @property {(signal?: NodeJS.Signals) => Promise<number | null>} stop the exit code; null when a signal ended it
 * @property {() => Promise<void>} kill9
 */

/**
 * Starts the built service on a free port, with its data in a new folder unless `env.DATA_DIR` names one.
 * Nothing but PATH and HOME of the caller's environment reaches it.
 *
 * @param {{ env?: Record<string, string>, entry?: string }} [options]
 * @returns {Promise<ApiProcess>} ready to serve; rejects with the server's output when it does not get there
 */
export async function startApi({ env: given = {}, entry = SERVER } = {}) {
  const folder = given['DATA_DIR'] ? null : createTemporaryFolder('api');
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: process.env['HOME'] ?? '',
    NODE_ENV: 'test',
    HOST: '127.0.0.1',
    PORT: '0',
    ADMIN_EMAIL: 'admin@example.com',
    ADMIN_PASSWORD: randomBytes(18).toString('base64url'),
    BOOTSTRAP_API_KEY: `test-${randomBytes(24).toString('base64url')}`,
    // Tests keep the machine busy for each other, which is no overload of this service.
    ...(process.env['JEST_WORKER_ID'] && { SERVER__OVERLOAD__MAX_EVENT_LOOP_DELAY_MS: '10000' }),
    ...(folder && { DATA_DIR: path.join(folder.path, 'data') }),
    ...given,
  };
  // As `npm start` and the image do it: short-lived garbage of a busy cache fits into the young generation then.
  const server = spawnTied(process.execPath, ['--max-semi-space-size=64', '--enable-source-maps', entry], { env });

  const end = async (/** @type {NodeJS.Signals} */ signal) => {
    const timer = setTimeout(() => server.process.kill('SIGKILL'), STOP_TIMEOUT_MS);
    const code = await server.end(signal);
    clearTimeout(timer);
    folder?.remove();
    return code;
  };

  try {
    const [, url = ''] = await server.waitForOutput(/^ *API +(http:\/\/[\d.]+:\d+)/m, START_TIMEOUT_MS);
    await waitUntilReady(url, server);
    return {
      url,
      apiKey: env.BOOTSTRAP_API_KEY,
      adminEmail: env.ADMIN_EMAIL,
      adminPassword: env.ADMIN_PASSWORD,
      process: server.process,
      output: server.output,
      stop: (signal = 'SIGTERM') => end(signal),
      async kill9() {
        await end('SIGKILL');
      },
    };
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
}

/** @param {string} url @param {import('./tied-process.mjs').TiedProcess} server */
async function waitUntilReady(url, server) {
  const deadline = Date.now() + START_TIMEOUT_MS;
  let last = '';
  while (Date.now() < deadline) {
    if (server.process.exitCode !== null)
      throw new Error(`the server ended with exit code ${server.process.exitCode}:\n${server.output()}`);
    try {
      const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(5000) });
      last = `${response.status} ${await response.text()}`;
      if (response.ok) return;
    } catch (error) {
      last = String(error);
    }
    await sleep(50);
  }
  throw new Error(`the server did not become ready, last answer ${last}:\n${server.output()}`);
}
