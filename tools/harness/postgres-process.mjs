import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chownSync } from 'node:fs';
import path from 'node:path';
import { IMAGES, runContainer } from './containers.mjs';
import { findPostgres } from './installed.mjs';
import { createTemporaryFolder, findFreePort, spawnTied } from './tied-process.mjs';

const START_TIMEOUT_MS = 120_000;
/** Postgres refuses to run as root; Debian's package brings this user. */
const UNPRIVILEGED_USER = 'postgres';
/** None that everybody knows, with which no service starts in production. */
const PASSWORD = randomUUID();
/** The data is thrown away: nothing has to survive a power cut. */
const SETTINGS = [
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
  'max_connections=200',
  'log_min_messages=warning',
];
const READY = /ready to accept connections/;

/**
 * @typedef {object} PostgresProcess
 * @property {string} url of an empty database, as superuser
 * @property {number} port
 * @property {import('node:child_process').ChildProcess} process
 * @property {() => Promise<void>} stop cuts connections and shuts down in order
 * @property {() => Promise<void>} stopImmediate as a crash would
 */

/**
 * Starts a real, empty Postgres on a free port.
 *
 * @returns {Promise<PostgresProcess>}
 */
export async function startPostgres() {
  const port = await findFreePort();
  const binaries = findPostgres();
  const folder = binaries ? createTemporaryFolder('postgres') : null;
  const server = binaries && folder ? onThisMachine(binaries, folder.path, port) : inContainer(port);

  const end = async (/** @type {NodeJS.Signals} */ signal) => {
    await server.end(signal);
    folder?.remove();
  };
  try {
    await server.waitForOutput(server.ready, START_TIMEOUT_MS);
  } catch (error) {
    await end('SIGQUIT');
    throw error;
  }
  return {
    url: `postgres://postgres:${PASSWORD}@127.0.0.1:${port}/postgres`,
    port,
    process: server.process,
    stop: () => end('SIGINT'),
    stopImmediate: () => end('SIGQUIT'),
  };
}

/** @param {string} binaries @param {string} folder @param {number} port */
function onThisMachine(binaries, folder, port) {
  /** @type {{ user?: string }} */
  const as = {};
  if (process.getuid?.() === 0) {
    as.user = UNPRIVILEGED_USER;
    chownSync(folder, idOf('-u'), idOf('-g'));
  }
  const env = { ...process.env, LC_ALL: 'C.UTF-8', PGDATA: path.join(folder, 'data') };
  initialise(binaries, folder, env, as.user);

  const settings = [...SETTINGS, 'listen_addresses=127.0.0.1', 'unix_socket_directories='].flatMap((setting) => [
    '-c',
    setting,
  ]);
  const server = spawnTied(`${binaries}/postgres`, ['-p', String(port), ...settings], {
    env,
    cwd: folder,
    // Killed outright it would leave its shared memory behind.
    signalAtDeath: 'INT',
    ...as,
  });
  return { ...server, ready: READY };
}

/** @param {string} binaries @param {string} cwd @param {NodeJS.ProcessEnv} env @param {string | undefined} user */
function initialise(binaries, cwd, env, user) {
  const command = [`${binaries}/initdb`, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--no-sync'];
  const asUser = user ? ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups', '--'] : [];
  const [file, ...args] = [...asUser, ...command];
  execFileSync(/** @type {string} */ (file), args, { env, cwd, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** @param {'-u' | '-g'} kind */
function idOf(kind) {
  return Number(execFileSync('id', [kind, UNPRIVILEGED_USER], { encoding: 'utf8' }));
}

/** @param {number} port */
function inContainer(port) {
  const settings = SETTINGS.flatMap((setting) => ['-c', setting]);
  const server = runContainer(
    IMAGES.postgres,
    `cache-system-postgres-${randomUUID()}`,
    port,
    5432,
    ['--env', `POSTGRES_PASSWORD=${PASSWORD}`],
    ['postgres', ...settings],
  );
  // The image first runs a server of its own for its set-up, which says the same.
  return { ...server, ready: /init process complete[^]*ready to accept connections/ };
}
