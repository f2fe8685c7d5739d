import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const SETPRIV = '/usr/bin/setpriv';

/** @type {Set<() => void>} */
const cleanups = new Set();
// The last first: a folder goes after the processes that write to it.
process.on('exit', () => [...cleanups].reverse().forEach((cleanUp) => cleanUp()));

/**
 * A child process that never outlives this one: on Linux the kernel ends it with its parent, however that dies; elsewhere an
 * exit handler does. (In jest the handler alone would not do: tests see a copy of `process` whose `exit` never comes.)
 *
 * @typedef {object} TiedProcess
 * @property {import('node:child_process').ChildProcess} process
 * @property {() => string} output what it has written to stdout and stderr
 * @property {(pattern: RegExp, timeoutMs: number) => Promise<RegExpExecArray>} waitForOutput rejects with the output when the process ends or the time is over
 * @property {Promise<number | null>} ended the exit code; null after death by a signal
 * @property {(signal: NodeJS.Signals) => Promise<number | null>} end sends the signal and waits
 */

/**
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string, user?: string, signalAtDeath?: 'KILL' | 'INT' }} [options]
 * @returns {TiedProcess}
 */
export function spawnTied(command, args, { env = process.env, cwd = os.tmpdir(), user, signalAtDeath = 'KILL' } = {}) {
  const asUser = user ? [`--reuid=${user}`, `--regid=${user}`, '--init-groups'] : [];
  const [file, ...rest] = existsSync(SETPRIV)
    ? [SETPRIV, ...asUser, `--pdeathsig=${signalAtDeath}`, '--', command, ...args]
    : [command, ...args];
  const child = spawn(/** @type {string} */ (file), rest, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });

  let output = '';
  const append = (/** @type {string} */ text) => (output += text);
  child.stdout.setEncoding('utf8').on('data', append);
  child.stderr.setEncoding('utf8').on('data', append);

  const kill = () => child.kill(`SIG${signalAtDeath}`);
  cleanups.add(kill);
  /** @type {Promise<number | null>} */
  const ended = new Promise((resolve) => {
    child.once('error', (error) => {
      append(error.message);
      resolve(null);
    });
    // `close`, not `exit`: by then all output has been read.
    child.once('close', resolve);
  });
  void ended.then(() => cleanups.delete(kill));

  return {
    process: child,
    output: () => output,
    ended,
    waitForOutput(pattern, timeoutMs) {
      return new Promise((resolve, reject) => {
        const fail = (/** @type {string} */ reason) =>
          settle(() => reject(new Error(`${command} ${reason}:\n${output}`)));
        const timer = setTimeout(() => fail(`printed nothing like ${pattern} within ${timeoutMs} ms`), timeoutMs);
        const check = () => {
          const match = pattern.exec(output);
          if (match) settle(() => resolve(match));
        };
        const settle = (/** @type {() => void} */ outcome) => {
          clearTimeout(timer);
          child.stdout.off('data', check);
          child.stderr.off('data', check);
          outcome();
        };
        child.stdout.on('data', check);
        child.stderr.on('data', check);
        void ended.then((code) =>
          fail(code === null ? `was ended by ${child.signalCode}` : `ended with exit code ${code}`),
        );
        check();
      });
    },
    end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}

/** @param {string} name @returns {{ path: string, remove: () => void }} a new folder, removed with this process at the latest */
export function createTemporaryFolder(name) {
  const folder = mkdtempSync(path.join(os.tmpdir(), `cs-${name}-`));
  const remove = () => {
    cleanups.delete(remove);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  cleanups.add(remove);
  return { path: folder, remove };
}

/**
 * Below the ports that systems give to outgoing connections (32768 and up on Linux): one of those is free now, and may be
 * taken by any connection before the server has begun to listen, or while it is away to be started again.
 */
const PORTS = { first: 12_000, last: 32_000 };

/** @returns {Promise<number>} a TCP port on 127.0.0.1 that nobody listens on */
export async function findFreePort() {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * (PORTS.last - PORTS.first));
    if (await isFree(port)) return port;
  }
}

/** @param {number} port @returns {Promise<boolean>} */
function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
