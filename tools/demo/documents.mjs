import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const MAX_VALUE_BYTES = 1024 * 1024;
const MAX_KEY_BYTES = 512;
const JSON_WHITESPACE_AROUND = /^[ \t\r\n]+|[ \t\r\n]+$/g;

/**
 * @typedef {object} Document
 * @property {string} key
 * @property {string} text JSON, byte for byte as in the file but for white space around it
 *
 * @typedef {{ notJson: number, tooLarge: number, keyTooLong: number }} Skipped
 */

/**
 * @param {string} root
 * @returns {{ documents: Document[], skipped: Skipped }} every package.json below node_modules of `root`
 */
export function findDocuments(root) {
  /** @type {Document[]} */
  const documents = [];
  const skipped = { notJson: 0, tooLarge: 0, keyTooLong: 0 };
  for (const file of packageFiles(path.join(root, 'node_modules'))) {
    const key = `demo:${path.relative(root, file)}`;
    const text = readFileSync(file, 'utf8').replace(JSON_WHITESPACE_AROUND, '');
    if (Buffer.byteLength(text) > MAX_VALUE_BYTES) skipped.tooLarge += 1;
    else if (Buffer.byteLength(key) > MAX_KEY_BYTES) skipped.keyTooLong += 1;
    else if (!isJson(text)) skipped.notJson += 1;
    else documents.push({ key, text });
  }
  return { documents, skipped };
}

/** @param {string} folder @returns {Generator<string>} */
function* packageFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    // Links lead to the workspace's own projects, which are no packages that somebody published.
    if (entry.isDirectory()) yield* packageFiles(file);
    else if (entry.isFile() && entry.name === 'package.json') yield file;
  }
}

/** @param {string} text */
function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
