import { Client } from 'pg';
import { eventually } from '../../../../tools/harness/eventually.mjs';
import { startPostgres } from '../../../../tools/harness/postgres-process.mjs';
import { startTcpProxy } from '../../../../tools/harness/tcp-proxy.mjs';
import { openPostgresSource } from '../../src/sources/postgres-source.js';
import { PostgresWatch, WatchNotInstalled } from '../../src/sources/postgres-watch.js';
import { FAST, never } from './source-calls.js';
import type { Source } from '../../src/sources/source.js';
import { type PostgresSourceDefinition, sourcesSchema } from '@cache-system/contracts';

/** The source of most tests: the table `shop.books (id integer PRIMARY KEY, book jsonb)`. */
export const BOOKS = { table: 'shop.books', key_column: 'id', value_column: 'book' };

/** @param more parts of the definition outside of its `postgres` section */
export function definitionOf(postgres: object = BOOKS, more: object = {}): PostgresSourceDefinition {
  const section = { connection_env: 'BOOKS', ...postgres };
  const definition = { name: 'books', prefix: 'book:', type: 'postgres', ...FAST, ...more, postgres: section };
  const [parsed] = sourcesSchema.parse({ definitions: [definition] }).definitions;
  if (parsed?.type !== 'postgres') throw new Error('not a Postgres source');
  return parsed;
}

export const load = (source: Source, id: string) => source.load(`book:${id}`, undefined, never());

export const store = (source: Source, id: string, value: string | Buffer) =>
  source.store?.(`book:${id}`, { bytes: Buffer.from(value), write: 'one', turn: 1 }, never());

/** What is loaded, or `missing`. */
export async function text(source: Source, id: string): Promise<string> {
  const result = await load(source, id);
  return result.status === 'found' ? result.value.bytes.toString() : result.status;
}

export interface BooksDatabase {
  /** Between the sources and the server. */
  readonly proxy: Awaited<ReturnType<typeof startTcpProxy>>;
  /** A connection of its own, not through the proxy. */
  readonly client: Client;
  /** The environment: `BOOKS` leads to the server through the proxy. */
  readonly variables: (name: string) => string | undefined;
  readonly connect: () => Promise<Client>;
  /** Ends what was opened, and makes the table anew. */
  readonly reset: () => Promise<void>;
  readonly open: (...definition: Parameters<typeof definitionOf>) => Source;
  readonly watch: (definition?: PostgresSourceDefinition, failing?: () => boolean) => Watching;
  readonly stop: () => Promise<void>;
}

interface Watching {
  /** In order: keys, `all`, `on`, `off`, `off: not installed`. */
  readonly told: string[];
  readonly hears: (...what: string[]) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** A real Postgres behind a proxy that fails as networks do. */
export async function startBooksDatabase(): Promise<BooksDatabase> {
  const server = await startPostgres();
  const proxy = await startTcpProxy(server.port);
  const connect = async () => {
    const client = new Client({ connectionString: server.url });
    await client.connect();
    return client;
  };
  const client = await connect();
  const opened: { close(): Promise<void> }[] = [];
  const url = server.url.replace(`:${server.port}/`, `:${proxy.port}/`);
  const variables = (name: string) => (name === 'BOOKS' ? url : undefined);
  const closeAll = async () => {
    await proxy.pass();
    await Promise.all(opened.splice(0).map((one) => one.close()));
  };
  return {
    proxy,
    client,
    variables,
    connect,
    reset: async () => {
      await closeAll();
      await client.query(`DROP SCHEMA IF EXISTS cache_system, shop CASCADE; CREATE SCHEMA shop`);
      await client.query(`CREATE TABLE shop.books (id integer PRIMARY KEY, book jsonb)`);
    },
    open: (...definition) => {
      const source = openPostgresSource(definitionOf(...definition), variables);
      opened.push(source);
      return source;
    },
    watch: (definition = definitionOf(), failing) => {
      const watching = watchInto([], definition, variables, failing);
      opened.push(watching);
      return watching;
    },
    stop: async () => {
      await closeAll();
      await client.end();
      await proxy.stop();
      await server.stop();
    },
  };
}

function watchInto(
  told: string[],
  definition: PostgresSourceDefinition,
  variables: BooksDatabase['variables'],
  failing: () => boolean = () => false,
): Watching {
  const tell = (...what: readonly string[]) => {
    if (failing()) throw new Error('not now');
    told.push(...what);
  };
  const off = (cause: unknown) => (cause instanceof WatchNotInstalled ? 'off: not installed' : 'off');
  const watching = new PostgresWatch(definition, variables, {
    onChanged: (keys) => tell(...keys),
    onAllChanged: () => tell('all'),
    onState: (connected, cause) => told.push(connected ? 'on' : off(cause)),
  });
  return {
    told,
    hears: (...what) => eventually(`hears ${what.join()}`, () => what.every((one) => told.includes(one))),
    close: () => watching.close(),
  };
}
