import path from 'node:path';
import { createTemporaryFolder, spawnTied } from '../../../../tools/harness/tied-process.mjs';

const entry = (name: string) => path.join(__dirname, `../../dist/entry/${name}.js`);
/** The promise about a start that cannot be: it says so within this time. */
const REFUSAL_LIMIT_MS = 15_000;

export interface Refusal {
  readonly exitCode: number;
  /** What was printed, line by line. */
  readonly lines: readonly string[];
  /** The lines that name a problem, without their bullets. */
  readonly problems: readonly string[];
}

/** Starts the service as somebody does who has set nothing but this, and waits for it to give up. */
export async function refusedStart(env: Readonly<Record<string, string>>): Promise<Refusal> {
  const folder = createTemporaryFolder('refused');
  const server = spawnTied(process.execPath, [entry('server')], {
    env: { PATH: process.env['PATH'] ?? '', PORT: '0', DATA_DIR: path.join(folder.path, 'data'), ...env },
  });
  const timer = setTimeout(() => server.process.kill('SIGKILL'), REFUSAL_LIMIT_MS);
  const exitCode = await server.ended;
  clearTimeout(timer);
  folder.remove();
  if (exitCode === null) throw new Error(`went on after ${REFUSAL_LIMIT_MS} ms:\n${server.output()}`);
  const lines = server.output().trimEnd().split('\n');
  const problems = lines.filter((line) => line.startsWith('  - ')).map((line) => line.slice('  - '.length));
  return { exitCode, lines, problems };
}

/** Runs one of the commands beside the server. */
export async function runCommand(name: string, env: Readonly<Record<string, string>>, ...args: string[]) {
  const command = spawnTied(process.execPath, [entry(name), ...args], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
  });
  const exitCode = await command.ended;
  return { exitCode, output: command.output() };
}

/** A refusal that is nothing but its problems, each in a line: no stack trace, no warning. */
export function expectRefusal({ exitCode, lines, problems }: Refusal, expected: readonly RegExp[]): void {
  expect(problems).toEqual(expected.map((pattern) => expect.stringMatching(pattern) as string));
  expect(lines).toEqual(['Cache System cannot start:', ...problems.map((problem) => `  - ${problem}`)]);
  expect(exitCode).toBe(1);
}
