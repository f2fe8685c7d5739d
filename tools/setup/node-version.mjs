// Written for every Node that knows modules, so that an old one can say what it lacks.
import { readFileSync } from 'fs';

const needed = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).engines.node.replace(
  '>=',
  '',
);
// Any number of parts: 20.9 is older than 20.19.
const isOlder = process.versions.node.localeCompare(needed, 'en', { numeric: true }) < 0;

if (isOlder) {
  console.error(
    `Node ${needed} or newer is needed; this is ${process.versions.node} (${process.execPath}).\n` +
      'Install one from https://nodejs.org/en/download or with your version manager, then run the command again.',
  );
  process.exit(1);
}
