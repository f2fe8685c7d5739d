import { randomUUID } from 'node:crypto';
import { IMAGES, runContainer } from './containers.mjs';
import { findCommand } from './installed.mjs';
import { createTemporaryFolder, findFreePort, spawnTied } from './tied-process.mjs';

const START_TIMEOUT_MS = 60_000;
const PORT_ATTEMPTS = 5;
const READY = /Ready to accept connections/;

/**
 * @typedef {object} RedisProcess
 * @property {string} url
 * @property {number} port
 * @property {import('node:child_process').ChildProcess} process
 * @property {() => void} freeze stops it from running, with its connections left open
 * @property {() => void} thaw
 * @property {() => Promise<void>} kill9
 * @property {() => Promise<void>} stop
 */

/**
 * Starts a real Redis, empty and without persistence unless `args` say otherwise. Give `port` and `dir` of an earlier one to
 * bring that back; a `dir` that was given is not removed.
 *
 * @param {{ port?: number, dir?: string, args?: string[] }} [options]
 * @returns {Promise<RedisProcess>}
 */
export async function startRedis({ port, dir, args = [] } = {}) {
  if (port !== undefined) return startOn(port, dir, args);
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOn(await findFreePort(), dir, args);
    } catch (error) {
      // Others look for free ports at the same time.
      if (attempt === PORT_ATTEMPTS || !String(error).includes('Address already in use')) throw error;
    }
  }
}

/** @param {number} port @param {string | undefined} dir @param {string[]} args @returns {Promise<RedisProcess>} */
async function startOn(port, dir, args) {
  const folder = dir ? null : createTemporaryFolder('redis');
  const settings = ['--save', '', '--appendonly', 'no', ...args];

  const server = findCommand('redis-server')
    ? onThisMachine(port, dir ?? folder?.path ?? '', settings)
    : runContainer(IMAGES.redis, `cache-system-redis-${randomUUID()}`, port, 6379, [], ['redis-server', ...settings]);

  const end = async (/** @type {NodeJS.Signals} */ signal) => {
    // A frozen process would keep SIGTERM for later.
    server.signal('SIGCONT');
    await server.end(signal);
    folder?.remove();
  };
  try {
    await server.waitForOutput(READY, START_TIMEOUT_MS);
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    process: server.process,
    freeze: () => server.signal('SIGSTOP'),
    thaw: () => server.signal('SIGCONT'),
    kill9: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  };
}

/** @param {number} port @param {string} dir @param {string[]} settings */
function onThisMachine(port, dir, settings) {
  const server = spawnTied('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, ...settings]);
  return { ...server, signal: (/** @type {NodeJS.Signals} */ signal) => void server.process.kill(signal) };
}
