import { startRedisCluster } from '../harness/redis-cluster.mjs';
import { isBuilt } from '../setup/build.mjs';
import { prepare } from '../setup/prepare.mjs';
import { CommandFailed, runWithProgress } from '../setup/progress.mjs';
import { NX_ENV, ROOT } from '../setup/repository.mjs';
import { runJest } from './jest.mjs';

/**
 * @typedef {{ passed: number, failed: number }} Outcome
 *
 * @typedef {object} Context
 * @property {string[]} jestArgs paths and options that the caller wants to reach jest
 * @property {() => Promise<Record<string, string>>} startServers starts real servers once; where tests find them, as environment
 *
 * @typedef {'nx' | 'beside' | 'after'} Lane what runs nx, one after the other; what may run beside that; and after both what starts servers, two at a time and the longest of them early
 *
 * @typedef {object} Step
 * @property {string} name
 * @property {boolean} fast
 * @property {Lane} lane
 * @property {import('../setup/system-packages.mjs').SystemPackage[]} needs
 * @property {boolean} [needsBuild]
 * @property {(context: Context) => Promise<Outcome>} run
 */

const TIMEOUT_MS = 20 * 60_000;
const SERVERS = /** @type {const} */ (['redis', 'postgres']);
/** Tests of the API that start the servers they are about: it is enough to run them once. */
const OWN_SERVERS = ['cluster-operations', 'coherence', 'layers'].map((name) => `apps/api/test/${name}\\.test\\.ts$`);
/**
 * What the cache does, of which nothing may be true of two layers only. What the other files are about does not depend on how
 * many there are, or is shown by layers.test.ts, which starts a cluster of its own.
 */
const CACHE_FEATURES = [
  ...['bulk', 'collections', 'entries', 'events', 'expiry', 'formats', 'increment', 'leases', 'objects', 'patch'],
  ...['preconditions', 'sources', 'storage-options', 'tiers', 'write-behind'],
];
const ROOT_SCRIPTS = ['tools', 'bench', 'examples', '.dependency-cruiser.cjs', 'jest.config.cjs', 'eslint.config.js'];

/** @type {Step[]} */
export const STEPS = [
  gate('format', 'beside', [['prettier', '--check', '--log-level=warn', '--cache', '--cache-strategy=content', '.']]),
  gate('lint', 'nx', [
    ['nx', 'run-many', '-t', 'lint'],
    [
      'eslint',
      '--max-warnings=0',
      '--no-error-on-unmatched-pattern',
      '--ignore-pattern=tools/fixtures',
      ...ROOT_SCRIPTS,
    ],
  ]),
  gate('types', 'nx', [
    ['nx', 'run-many', '-t', 'typecheck'],
    ['tsc', '-p', 'tsconfig.tools.json'],
  ]),
  gate('boundaries', 'beside', [['node', 'tools/gates/boundaries.mjs']]),
  gate('unused', 'beside', [['knip']]),
  gate('deployment-files', 'beside', [['node', 'tools/gates/deployment-files.mjs']]),
  gate('lock-file', 'beside', [['node', 'tools/complete-lock.mjs', '--check']]),
  {
    name: 'build',
    fast: true,
    lane: 'nx',
    needs: [],
    async run() {
      if (isBuilt()) console.log('✓ build  up to date');
      return count((await prepare({ build: true })) === 0);
    },
  },
  {
    ...gate('openapi', 'nx', [['node', 'apps/api/dist/entry/openapi.js', '--check', 'apps/api/openapi.json']]),
    needsBuild: true,
  },
  tests('unit', { fast: true, lane: 'beside' }),
  tests('engine', { needs: ['redis'] }),
  tests('api', { name: 'api-real', stores: 'real', needs: [...SERVERS], needsBuild: true }),
  tests('api', { name: 'api-embedded', needsBuild: true, without: OWN_SERVERS }),
  tests('api', {
    name: 'api-cluster',
    stores: 'cluster',
    needs: [...SERVERS],
    needsBuild: true,
    without: [`apps/api/test/(?!(${CACHE_FEATURES.join('|')})\\.test\\.ts$)`],
  }),
  tests('browser', { needs: ['chromium'], needsBuild: true }),
];

/** @param {string} name @param {Lane} lane @param {string[][]} commands @returns {Step} which passes when each of them does */
function gate(name, lane, commands) {
  return {
    name,
    fast: true,
    lane,
    needs: [],
    async run() {
      let passed = true;
      for (const [command = '', ...args] of commands) {
        const file = command === 'node' ? process.execPath : `node_modules/.bin/${command}`;
        const title = commands.length > 1 ? `${name} (${command})` : name;
        passed = (await succeeds(title, file, args)) && passed;
      }
      return count(passed);
    },
  };
}

/**
 * @param {string} project of jest.config.cjs
 * @param {{ name?: string, fast?: boolean, lane?: Lane, stores?: 'embedded' | 'real' | 'cluster', needs?: Step['needs'], needsBuild?: boolean, without?: string[] }} options
 * @returns {Step}
 */
function tests(
  project,
  { name = project, fast = false, lane = 'after', stores = 'embedded', needs = [], needsBuild = false, without = [] },
) {
  return {
    name,
    fast,
    lane,
    needs,
    needsBuild,
    async run({ jestArgs, startServers }) {
      const servers = needs.includes('redis') ? await startServers() : {};
      // Paths come first: an option that takes several values would take them as well.
      const args = [...jestArgs, ...without.flatMap((pattern) => ['--testPathIgnorePatterns', pattern])];
      const env = { TEST_STORES: stores, ...servers };
      if (stores !== 'cluster') return runJest(name, project, args, env);
      const cluster = await startRedisCluster({ masters: 3, replicasPerMaster: 0 });
      try {
        // Each file empties it for itself.
        const { addresses } = cluster;
        return await runJest(name, project, ['--runInBand', ...args], { ...env, TEST_REDIS_CLUSTER_NODES: addresses });
      } finally {
        await cluster.stop();
      }
    },
  };
}

/** @param {string} title @param {string} file @param {string[]} args */
async function succeeds(title, file, args) {
  try {
    await runWithProgress(title, file, args, {
      cwd: ROOT,
      env: { ...process.env, ...NX_ENV },
      tailLines: 200,
      timeoutMs: TIMEOUT_MS,
    });
    return true;
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    console.log(`${error.output}\n`);
    return false;
  }
}

/** @param {boolean} passed @returns {Outcome} */
function count(passed) {
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1 };
}
