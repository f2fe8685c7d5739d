import { spawn } from 'node:child_process';
import readline from 'node:readline';
import { stripVTControlCharacters } from 'node:util';

const LINES_KEPT = 400;
const PLAIN_INTERVAL_MS = 10_000;
const LIVE_INTERVAL_MS = 200;

/** A command ended badly; `output` is the end of what it printed. */
export class CommandFailed extends Error {
  /** @param {string} title @param {string} reason @param {string} output */
  constructor(title, reason, output) {
    super(`${title}: ${reason}`);
    this.output = output;
  }
}

/**
 * @typedef {object} CommandOptions
 * @property {string} cwd
 * @property {NodeJS.ProcessEnv} [env]
 * @property {(line: string) => string} [status] what a line of output says about how far the command is; a line that is status only is kept out of the tail
 * @property {() => string} [result] added to the line that tells the end
 * @property {number} [tailLines] how much of the output goes with a failure
 * @property {number} [timeoutMs]
 */

/**
 * Runs a command while one live line (on a terminal) or a plain line now and then tells how long it has been at it. SIGINT and
 * SIGTERM are passed on to the command and all that it started.
 *
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {CommandOptions} options
 * @returns {Promise<void>} rejects with `CommandFailed`
 */
export async function runWithProgress(title, command, args, options) {
  const { cwd, env = process.env, status = (line) => line, result = () => '', tailLines = 40, timeoutMs } = options;
  /** @type {string[]} */
  const tail = [];
  let latest = '';
  const line = createStatusLine(title, () => latest);

  // A process group of its own: a signal sent to it reaches workers, servers and browsers as well.
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const signalAll = (/** @type {NodeJS.Signals} */ signal) => {
    try {
      if (child.pid) process.kill(-child.pid, signal);
    } catch {
      // All of them have ended.
    }
  };
  process.on('SIGINT', signalAll).on('SIGTERM', signalAll);
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => signalAll('SIGKILL'), timeoutMs);

  for (const stream of [child.stdout, child.stderr]) {
    readline.createInterface({ input: stream }).on('line', (colored) => {
      const text = stripVTControlCharacters(colored);
      const told = status(text);
      latest = told.trim() || latest;
      if (told === text) tail.push(text);
      if (tail.length > LINES_KEPT) tail.shift();
    });
  }

  /** @type {string | null} */
  const failure = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => {
      // What it left running holds its pipes open and would keep `close` from coming.
      signalAll('SIGKILL');
      child.once('close', () => resolve(code === 0 ? null : signal ? `ended by ${signal}` : `exit code ${code}`));
    });
  });
  clearTimeout(timer);
  process.off('SIGINT', signalAll).off('SIGTERM', signalAll);

  line.end(failure === null, result());
  if (failure !== null) throw new CommandFailed(title, failure, tail.slice(-tailLines).join('\n'));
}

/** @param {string} title @param {() => string} latest */
function createStatusLine(title, latest) {
  const { stdout } = process;
  const started = Date.now();
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  const draw = (/** @type {string} */ text) => stdout.write(`\r\x1b[2K${text.slice(0, (stdout.columns || 80) - 1)}`);
  const timer = stdout.isTTY
    ? setInterval(() => draw(`… ${title} (${seconds()})  ${latest()}`), LIVE_INTERVAL_MS)
    : setInterval(() => console.log(`… ${title} (${seconds()})  ${latest()}`), PLAIN_INTERVAL_MS);
  if (!stdout.isTTY) console.log(`… ${title}`);

  return {
    /** @param {boolean} succeeded @param {string} result */
    end(succeeded, result) {
      clearInterval(timer);
      if (stdout.isTTY) draw('');
      console.log(`${succeeded ? '✓' : '✗'} ${title} (${seconds()})${result && `  ${result}`}`);
    },
  };
}
