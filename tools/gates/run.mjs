import { chmodSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startPostgres } from '../harness/postgres-process.mjs';
import { startRedis } from '../harness/redis-process.mjs';
import { createTemporaryFolder } from '../harness/tied-process.mjs';
import { prepare } from '../setup/prepare.mjs';
import { CommandFailed, SIGNALS } from '../setup/progress.mjs';
import { installSystemPackages } from '../setup/system-packages.mjs';
import { STEPS } from './steps.mjs';

const USAGE = `Usage: npm test -- [--fast] [--only <step,…>] [--grep <text in test names>] [<test file path> …]
Steps: ${STEPS.map((step) => step.name).join(', ')}`;

/** @param {string[]} args @returns {Promise<never>} */
export async function run(args) {
  const { steps, jestArgs } = readArguments(args);
  useOwnTemporaryFolder();
  const interruption = new AbortController();
  for (const signal of SIGNALS) process.on(signal, () => interruption.abort(signal));

  const total = { passed: 0, failed: 0 };
  /** @type {string[]} */
  const broken = [];
  const runInTurn = async (/** @type {import('./steps.mjs').Step[]} */ queue) => {
    const servers = createServers();
    for (let step = queue.shift(); step && !interruption.signal.aborted; step = queue.shift()) {
      const { passed, failed } =
        step.needsBuild && broken.includes('build')
          ? notRun(step.name, 'not run, as the build failed')
          : await step.run({ jestArgs, startServers: servers.start }).catch((error) => notRun(step.name, error));
      if (failed > 0) broken.push(step.name);
      total.passed += passed;
      total.failed += failed;
    }
    await servers.stop();
  };
  const ofLane = (/** @type {import('./steps.mjs').Lane} */ lane) => steps.filter((step) => step.lane === lane);

  await setUp(steps);
  await Promise.all([runInTurn(ofLane('nx')), runInTurn(ofLane('beside'))]);
  // Most of the time these wait for servers: two at once take little more than half of the time.
  const after = ofLane('after');
  await Promise.all([runInTurn(after), runInTurn(after)]);

  if (interruption.signal.aborted) {
    console.log(`Stopped by ${interruption.signal.reason}`);
    process.exit(130);
  }
  if (broken.length > 0) console.log(`Failed: ${broken.join(', ')}`);
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

/** All temporary files of this run and of what it starts go into one folder, which is removed however the run ends. */
function useOwnTemporaryFolder() {
  const folder = createTemporaryFolder('test').path;
  // Postgres runs as another user and has to reach its folder below.
  chmodSync(folder, 0o711);
  process.env['TMPDIR'] = folder;
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

/** Real servers, started when the first of the steps that run in turn asks for them. */
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
      // What did not start has been reported by the step that asked for it.
      const running = await started?.catch(() => []);
      await Promise.all(running?.map((server) => server.stop()) ?? []);
    },
  };
}

/** @param {string} name @param {unknown} reason @returns {import('./steps.mjs').Outcome} */
function notRun(name, reason) {
  console.log(`✗ ${name}  ${reason instanceof Error ? reason.stack : reason}`);
  return { passed: 0, failed: 1 };
}
