import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runWithProgress } from './progress.mjs';
import { NX_ENV, ROOT } from './repository.mjs';

const STAMP = `${ROOT}node_modules/.cache/cache-system/build.json`;
const SHARED_INPUTS = ['.swcrc', 'nx.json', 'package.json', 'package-lock.json', 'tsconfig.base.json'];
const NOT_SOURCES = new Set(['dist', 'node_modules', 'test']);

/**
 * Whether dist/ of every project is what its sources give. Decided without nx, which takes seconds to start. The stamp covers
 * the output as well: somebody may have built other sources, or removed some of it, in between.
 */
export function isBuilt() {
  const stamp = { sources: fingerprintSources(), outputs: fingerprintOutputs() };
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === JSON.stringify(stamp);
}

export async function build() {
  const sources = fingerprintSources();
  await runWithProgress('Building', 'node_modules/.bin/nx', ['run-many', '-t', 'build'], {
    cwd: ROOT,
    env: { ...process.env, ...NX_ENV },
  });
  mkdirSync(path.dirname(STAMP), { recursive: true });
  writeFileSync(STAMP, JSON.stringify({ sources, outputs: fingerprintOutputs() }));
}

function fingerprintSources() {
  const hash = createHash('sha256');
  const ofProjects = projects().flatMap((project) => files(project, (name) => !NOT_SOURCES.has(name)));
  for (const file of [...SHARED_INPUTS, ...ofProjects]) {
    const content = readFileSync(ROOT + file);
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

function fingerprintOutputs() {
  const hash = createHash('sha256');
  for (const file of projects().flatMap((project) => files(`${project}/dist`, () => true))) {
    const { size, mtimeMs } = statSync(ROOT + file);
    hash.update(`${file}\0${size}\0${mtimeMs}\0`);
  }
  return hash.digest('hex');
}

function projects() {
  return ['apps', 'libs'].flatMap((folder) =>
    readdirSync(ROOT + folder)
      .map((name) => `${folder}/${name}`)
      .filter((project) => existsSync(`${ROOT}${project}/package.json`)),
  );
}

/**
 * @param {string} folder
 * @param {(name: string) => boolean} enter which folders below to look into
 * @returns {string[]} paths from the root, sorted
 */
function files(folder, enter) {
  if (!existsSync(ROOT + folder)) return [];
  return readdirSync(ROOT + folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const file = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return enter(entry.name) ? files(file, enter) : [];
      return entry.isFile() ? [file] : [];
    });
}
