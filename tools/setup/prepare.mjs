// Installs and builds what is not up to date, one process at a time. Run by itself, under the lock, by `prepare()`.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build, isBuilt } from './build.mjs';
import { install, isInstalled } from './install.mjs';
import { CommandFailed, SIGNALS } from './progress.mjs';
import { ROOT } from './repository.mjs';

const LOCK = `${ROOT}.nx/prepare.lock`;
const LOCK_IS_TAKEN = 75;

/**
 * Brings node_modules and dist/ up to date. Takes milliseconds when they are.
 *
 * @param {{ build: boolean }} options
 * @returns {Promise<number>} 0, or the exit code to end with: what failed has been printed
 */
export async function prepare(options) {
  if (isInstalled() && (!options.build || isBuilt())) return 0;

  const command = [process.execPath, fileURLToPath(import.meta.url), ...(options.build ? ['--build'] : [])];
  if (process.platform !== 'linux') return run(command);

  // The kernel keeps the lock for as long as the process lives, so none is ever left behind. `--no-fork` makes that
  // process the command itself, which is then the one to receive our signals.
  mkdirSync(`${ROOT}.nx`, { recursive: true });
  const flock = ['flock', '--no-fork', '--conflict-exit-code', String(LOCK_IS_TAKEN)];
  const code = await run([...flock, '--nonblock', LOCK, ...command]);
  if (code !== LOCK_IS_TAKEN) return code;

  console.log('Another command is installing or building here; waiting for it.');
  return run([...flock, LOCK, ...command]);
}

/** @param {string[]} command @returns {Promise<number>} */
function run([file = '', ...args]) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: ROOT, stdio: 'inherit' });
    const pass = (/** @type {NodeJS.Signals} */ signal) => child.kill(signal);
    for (const signal of SIGNALS) process.on(signal, pass);
    child.once('error', reject);
    child.once('exit', (code) => {
      for (const signal of SIGNALS) process.off(signal, pass);
      resolve(code ?? 1);
    });
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    if (!isInstalled()) await install();
    if (process.argv.includes('--build') && !isBuilt()) await build();
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    console.error(`${error.output}\n\n${error.message}`);
    process.exitCode = 1;
  }
}
