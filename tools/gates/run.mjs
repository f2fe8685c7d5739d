import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../harness/postgres-process.mjs';
import { startRedis } from '../harness/redis-process.mjs';
import { prepare } from '../setup/prepare.mjs';
import { CommandFailed } from '../setup/progress.mjs';
import { installSystemPackages } from '../setup/system-packages.mjs';
import { STEPS } from './steps.mjs';

const USAGE = `Usage: npm test -- [--fast] [--only <step,…>] [--grep <text in test names>] [<test file path> …]
Steps: ${STEPS.map((step) => step.name).join(', ')}`;

/** @param {string[]} args @returns {Promise<never>} */
export async function run(args) {
  const { steps, jestArgs } = readArguments(args);
  const folder = ownTemporaryFolder();
  /** @type {NodeJS.Signals | null} */
  let interruption = null;
  const interrupt = (/** @type {NodeJS.Signals} */ signal) => {
    interruption = signal;
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);

  const servers = createServers();
  const total = { passed: 0, failed: 0 };
  const broken = new Set();
  await setUp(steps);
  for (const step of steps) {
    if (interruption) break;
    const outcome =
      step.needsBuild && broken.has('build')
        ? notRun(step.name)
        : await step.run({ jestArgs, startServers: servers.start });
    if (outcome.failed > 0) broken.add(step.name);
    total.passed += outcome.passed;
    total.failed += outcome.failed;
  }
  await servers.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });

  if (interruption) {
    console.log(`Stopped by ${interruption}`);
    process.exit(130);
  }
  if (broken.size > 0) console.log(`Failed: ${[...broken].join(', ')}`);
  console.log(`${total.passed} passed, ${total.failed} failed`);
  process.exit(total.failed === 0 ? 0 : 1);
}

/** @param {string[]} args */
function readArguments(args) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { fast: { type: 'boolean' }, only: { type: 'string' }, grep: { type: 'string' } },
    });
    const only = values.only?.split(',');
    const unknown = only?.filter((name) => !STEPS.some((step) => step.name === name)) ?? [];
    if (unknown.length > 0) throw new Error(`No such step: ${unknown.join(', ')}`);
    return {
      steps: STEPS.filter((step) => (only ? only.includes(step.name) : !values.fast || step.fast)),
      jestArgs: [...positionals, ...(values.grep ? ['--testNamePattern', values.grep] : [])],
    };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    process.exit(2);
  }
}

/** All temporary files of this run and of what it starts go into one folder, so that none stays, whatever happens to them. */
function ownTemporaryFolder() {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'cs-test-'));
  // Postgres runs as another user and has to reach its folder below.
  chmodSync(folder, 0o711);
  process.env['TMPDIR'] = folder;
  return folder;
}

/** @param {import('./steps.mjs').Step[]} steps */
async function setUp(steps) {
  try {
    const code = await prepare({
      build: steps.some((step) => step.needsBuild) && !steps.some((step) => step.name === 'build'),
    });
    if (code !== 0) process.exit(code);
    const lacking = await installSystemPackages([...new Set(steps.flatMap((step) => step.needs))]);
    if (!lacking) return;
    console.error(lacking);
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    console.error(`${error.output}\n${error.message}`);
  }
  process.exit(1);
}

/** Real servers, started when the first step asks for them. */
function createServers() {
  /** @type {Promise<[import('../harness/redis-process.mjs').RedisProcess, import('../harness/postgres-process.mjs').PostgresProcess]> | undefined} */
  let started;
  return {
    async start() {
      started ??= Promise.all([startRedis(), startPostgres()]);
      const [redis, postgres] = await started;
      return { TEST_REDIS_URL: redis.url, TEST_DATABASE_URL: postgres.url };
    },
    async stop() {
      await Promise.all((await started)?.map((server) => server.stop()) ?? []);
    },
  };
}

/** @param {string} name @returns {import('./steps.mjs').Outcome} */
function notRun(name) {
  console.log(`✗ ${name}  not run, as the build failed`);
  return { passed: 0, failed: 1 };
}
