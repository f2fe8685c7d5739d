import { Client } from 'pg';
import { connectionOf, type ReadVariable } from './postgres-connection.js';
import type { PostgresSourceDefinition } from '@cache-system/contracts';
import { installSql, removeSql, WATCH_SCHEMA, watchedTable } from './watch-sql.js';

/** One that waits for the table behind a long transaction holds up all who want to use it after that. */
const LOCK_TIMEOUT_MS = 5000;

/**
 * Installs what tells of changes of the table of a source, or brings it up to date: a table of changes, and triggers that
 * write to it and notify. The role of the source has to own the table and may have to create schemas in the database. May
 * be run again at any time. Postgres 14 or newer.
 *
 * @throws ConnectionNotSet, NotWatchable, what Postgres says; nothing is installed then
 */
export async function installWatch(definition: PostgresSourceDefinition, readVariable: ReadVariable): Promise<void> {
  await inTransaction(definition, readVariable, installSql(watchedTable(definition)));
}

/**
 * Removes what `installWatch` has installed for this source. May be run again at any time.
 * @throws ConnectionNotSet, NotWatchable, what Postgres says; nothing is removed then
 */
export async function removeWatch(definition: PostgresSourceDefinition, readVariable: ReadVariable): Promise<void> {
  await inTransaction(definition, readVariable, removeSql(watchedTable(definition)));
}

async function inTransaction(
  definition: PostgresSourceDefinition,
  readVariable: ReadVariable,
  statements: readonly string[],
): Promise<void> {
  const client = new Client(connectionOf(definition, readVariable));
  // The query fails as well; an event that nobody listens to would end the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    // Two that install at the same time would fail on each other.
    await client.query('SELECT pg_advisory_xact_lock(hashtext($1))', [WATCH_SCHEMA]);
    for (const statement of statements) await client.query(statement);
    await client.query('COMMIT');
  } finally {
    // What was not committed is undone with the connection.
    await client.end();
  }
}
