// Checks the rules of .dependency-cruiser.cjs, and that each of them would notice: a fixture breaks every one.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { ROOT } from '../setup/repository.mjs';

const FIXTURE = `${ROOT}tools/fixtures/boundaries`;

/**
 * @typedef {object} Cruise
 * @property {{ dependencies: { module: string, resolved: string }[] }[]} modules
 * @property {{ totalCruised: number, violations: { rule: { name: string }, from: string, to: string }[], ruleSetUsed: { forbidden: { name: string }[] } }} summary
 */

/** @param {string} folder @returns {Cruise} */
function cruise(folder) {
  const sources = ['apps', 'libs', 'tools', 'bench', 'examples'].filter((name) => existsSync(`${folder}/${name}`));
  const args = ['--config', `${ROOT}.dependency-cruiser.cjs`, '--output-type', 'json', ...sources];
  return JSON.parse(
    execFileSync(`${ROOT}node_modules/.bin/depcruise`, args, { cwd: folder, encoding: 'utf8', maxBuffer: 2 ** 28 }),
  );
}

const repository = cruise(ROOT);
const problems = repository.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`);

// An import that was not followed breaks no rule, so the rules between projects would hold for nothing.
const followed = repository.modules
  .flatMap((module) => module.dependencies)
  .filter(({ resolved }) => /^libs\/[^/]+\/src\/index\.ts$/.test(resolved));
if (!followed.some(({ module }) => module.startsWith('@cache-system/'))) {
  problems.push('imports of @cache-system/* do not lead to the sources of those projects');
}

const fixture = cruise(FIXTURE).summary;
const noticed = new Set(fixture.violations.map(({ rule }) => rule.name));
for (const { name } of fixture.ruleSetUsed.forbidden) {
  if (!noticed.has(name)) problems.push(`${name}: not noticed in tools/fixtures/boundaries, which breaks it`);
}

if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exitCode = 1;
} else {
  console.log(`${repository.summary.totalCruised} modules keep the rules; ${noticed.size} rules noticed their fixture`);
}
