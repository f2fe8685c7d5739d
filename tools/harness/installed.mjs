import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

const DEBIAN_POSTGRES = '/usr/lib/postgresql';
const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** @param {string} command @returns {string | null} its absolute path, when it is in PATH */
export function findCommand(command) {
  const candidates = (process.env['PATH'] ?? '').split(path.delimiter).map((folder) => path.join(folder, command));
  return candidates.find(isExecutable) ?? null;
}

/** @returns {string | null} folder of initdb and postgres, which Debian keeps out of PATH */
export function findPostgres() {
  const inPath = findCommand('initdb');
  if (inPath) return path.dirname(inPath);
  if (!existsSync(DEBIAN_POSTGRES)) return null;
  const newestFirst = readdirSync(DEBIAN_POSTGRES).sort((a, b) => Number(b) - Number(a));
  return (
    newestFirst.map((version) => `${DEBIAN_POSTGRES}/${version}/bin`).find((bin) => isExecutable(`${bin}/initdb`)) ??
    null
  );
}

/** @returns {string | null} a Chromium for playwright-core's `executablePath`; CHROMIUM_PATH names another than the first found */
export function findChromium() {
  return process.env['CHROMIUM_PATH'] ?? BROWSERS.map(findCommand).find((file) => file !== null) ?? null;
}

/** Whether a Docker engine answers; the client alone is of no use. */
export function isDockerRunning() {
  try {
    execFileSync('docker', ['version', '--format', '{{.Server.Version}}'], { stdio: 'ignore', timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
