import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import readline from 'node:readline';
import { prepare } from './prepare.mjs';
import { SIGNALS } from './progress.mjs';
import { ROOT } from './repository.mjs';

const KILL_AFTER_MS = 10_000;
const COLOURS = [36, 35, 33, 32, 34];
const WATCHES = /Watching for file changes/;

/** Runs until Ctrl-C, or until one of the processes ends by itself. */
export async function runDevServers() {
  const code = await prepare({ build: true });
  if (code !== 0) process.exit(code);

  const group = createProcessGroup();
  const compiled = ['apps/api', ...readdirSync(`${ROOT}libs`).map((name) => `libs/${name}`)].filter((project) =>
    buildCommand(project).startsWith('swc '),
  );
  // The server starts when they have compiled once, so that it does not restart for each of them.
  await Promise.all(
    compiled.map((project) => {
      // Quiet it would not say when it has compiled.
      const [command, ...args] = buildCommand(project).replace('--quiet', '--watch').split(' ');
      return group.start(project.slice(5), project, `${ROOT}node_modules/.bin/${command}`, args, WATCHES);
    }),
  );
  await group.start('server', '.', process.execPath, [
    '--watch',
    '--watch-preserve-output',
    '--enable-source-maps',
    'apps/api/dist/entry/server.js',
  ]);
  await group.start('admin', 'apps/admin', `${ROOT}node_modules/.bin/vite`, ['--clearScreen', 'false']);
}

/** @param {string} project @returns {string} */
function buildCommand(project) {
  const file = `${ROOT}${project}/package.json`;
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')).scripts?.build ?? '') : '';
}

function createProcessGroup() {
  /** @type {Set<import('node:child_process').ChildProcess>} */
  const running = new Set();
  let stopping = false;

  const signalAll = (/** @type {NodeJS.Signals} */ signal) => {
    for (const child of running) {
      try {
        // Each has a process group of its own: npm and swc start others.
        if (child.pid) process.kill(-child.pid, signal);
      } catch {
        // It has just ended.
      }
    }
  };
  const stop = (/** @type {number} */ code) => {
    if (stopping) return;
    stopping = true;
    process.exitCode = code;
    signalAll('SIGTERM');
    setTimeout(() => signalAll('SIGKILL'), KILL_AFTER_MS).unref();
  };
  for (const signal of SIGNALS) process.on(signal, () => stop(0));

  return {
    /**
     * @param {string} name in front of its lines
     * @param {string} folder
     * @param {string} command
     * @param {string[]} args
     * @param {RegExp} [started] what it prints when it is where it should be
     * @returns {Promise<void>}
     */
    start(name, folder, command, args, started) {
      if (stopping) return Promise.resolve();
      const colour = COLOURS[running.size % COLOURS.length];
      const prefix = process.stdout.isTTY ? `\x1b[${colour}m${name.padEnd(12)}\x1b[0m ` : `${name.padEnd(12)} `;
      const env = { ...process.env, ...(process.stdout.isTTY && { FORCE_COLOR: '1' }) };
      const child = spawn(command, args, {
        cwd: ROOT + folder,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      });
      running.add(child);
      return new Promise((resolve) => {
        if (!started) resolve();
        for (const stream of [child.stdout, child.stderr]) {
          readline.createInterface({ input: stream }).on('line', (line) => {
            console.log(prefix + line);
            if (started?.test(line)) resolve();
          });
        }
        child.once('error', (error) => console.error(prefix + error.message));
        child.once('close', (code, signal) => {
          running.delete(child);
          if (!stopping) console.error(`${prefix}ended (${signal ?? `exit code ${code}`})`);
          stop(1);
          resolve();
        });
      });
    },
  };
}
