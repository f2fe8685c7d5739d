import { type ClientConfig, escapeIdentifier } from 'pg';
import { AttemptFailed } from './calls.js';
import { SourceRefused, SourceTimeout } from './source.js';
import type { PostgresSourceDefinition } from '@cache-system/contracts';

/** Value of an environment variable. */
export type ReadVariable = (name: string) => string | undefined;

/** The environment lacks what the configuration names. */
export class ConnectionNotSet extends Error {
  constructor(source: string, variable: string) {
    super(`the source ${source} needs ${variable}, which is not set`);
  }
}

/** @throws ConnectionNotSet */
export function connectionOf({ name, postgres }: PostgresSourceDefinition, readVariable: ReadVariable): ClientConfig {
  const connectionString = readVariable(postgres.connection_env);
  if (connectionString === undefined || connectionString === '')
    throw new ConnectionNotSet(name, postgres.connection_env);
  return {
    connectionString,
    connectionTimeoutMillis: postgres.connect_timeout_ms,
    application_name: `cache-system source ${name}`,
    keepAlive: true,
  };
}

/** `table` or `schema.table` for use in SQL. */
export function quoteTable(table: string): string {
  return table.split('.').map(escapeIdentifier).join('.');
}

/** Of Postgres: data exceptions, broken constraints, no such table or column, no right to it, not supported. */
const AT_FAULT = /^(0A|22|23|42|44)/;
const QUERY_CANCELLED = '57014';

/** What the failure of a query that may be repeated means for the caller. */
export function queryFailure({ name, hard_timeout_ms }: PostgresSourceDefinition, cause: unknown): Error {
  const { code = '', message } = cause as { code?: string; message: string };
  if (code === QUERY_CANCELLED) return new SourceTimeout(name, hard_timeout_ms, { cause });
  if (AT_FAULT.test(code)) return new SourceRefused(name, 'query', `the database says ${code}: ${message}`, { cause });
  return new AttemptFailed(name, { cause });
}
