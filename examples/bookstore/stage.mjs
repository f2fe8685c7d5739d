import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { startApi } from '../../tools/harness/api-process.mjs';
import { eventually } from '../../tools/harness/eventually.mjs';
import { startPostgres } from '../../tools/harness/postgres-process.mjs';
import { createShop } from './shop.mjs';

const SOURCES = fileURLToPath(new URL('../../apps/api/dist/entry/sources.js', import.meta.url));
const WATCH_TIMEOUT_MS = 30_000;
const SCHEMA_EXISTS = '42P06';

/** `cache.sources`: where the cache finds the keys that begin with `book:`. */
const CACHE_SOURCES = JSON.stringify({
  definitions: [
    {
      name: 'books',
      prefix: 'book:',
      type: 'postgres',
      ttl: 300,
      postgres: {
        connection_env: 'BOOKS_DATABASE_URL',
        table: 'bookstore.books',
        key_column: 'id',
        watch: true,
      },
    },
  ],
});

const TABLE_SQL = `
  CREATE TABLE bookstore.books (id integer PRIMARY KEY, title text NOT NULL, price numeric(8, 2) NOT NULL);
  INSERT INTO bookstore.books VALUES (1, 'Python Basics', 29.99), (2, 'REST APIs', 39.99), (3, 'Data Science', 49.99)`;

/**
 * @typedef {object} Stage
 * @property {Client} sql a connection of somebody who is not the shop
 * @property {import('./shop.mjs').CacheAddress} cache
 * @property {string} shopUrl
 */

/**
 * Starts all there is to the story: Postgres with three books (DATABASE_URL, where it is set), the cache, and the shop.
 *
 * @param {(() => Promise<unknown>)[]} toClose what is to be called at the end, the last first; also when this rejects
 * @returns {Promise<Stage>}
 */
export async function setStage(toClose) {
  const databaseUrl = process.env['DATABASE_URL'] || (await ownPostgres(toClose));
  const sql = new Client({ connectionString: databaseUrl });
  await sql.connect();
  toClose.push(() => sql.end());
  await createBooks(sql, toClose);

  const env = { CACHE__SOURCES: CACHE_SOURCES, BOOKS_DATABASE_URL: databaseUrl };
  await watch('install', env);
  toClose.push(() => watch('remove', env));
  const cache = await startApi({ env });
  toClose.push(() => cache.stop());
  // Until then the cache takes everything for changed, and would drop what has just been read.
  await eventually(
    'the cache hears of changes in the table',
    () => cache.output().includes('changes of the table of a source are heard of'),
    WATCH_TIMEOUT_MS,
  );

  const shop = createShop({ databaseUrl, cache });
  toClose.push(() => shop.close());
  const shopUrl = await shop.listen({ host: '127.0.0.1', port: 0 });
  return { sql, cache, shopUrl };
}

/** @param {(() => Promise<unknown>)[]} toClose */
async function ownPostgres(toClose) {
  const postgres = await startPostgres();
  toClose.push(() => postgres.stop());
  return postgres.url;
}

/** @param {Client} sql @param {(() => Promise<unknown>)[]} toClose */
async function createBooks(sql, toClose) {
  try {
    await sql.query('CREATE SCHEMA bookstore');
  } catch (cause) {
    if (/** @type {{ code?: string }} */ (cause).code !== SCHEMA_EXISTS) throw cause;
    // It may be of a story that was interrupted, or of a real shop.
    throw new Error('The database has a schema bookstore already. If nobody needs it: DROP SCHEMA bookstore CASCADE', {
      cause,
    });
  }
  toClose.push(() => sql.query('DROP SCHEMA bookstore CASCADE'));
  await sql.query(TABLE_SQL);
}

/** `npm run sources -- watch … books` @param {'install' | 'remove'} command @param {Record<string, string>} env */
async function watch(command, env) {
  await promisify(execFile)(process.execPath, [SOURCES, 'watch', command, 'books'], {
    env: { PATH: process.env['PATH'], ...env },
  });
}
