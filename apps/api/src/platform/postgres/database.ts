import { DataSource } from 'typeorm';
import { type Environment, StartRefused } from '../env.js';
import { startEmbeddedPostgres } from './embedded.js';
import { Auth1763683200000 } from './migrations/1-auth.js';
import { ClusterJobs1763769600000 } from './migrations/2-cluster-jobs.js';
import { Audit1763856000000 } from './migrations/3-audit.js';
import { Users1763942400000 } from './migrations/4-users.js';
import { ApiKeys1764028800000 } from './migrations/5-api-keys.js';
import { AuditFilters1764115200000 } from './migrations/6-audit-filters.js';
import { CredentialEpochs1764201600000 } from './migrations/7-credential-epochs.js';

const MIGRATIONS = [
  Auth1763683200000,
  ClusterJobs1763769600000,
  Audit1763856000000,
  Users1763942400000,
  ApiKeys1764028800000,
  AuditFilters1764115200000,
  CredentialEpochs1764201600000,
];
const CONNECT_TIMEOUT_MS = 5000;
const QUERY_TIMEOUT_MS = 5000;
const POOL_SIZE = 10;
/** Any number that no other user of the database takes for an advisory lock. */
const MIGRATION_LOCK = 7_305_521;

/** The control-plane database: users, keys, sessions. Never the cached data. */
export interface Database {
  readonly source: DataSource;
  readonly type: 'postgres' | 'embedded';
  stop(): Promise<void>;
}

/**
 * Connects to DATABASE_URL, or starts the embedded Postgres, and brings the schema up to date.
 * @throws StartRefused when the database cannot be reached
 */
export async function openDatabase(environment: Environment, entities: (new () => object)[]): Promise<Database> {
  const common = {
    type: 'postgres' as const,
    entities,
    migrations: MIGRATIONS,
    installExtensions: false,
    uuidExtension: 'pgcrypto' as const,
    connectTimeoutMS: CONNECT_TIMEOUT_MS,
    extra: { query_timeout: QUERY_TIMEOUT_MS },
  };
  if (environment.DATABASE_URL !== undefined) {
    const source = new DataSource({ ...common, url: environment.DATABASE_URL, poolSize: POOL_SIZE });
    try {
      await source.initialize();
    } catch (error) {
      const { host } = new URL(environment.DATABASE_URL);
      throw new StartRefused([`DATABASE_URL: cannot use Postgres at ${host}: ${reasonOf(error)}`]);
    }
    await migrateAlone(source);
    return { source, type: 'postgres', stop: () => source.destroy() };
  }
  const embedded = await startEmbeddedPostgres(environment.DATA_DIR);
  // The embedded server runs one transaction at a time: a second connection would mix in.
  const source = new DataSource({
    ...common,
    host: embedded.socketDir,
    username: 'postgres',
    database: 'postgres',
    poolSize: 1,
  });
  await source.initialize();
  await source.runMigrations({ transaction: 'each' });
  return {
    source,
    type: 'embedded',
    stop: async () => {
      await source.destroy();
      await embedded.stop();
    },
  };
}

/** Brings the schema up to date; of several nodes that start together one does it and the others wait. */
async function migrateAlone(source: DataSource): Promise<void> {
  const runner = source.createQueryRunner();
  try {
    await runner.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await source.runMigrations({ transaction: 'each' });
  } finally {
    await runner.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    await runner.release();
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  return message || (code ?? 'unknown error');
}
