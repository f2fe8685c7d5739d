import { readFileSync } from 'node:fs';
import { ROOT } from './repository.mjs';
import { runWithProgress } from './progress.mjs';

/** @typedef {{ version?: string, integrity?: string, resolved?: string, optional?: boolean, link?: boolean }} LockedPackage */

/**
 * Whether node_modules is what package-lock.json says. npm keeps a list of what it installed, written last; comparing the
 * two notices a changed lock file and an interrupted install, and accepts what a developer's own `npm install` made.
 */
export function isInstalled() {
  const locked = readPackages(`${ROOT}package-lock.json`);
  const installed = readPackages(`${ROOT}node_modules/.package-lock.json`);
  if (!locked) throw new Error('package-lock.json is missing');
  if (!installed) return false;

  const paths = new Set([...Object.keys(locked), ...Object.keys(installed)]);
  paths.delete('');
  return [...paths].every((path) => isSame(locked[path], installed[path]));
}

/** Does what `npm ci` does, with how many packages have arrived as the progress. */
export async function install() {
  const total = Object.values(readPackages(`${ROOT}package-lock.json`) ?? {}).filter((entry) => entry.integrity).length;
  let arrived = 0;
  await runWithProgress(
    'Installing npm packages',
    'npm',
    // Nothing installed here needs its install script: native parts come prebuilt as packages of their own.
    // `--include=dev`, as NODE_ENV=production would otherwise leave out the compiler.
    ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=http', '--no-progress'],
    {
      cwd: ROOT,
      status(line) {
        if (!line.startsWith('npm http')) return line;
        if (line.includes('.tgz ')) arrived += 1;
        return `${arrived} of at most ${total} packages`;
      },
    },
  );
}

/** @param {string} file @returns {Record<string, LockedPackage> | null} */
function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return null;
  }
}

/** @param {LockedPackage | undefined} locked @param {LockedPackage | undefined} installed */
function isSame(locked, installed) {
  if (!locked) return false;
  // Builds for other platforms are listed but not installed.
  if (!installed) return locked.optional === true;
  return (
    locked.version === installed.version && locked.integrity === installed.integrity && locked.link === installed.link
  );
}
