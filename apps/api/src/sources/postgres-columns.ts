import type { PoolClient } from 'pg';
import { SourceRefused } from './source.js';

/** Types of the columns of a table, as SQL. */
export interface ColumnTypes {
  readonly keyType: string;
  readonly valueType: string;
  /** The value column is bytea. */
  readonly valueIsBinary: boolean;
}

/** Without lengths: a cast would cut off in silence what is too long for the column. */
const TYPES_SQL = `
  SELECT attname AS name, format_type(a.atttypid, -1) AS type, COALESCE(NULLIF(t.typbasetype, 0), t.oid)::regtype::text AS base
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = $1::regclass AND attname IN ($2, $3) AND NOT attisdropped`;

/** @throws SourceRefused when there are no such columns */
export async function describeColumns(
  source: string,
  client: PoolClient,
  table: string,
  keyColumn: string,
  valueColumn: string,
): Promise<ColumnTypes> {
  const { rows } = await client.query<{ name: string; type: string; base: string }>(TYPES_SQL, [
    table,
    keyColumn,
    valueColumn,
  ]);
  const key = rows.find(({ name }) => name === keyColumn);
  const value = rows.find(({ name }) => name === valueColumn);
  if (!key || !value) throw new SourceRefused(source, 'query', 'the table has no such columns');
  return { keyType: key.type, valueType: value.type, valueIsBinary: value.base === 'bytea' };
}
