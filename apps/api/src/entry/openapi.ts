import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDocument } from '../platform/http/openapi.js';
import { VERSION } from '../platform/version.js';
import { createApplication } from './application.js';
import { layFoundations } from './foundations.js';
import { readSettings } from './settings.js';

/** `node openapi.js FILE` writes the OpenAPI document; with `--check` it only says whether the file is up to date. */
const [file = 'openapi.json'] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const dataDir = mkdtempSync(join(tmpdir(), 'cache-system-openapi-'));
const foundations = await layFoundations(readSettings({ DATA_DIR: dataDir, LOG_LEVEL: 'silent' }));
const app = await createApplication(foundations);
await app.init();
const text = `${JSON.stringify(createDocument(app, VERSION), null, 2)}\n`;
await app.close();
await foundations.database.stop();
rmSync(dataDir, { recursive: true, force: true });

if (!process.argv.includes('--check')) writeFileSync(file, text);
else if (readFileSync(file, 'utf8') !== text) {
  process.stderr.write(`${file} is not what the code says: run "npm run openapi" and commit the result\n`);
  process.exitCode = 1;
}
