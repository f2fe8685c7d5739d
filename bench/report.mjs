import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';

const REPORT = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url));

/** @param {readonly number[]} numbers */
export function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

/** @param {readonly string[]} head @param {readonly (readonly unknown[])[]} rows @returns {string} in Markdown */
export function tableOf(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/**
 * Replaces what docs/benchmarks.md has between the marks of a table.
 *
 * @param {string} name of the table
 * @param {string} command that writes it
 * @param {string} rounds how it was measured
 * @param {string} table
 */
export function writeTable(name, command, rounds, table) {
  const [begin, end] = [`<!-- ${name}: written by ${command} -->`, `<!-- ${name}: end -->`];
  const text = readFileSync(REPORT, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md has no place for ${name}`);
  const day = new Date().toISOString().slice(0, 10);
  const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, Node ${process.version}, ${day}`;
  writeFileSync(REPORT, `${text.slice(0, from)}${begin}\n\n${machine}; ${rounds}.\n\n${table}\n\n${text.slice(to)}`);
}
