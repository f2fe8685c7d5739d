import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

const SOURCE = path.resolve(__dirname, '../src');
const CHILD = path.resolve(__dirname, 'memory-child.mjs');
const ROOT = path.resolve(__dirname, '../../..');
const LIMIT_MB = 64;
const ALLOWED = 1.25;

interface Sample {
  readonly when: string;
  readonly usedMb: number;
  readonly count: number;
  readonly sizeMb: number;
  readonly maxSizeMb: number;
}

let built: string;

/** Jest's own compiled code would be measured with its wrappers: what is measured is compiled as the build does it. */
beforeAll(() => {
  built = mkdtempSync(path.join(ROOT, 'node_modules/.cache-engine-'));
  const swc = path.join(path.dirname(createRequire(__filename).resolve('@swc/cli/package.json')), 'bin/swc.js');
  const options = ['-d', built, '--strip-leading-paths', '--config-file', path.join(ROOT, '.swcrc'), '--quiet'];
  execFileSync(process.execPath, [swc, 'src', ...options], { cwd: path.dirname(SOURCE) });
});
afterAll(() => rmSync(built, { recursive: true, force: true }));

test.each(['lru', 'lfu', 'random'])(
  `heap and buffers stay under ${ALLOWED} x ${LIMIT_MB} MB with entries of 100 B, 1 KB and 100 KB, policy %s`,
  (policy) => {
    const output = execFileSync(process.execPath, ['--expose-gc', CHILD, built, String(LIMIT_MB), policy], {
      encoding: 'utf8',
      env: { ...process.env, TMPDIR: tmpdir() },
    });
    const samples = JSON.parse(output) as Sample[];
    expect(samples.length).toBeGreaterThan(3);
    for (const { usedMb, maxSizeMb } of samples) {
      expect(usedMb).toBeLessThan(LIMIT_MB * ALLOWED);
      expect(maxSizeMb).toBeLessThanOrEqual(LIMIT_MB);
    }
    // Nor is the bound kept by leaving it empty.
    expect(samples.at(-1)!.sizeMb).toBeGreaterThan(LIMIT_MB * 0.8);
  },
);
