import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const FOLDER = fileURLToPath(new URL('../../../shared/data/traces/', import.meta.url));
/** With what the given table calls its columns. */
const ROW = /^\| (\w+) \| (\d+) \|(.*)\|$/;

/**
 * @typedef {object} Given hit ratios in percent, as published with the traces
 * @property {string} trace
 * @property {number} size
 * @property {Record<string, number>} ratios by policy
 */

/** The traces lie beside the repository and may be absent. */
export function hasTraces() {
  return existsSync(FOLDER);
}

/** @param {string} name @returns {string[]} the keys in the order in which they were asked for */
export function readTrace(name) {
  return gunzipSync(readFileSync(`${FOLDER}${name}.txt.gz`))
    .toString('latin1')
    .trim()
    .split('\n');
}

/** @returns {Given[]} */
export function givenFigures() {
  /** @type {string[]} */
  let columns = [];
  /** @type {Given[]} */
  const rows = [];
  for (const line of readFileSync(`${FOLDER}README.md`, 'utf8').split('\n')) {
    if (line.startsWith('| trace | size |')) columns = cells(line).slice(2);
    const [, trace, size, rest] = ROW.exec(line) ?? [];
    if (trace === undefined || rest === undefined || columns.length === 0) continue;
    const figures = cells(`|${rest}|`).map(Number);
    rows.push({
      trace,
      size: Number(size),
      ratios: Object.fromEntries(columns.map((name, index) => [name, figures[index] ?? NaN])),
    });
  }
  return rows;
}

/** @param {string} line */
function cells(line) {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}
