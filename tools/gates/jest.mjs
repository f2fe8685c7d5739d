import { readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { CommandFailed, runWithProgress } from '../setup/progress.mjs';
import { ROOT } from '../setup/repository.mjs';

const TIMEOUT_MS = 40 * 60_000;

/**
 * @typedef {object} JestResults
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {number} numPendingTests
 * @property {number} numRuntimeErrorTestSuites files that failed before a test ran
 * @property {{ name: string, status: string }[]} testResults a file each
 */

/** More files than this do not fail by chance. */
const SECOND_LOOKS = 3;

/**
 * Runs the tests of a project. A file that failed among others is run once more, by itself: real servers on a busy machine can
 * be too late for a test. A fault that shows by chance gets past this as well, so what failed is printed even so, and the file
 * is named as unsteady, which is to be looked into.
 *
 * @param {string} title
 * @param {string} project
 * @param {string[]} args
 * @param {Record<string, string>} env
 * @returns {Promise<import('./steps.mjs').Outcome>} a run without a single test counts as failed
 */
export async function runJest(title, project, args, env) {
  const outcome = await runOnce(title, project, args, env);
  const { failedFiles } = outcome;
  if (failedFiles.length === 0 || failedFiles.length > SECOND_LOOKS) return outcome;
  const again = await runOnce(`${title}, once more`, project, ['--runInBand', '--runTestsByPath', ...failedFiles], env);
  if (again.failed > 0) return outcome;
  console.log(`! ${title}  unsteady, passed when run by themselves: ${failedFiles.join(', ')}`);
  return { passed: outcome.passed + outcome.failed, failed: 0 };
}

/**
 * @param {string} title
 * @param {string} project
 * @param {string[]} args
 * @param {Record<string, string>} env
 * @returns {Promise<import('./steps.mjs').Outcome & { failedFiles: string[] }>} with no files when something outside of the tests failed
 */
async function runOnce(title, project, args, env) {
  const file = path.join(os.tmpdir(), `${title}.json`);
  let output = '';
  try {
    await runWithProgress(
      title,
      'node_modules/.bin/jest',
      // What a test that failed has left running must not keep the run from its end.
      ['--ci', '--forceExit', '--selectProjects', project, '--json', '--outputFile', file, ...args],
      {
        cwd: ROOT,
        env: { ...process.env, ...env, NODE_ENV: 'test' },
        tailLines: 300,
        timeoutMs: TIMEOUT_MS,
        result: () => describe(readResults(file)),
      },
    );
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    output = error.output;
    console.log(`${output}\n`);
  }
  const results = readResults(file);
  rmSync(file, { force: true });
  if (!results) return { passed: 0, failed: 1, failedFiles: [] };

  const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
  const failedFiles = results.testResults.filter(({ status }) => status === 'failed').map(({ name }) => name);
  return {
    passed: results.numPassedTests,
    // All tests passed and yet jest was not content: something outside of them went wrong.
    failed: output && failed === 0 ? 1 : failed,
    failedFiles: failedFiles.map((name) => path.relative(ROOT, name)),
  };
}

/** @param {string} file @returns {JestResults | null} */
function readResults(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/** @param {JestResults | null} results */
function describe(results) {
  if (!results) return 'no tests ran';
  const { numPassedTests, numFailedTests, numPendingTests, numRuntimeErrorTestSuites } = results;
  return [
    `${numPassedTests} passed`,
    ...(numFailedTests ? [`${numFailedTests} failed`] : []),
    ...(numRuntimeErrorTestSuites ? [`${numRuntimeErrorTestSuites} files did not run`] : []),
    ...(numPendingTests ? [`${numPendingTests} skipped`] : []),
  ].join(', ');
}
