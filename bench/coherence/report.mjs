import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';

const REPORT = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url));

/** How many of the first cells name a row. */
const TABLES = {
  propagation: { names: 1, head: ['stores', 'rounds', 'p50 ms', 'p99 ms', 'max ms', 'first answer old'] },
  scenarios: {
    names: 2,
    head: [
      ...[
        'stores',
        'fault',
        'seconds',
        'operations',
        'without answer',
        'STALE',
        'racing reads',
        'of them old',
        'p50 ms',
      ],
      ...['p99 ms', 'max ms', 'back to speed s', 'violations'],
    ],
  },
};

/** @typedef {{ table: keyof typeof TABLES, cells: string[] }} Row */

/**
 * Puts rows into the report, in place of those of the same name.
 *
 * @param {Row[]} rows
 */
export function writeReport(rows) {
  let text = readFileSync(REPORT, 'utf8');
  for (const [table, { names, head }] of Object.entries(TABLES)) {
    const begin = `<!-- ${table}: written by npm run bench:coherence -->`;
    const end = `<!-- ${table}: end -->`;
    const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf(end)];
    if (to < from) throw new Error(`docs/benchmarks.md has no place for ${table}`);
    const added = rows.filter((row) => row.table === table).map(({ cells }) => cells);
    if (added.length === 0) continue;
    const nameOf = (/** @type {string[]} */ cells) => cells.slice(0, names).join();
    const all = new Map([...rowsIn(text.slice(from, to)), ...added].map((cells) => [nameOf(cells), cells]));
    const sorted = [...all.values()].sort(([one = ''], [other = '']) => one.localeCompare(other));
    const lines = [head, head.map(() => '---'), ...sorted].map((cells) => `| ${cells.join(' | ')} |`);
    const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}.`;
    text = `${text.slice(0, from)}\n\n${machine}\n\n${lines.join('\n')}\n\n${text.slice(to)}`;
  }
  writeFileSync(REPORT, text);
}

/** @param {string} table @returns {string[][]} its rows, without the head */
function rowsIn(table) {
  return table
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}
