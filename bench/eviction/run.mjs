import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { prepare } from '../../tools/setup/prepare.mjs';
import { importPolicies } from './engine.mjs';
import { replay } from './replay.mjs';
import { measureSpeed } from './speed.mjs';
import { givenFigures, hasTraces, readTrace } from './traces.mjs';

/** `npm run bench:eviction`: hit ratios of every policy on real traces, and what a hit and a write cost. */
const REPORT = fileURLToPath(new URL('../../docs/benchmarks-eviction.md', import.meta.url));
const POLICIES = ['lru', 'lfu', 'random'];
/** The policy makes random choices: it is shown at its worst. */
const RUNS = 5;
const BEST_OF = ['S3-FIFO', 'ARC', 'W-TinyLFU HC'];
/** How far `lfu` may stay behind the best of them, in points. */
const ALLOWED = 1;
/** @type {import('./traces.mjs').Given[]} */
const MORE_ROWS = [100, 300, 1000, 3000].map((size) => ({ trace: 'cache2k_web07', size, ratios: {} }));

if (!hasTraces()) {
  console.error('npm run bench:eviction needs the traces in ../shared/data/traces');
  process.exit(1);
}
await prepare({ build: true });
const { createPolicy } = await importPolicies();

const ratios = hitRatios();
console.log(`${ratios}\n`);
const speed = speedTable();
console.log(`${speed}\n`);
writeReport('ratios', ratios);
writeReport('speed', `${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.version}.\n\n${speed}`);

function hitRatios() {
  const rows = [...givenFigures(), ...MORE_ROWS].map(({ trace, size, ratios }) => {
    const keys = readTrace(trace);
    const [lru, lfu, random] = POLICIES.map((name) =>
      Math.min(
        ...Array.from({ length: name === 'lru' ? 1 : RUNS }, () =>
          replay(createPolicy(/** @type {'lru'} */ (name)), keys, size),
        ),
      ),
    );
    const given = Object.values(ratios);
    const best = Math.max(...BEST_OF.map((name) => ratios[name] ?? NaN));
    const figures = [lru, ratios['LRU'], lfu, best, (lfu ?? NaN) - best + ALLOWED, random, given.at(-1)];
    return [
      trace,
      String(size),
      ...figures.map((figure) => (figure === undefined || Number.isNaN(figure) ? '' : figure.toFixed(2))),
    ];
  });
  const head = ['trace', 'size', 'lru', 'LRU given', 'lfu', 'best given', 'above target', 'random', 'OPT given'];
  return table(head, rows);
}

function speedTable() {
  const head = ['', 'hit ns', '× npm', 'set ns', '× npm', 'heap bytes a hit'];
  const rows = measureSpeed().map((one) => [
    one.name,
    one.hitNs.toFixed(0),
    one.hitRatio.toFixed(2),
    one.setNs.toFixed(0),
    one.setRatio.toFixed(2),
    one.bytesPerHit.toFixed(2),
  ]);
  return table(head, rows);
}

/** @param {string[]} head @param {string[][]} rows */
function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** @param {string} name @param {string} results */
function writeReport(name, results) {
  const begin = `<!-- ${name}: written by npm run bench:eviction -->`;
  const end = `<!-- ${name}: end -->`;
  const text = readFileSync(REPORT, 'utf8');
  const [before, after] = [text.slice(0, text.indexOf(begin)), text.slice(text.indexOf(end))];
  writeFileSync(REPORT, `${before}${begin}\n\n${results}\n\n${after}`);
}
