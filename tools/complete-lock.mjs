// `node tools/complete-lock.mjs`: adds to package-lock.json the optional packages for other platforms that npm left out of it.
// npm does so when the registry it used has them not, and `npm ci` then refuses the file, here and elsewhere. `--check` only looks.
import { readFileSync, writeFileSync } from 'node:fs';
import { ROOT } from './setup/repository.mjs';

/**
 * @typedef {object} LockedPackage
 * @property {string} [version]
 * @property {boolean} [dev]
 * @property {boolean} [optional]
 * @property {string[]} [os]
 * @property {string[]} [cpu]
 * @property {Record<string, string>} [optionalDependencies]
 */

const FILE = `${ROOT}package-lock.json`;
const OS = /darwin|linux|win32|freebsd|android|openharmony/;
const CPU = /arm64|x64|ia32|ppc64|s390x|riscv64|loong64|wasm32|arm/;

/** @type {{ packages: Record<string, LockedPackage> }} */
const lock = JSON.parse(readFileSync(FILE, 'utf8'));
/** @type {Record<string, LockedPackage>} */
const missing = {};

for (const [path, { optionalDependencies = {}, dev }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    if (isLocked(name, path)) continue;
    const os = OS.exec(name)?.[0];
    const cpu = CPU.exec(name)?.[0];
    missing[`node_modules/${name}`] = {
      version,
      ...(cpu && { cpu: [cpu] }),
      ...(dev && { dev }),
      optional: true,
      ...(os && { os: [os] }),
    };
  }
}

const paths = Object.keys(missing);
if (paths.length === 0) {
  console.log('package-lock.json is complete');
} else if (process.argv.includes('--check')) {
  console.error(
    `package-lock.json lacks ${paths.length} optional packages; run: node tools/complete-lock.mjs\n${paths.join('\n')}`,
  );
  process.exitCode = 1;
} else {
  const packages = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) => a.localeCompare(b, 'en'));
  writeFileSync(FILE, `${JSON.stringify({ ...lock, packages: Object.fromEntries(packages) }, null, 2)}\n`);
  console.log(`Added ${paths.length} packages to package-lock.json`);
}

/** @param {string} name @param {string} from the path of the package that asks for it */
function isLocked(name, from) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (lock.packages[`${folder && `${folder}/`}node_modules/${name}`]) return true;
    if (!folder) return false;
  }
}
