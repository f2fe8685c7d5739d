import { isUtf8 } from 'node:buffer';
import { escapeIdentifier, Pool, type PoolClient, type QueryArrayResult, types as postgresTypes } from 'pg';
import { AttemptFailed, Calls } from './calls.js';
import { type ColumnTypes, describeColumns } from './postgres-columns.js';
import { connectionOf, queryFailure, quoteTable, type ReadVariable } from './postgres-connection.js';
import { type LoadResult, type Source, SourceRefused, type StoredValue } from './source.js';
import type { PostgresSourceDefinition } from '@cache-system/contracts';

/** The key is no value of the key column's type, so that no row has it: text that is no number, one out of its range. */
const NO_SUCH_VALUE = ['22P02', '22003', '22007', '22008'];
const { builtins } = postgresTypes;
const BINARY_TYPE: number = builtins.BYTEA;
const TEXT_TYPES: readonly number[] = [builtins.JSON, builtins.JSONB, builtins.TEXT, builtins.VARCHAR, builtins.BPCHAR];
/** Values are taken as the server wrote them: parsed and written again, large numbers would change. */
const AS_WRITTEN = { getTypeParser: () => (text: string) => text };

/** Quoted names of a table that can be written to. */
interface Columns {
  readonly table: string;
  readonly key: string;
  readonly value: string;
}

/**
 * A source in a Postgres table, or behind a query. Nothing is connected to before the first call.
 * @throws ConnectionNotSet
 */
export function openPostgresSource(definition: PostgresSourceDefinition, readVariable: ReadVariable): Source {
  const { name, prefix, postgres, hard_timeout_ms } = definition;
  const pool = new Pool({
    ...connectionOf(definition, readVariable),
    max: postgres.max_connections,
    statement_timeout: hard_timeout_ms,
  });
  // Of a connection that breaks while nobody uses it. The next call gets another one.
  pool.on('error', ignore);
  const calls = new Calls(definition);
  const rowKeyOf = (key: string) => key.slice(prefix.length);

  const call = <T>(use: (client: PoolClient) => Promise<T>, signal: AbortSignal): Promise<T> =>
    calls.run((ending) => withClient(definition, pool, use, ending), true, signal);

  const source: Source = {
    name,
    contentType: postgres.content_type,
    load: (key, _known, signal) => call((client) => load(definition, client, rowKeyOf(key)), signal),
    close: () => pool.end(),
  };
  const { table, key_column, value_column } = postgres;
  if (postgres.writable && table !== undefined && key_column !== undefined && value_column !== undefined) {
    const columns = {
      table: quoteTable(table),
      key: escapeIdentifier(key_column),
      value: escapeIdentifier(value_column),
    };
    let types: ColumnTypes | undefined;
    source.store = (key, value, signal) =>
      call(async (client) => {
        types ??= await describeColumns(name, client, columns.table, key_column, value_column);
        await store(name, client, types, columns, rowKeyOf(key), value);
      }, signal);
    source.remove = async (key, _turn, signal) => {
      const sql = `DELETE FROM ${columns.table} WHERE ${keyMatches(columns.key)}`;
      await call((client) => client.query(sql, parametersOf(rowKeyOf(key))).catch(ignoreNoSuchValue), signal);
    };
  }
  return source;
}

/** Runs queries on a connection that does not outlive a call which was given up. */
async function withClient<T>(
  definition: PostgresSourceDefinition,
  pool: Pool,
  use: (client: PoolClient) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const client = await checkOut(definition.name, pool, signal);
  // The server ends the statement by its own timeout; the connection is of no use until then.
  const abandon = () => client.release(true);
  signal.addEventListener('abort', abandon);
  // Its query fails as well when the connection breaks; an event that nobody listens to would end the process.
  client.on('error', ignore);
  try {
    return await use(client);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof SourceRefused ? error : queryFailure(definition, error);
  } finally {
    signal.removeEventListener('abort', abandon);
    if (!signal.aborted) {
      client.off('error', ignore);
      client.release();
    }
  }
}

async function checkOut(source: string, pool: Pool, signal: AbortSignal): Promise<PoolClient> {
  const client = await pool.connect().catch((cause: unknown) => {
    throw new AttemptFailed(source, { cause });
  });
  if (!signal.aborted) return client;
  client.release();
  throw signal.reason;
}

/** A key has one spelling: `007` is not the key of the row 7, or a change of that row would not be seen in it. */
function keyMatches(keyColumn: string): string {
  return `${keyColumn} = $1 AND ${keyColumn}::text = $2`;
}

/** Twice the same, as Postgres gives a parameter one type only. */
function parametersOf(rowKey: string): string[] {
  return [rowKey, rowKey];
}

async function load(
  { name, postgres, ttl }: PostgresSourceDefinition,
  client: PoolClient,
  rowKey: string,
): Promise<LoadResult> {
  const { content_type: contentType, max_bytes } = postgres;
  const result = await client
    .query<[string | null]>({ ...loadQuery(postgres, rowKey), rowMode: 'array', types: AS_WRITTEN })
    .catch(ignoreNoSuchValue);
  const [row, another] = result?.rows ?? [];
  if (another) throw new SourceRefused(name, 'query', 'more than one row has the key');
  if (!result || !row) return { status: 'missing' };
  // NULL of SQL is null of JSON: a row that is there is not a miss.
  const text = row[0] ?? (/\bjson$/.test(contentType) ? 'null' : undefined);
  if (text === undefined) return { status: 'missing' };
  const bytes = bytesOf(name, result, text);
  if (bytes.length > max_bytes) {
    throw new SourceRefused(name, 'too_large', `the value has more than ${max_bytes} bytes`);
  }
  return { status: 'found', value: { contentType, bytes }, ...(ttl !== undefined && { ttlSeconds: ttl }) };
}

function loadQuery(
  { table, key_column = '', query, value_column }: PostgresSourceDefinition['postgres'],
  rowKey: string,
): { text: string; values: string[] } {
  const value = value_column === undefined ? 'row_to_json(source)' : `source.${escapeIdentifier(value_column)}`;
  if (table === undefined) {
    // What writes cannot be a subquery. The line break ends a comment at its end.
    return { text: `SELECT ${value} FROM (${query}\n) AS source LIMIT 2`, values: [rowKey] };
  }
  const condition = keyMatches(`source.${escapeIdentifier(key_column)}`);
  return {
    text: `SELECT ${value} FROM ${quoteTable(table)} AS source WHERE ${condition} LIMIT 2`,
    values: parametersOf(rowKey),
  };
}

function bytesOf(source: string, { fields }: QueryArrayResult<[string | null]>, text: string): Buffer {
  const type = fields[0]?.dataTypeID ?? 0;
  if (type === BINARY_TYPE) return Buffer.from(text.slice('\\x'.length), 'hex');
  if (TEXT_TYPES.includes(type)) return Buffer.from(text);
  throw new SourceRefused(source, 'query', 'the value column is neither json nor jsonb, text or bytea');
}

async function store(
  source: string,
  client: PoolClient,
  { keyType, valueType, valueIsBinary }: ColumnTypes,
  { table, key, value }: Columns,
  rowKey: string,
  { bytes }: StoredValue,
): Promise<void> {
  if (!valueIsBinary && !isUtf8(bytes)) throw new SourceRefused(source, 'query', 'the value column cannot hold bytes');
  const sql = `INSERT INTO ${table} (${key}, ${value})
    SELECT $1::text::${keyType}, $2::${valueIsBinary ? '' : 'text::'}${valueType} WHERE $1::text::${keyType}::text = $1
    ON CONFLICT (${key}) DO UPDATE SET ${value} = EXCLUDED.${value}`;
  const { rowCount } = await client.query(sql, [rowKey, valueIsBinary ? bytes : bytes.toString()]);
  if (rowCount === 0) throw new SourceRefused(source, 'key', 'the database spells the key otherwise');
}

function ignore(): void {
  // What matters of it is told otherwise.
}

function ignoreNoSuchValue(error: unknown): undefined {
  if (!NO_SUCH_VALUE.includes((error as { code?: string }).code ?? '')) throw error;
}
