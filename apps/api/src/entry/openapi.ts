import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDocument } from '../platform/http/openapi.js';
import { RouteTable } from '../platform/http/route-table.js';
import { VERSION } from '../platform/version.js';
import { createApplication } from './application.js';
import { layFoundations } from './foundations.js';
import { readSettings } from './settings.js';
import { undocumentedRoutes } from './undocumented-routes.js';

/** `node openapi.js FILE` writes the OpenAPI document; with `--check` it only says whether the file is up to date. Fails where a route is left out. */
const [file = 'openapi.json'] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const dataDir = mkdtempSync(join(tmpdir(), 'cache-system-openapi-'));
const foundations = await layFoundations(readSettings({ DATA_DIR: dataDir, LOG_LEVEL: 'silent' }));
const app = await createApplication(foundations);
await app.init();
const document = createDocument(app, VERSION);
const text = `${JSON.stringify(document, null, 2)}\n`;
const undocumented = undocumentedRoutes(app.get(RouteTable).all, document);
await app.close();
await foundations.database.stop();
rmSync(dataDir, { recursive: true, force: true });

if (undocumented.length > 0) {
  process.stderr.write(`routes that are not in the document: ${undocumented.join(', ')}\n`);
  process.exitCode = 1;
} else if (!process.argv.includes('--check')) writeFileSync(file, text);
else if (readFileSync(file, 'utf8') !== text) {
  process.stderr.write(`${file} is not what the code says: run "npm run openapi" and commit the result\n`);
  process.exitCode = 1;
}
