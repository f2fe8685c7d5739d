import { spawn } from 'node:child_process';
import readline from 'node:readline';
import { stripVTControlCharacters } from 'node:util';

/** What ends this process, and with it what it runs. */
export const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

const LINES_KEPT = 400;
const PLAIN_INTERVAL_MS = 10_000;
const LIVE_INTERVAL_MS = 200;
const CLEAR_LINE = '\r\x1b[2K';

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
 * Runs a command while one live line (on a terminal) or a plain line now and then tells how long it has been at it. Signals
 * are passed on to the command and all that it started.
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
  for (const signal of SIGNALS) process.on(signal, signalAll);
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
  for (const signal of SIGNALS) process.off(signal, signalAll);

  line.end(failure === null, result());
  if (failure !== null) throw new CommandFailed(title, failure, tail.slice(-tailLines).join('\n'));
}

/** @type {Set<() => string>} the commands that run now, several when the caller runs several at once */
const running = new Set();
/** @type {NodeJS.Timeout | undefined} */
let timer;

/** @param {string} title @param {() => string} latest */
function createStatusLine(title, latest) {
  const { stdout } = process;
  const started = Date.now();
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  const status = () => `… ${title} (${seconds()})  ${running.size > 1 && stdout.isTTY ? '' : latest()}`;

  running.add(status);
  if (!stdout.isTTY) console.log(`… ${title}`);
  timer ??= setInterval(show, stdout.isTTY ? LIVE_INTERVAL_MS : PLAIN_INTERVAL_MS);

  return {
    /** @param {boolean} succeeded @param {string} result */
    end(succeeded, result) {
      running.delete(status);
      if (running.size === 0) {
        clearInterval(timer);
        timer = undefined;
      }
      if (stdout.isTTY) stdout.write(CLEAR_LINE);
      console.log(`${succeeded ? '✓' : '✗'} ${title} (${seconds()})${result && `  ${result}`}`);
    },
  };
}

function show() {
  const { stdout } = process;
  const lines = [...running].map((status) => status());
  if (stdout.isTTY) stdout.write(CLEAR_LINE + lines.join('').slice(0, (stdout.columns || 80) - 1));
  else for (const line of lines) console.log(line);
}
