import { randomBytes } from 'node:crypto';
import { Client as Postgres } from 'pg';
import { createClient } from 'redis';
import { startApi } from '../../../../tools/harness/api-process.mjs';
import { Client } from './client.js';

type ApiProcess = Awaited<ReturnType<typeof startApi>>;

export interface Service {
  readonly api: ApiProcess;
  /** Speaks with the API key that may do everything. */
  readonly client: Client;
  /** Settings of the stores, to start another process on the same. */
  readonly stores: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** Which stores this run is about: `embedded`, or `real` Redis and Postgres that the caller of jest has started. */
export const STORES = process.env['TEST_STORES'] ?? 'embedded';

/** The service on stores of its own, which no other test touches. */
export async function startService(env: Readonly<Record<string, string>> = {}): Promise<Service> {
  const stores = STORES === 'real' ? await ownStores() : {};
  const api = await startApi({ env: { LOG_LEVEL: 'warn', ...stores, ...env } });
  const client = new Client(api.url, { 'x-api-key': api.apiKey });
  return {
    api,
    client,
    stores,
    stop: async () => {
      client.close();
      await api.stop();
    },
  };
}

/** A database of its own on the Postgres of the run, and an index of its own, emptied, on its Redis. */
async function ownStores(): Promise<Record<string, string>> {
  const postgresUrl = new URL(required('TEST_DATABASE_URL'));
  const database = `test_${randomBytes(6).toString('hex')}`;
  const postgres = new Postgres({ connectionString: postgresUrl.href });
  await postgres.connect();
  await postgres.query(`CREATE DATABASE ${database}`);
  await postgres.end();
  postgresUrl.pathname = `/${database}`;

  const redisUrl = new URL(required('TEST_REDIS_URL'));
  redisUrl.pathname = `/${process.env['JEST_WORKER_ID'] ?? '0'}`;
  const redis = createClient({ url: redisUrl.href });
  await redis.connect();
  await redis.flushDb();
  redis.destroy();
  return { DATABASE_URL: postgresUrl.href, REDIS_URL: redisUrl.href };
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} must be set for TEST_STORES=real`);
  return value;
}
