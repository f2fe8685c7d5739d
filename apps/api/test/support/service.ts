import { randomBytes } from 'node:crypto';
import { Client as Postgres } from 'pg';
import { createClient } from 'redis';
import { startApi } from '../../../../tools/harness/api-process.mjs';
import { eventually } from '../../../../tools/harness/eventually.mjs';
import { redisCommand } from '../../../../tools/harness/redis-command.mjs';
import { Client, entryPath } from './client.js';

type ApiProcess = Awaited<ReturnType<typeof startApi>>;

export interface Service {
  readonly api: ApiProcess;
  /** Speaks with the API key that may do everything. */
  readonly client: Client;
  /** Settings of the stores, to start another process on the same. */
  readonly stores: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/**
 * Which stores this run is about: `embedded`, `real` Redis and Postgres that the caller of jest has started, or `cluster`: the
 * same with a Redis Cluster below that Redis.
 */
export const STORES = process.env['TEST_STORES'] ?? 'embedded';

/**
 * For what takes nodes that share their stores, a database that a test may look into, or a server that it may freeze. It is left
 * out of the steps without such stores; `api-real` runs all of it.
 */
export const onRealStores = STORES === 'real' ? describe : describe.skip;
export const testOnRealStores = STORES === 'real' ? test : test.skip;

/** Where an entry is after a write, from the top. */
export const LAYERS = STORES === 'cluster' ? ['L1', 'L2', 'L3'] : ['L1', 'L2'];
/** Where it is found by a node that has no copy of its own. Any of them: a layer of copies may be passed over at any time. */
export const SHARED_LAYERS = LAYERS.slice(1);
/** Where the truth is. */
export const DEEPEST_LAYER = LAYERS.at(-1)!;

/** The service on stores of its own, which no other test touches. */
export async function startService(env: Readonly<Record<string, string>> = {}): Promise<Service> {
  const stores = STORES === 'embedded' ? {} : await ownStores();
  // A process that gets no time for a second stops trusting its L1: rightly so, and in the way of tests on a busy machine.
  const isPlain = STORES === 'real' && !('REDIS_CLUSTER_NODES' in env);
  const patience = isPlain ? { CACHE__COHERENCE__MAX_STALENESS_MS: '10000' } : {};
  const api = await startApi({ env: { LOG_LEVEL: 'warn', ...patience, ...stores, ...env } });
  const client = new Client(api.url, { 'x-api-key': api.apiKey });
  if (STORES === 'cluster') await readsCopies(client);
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

/** Waits until the node reads from L2, which one that has just started passes over. */
async function readsCopies(client: Client): Promise<void> {
  const at = entryPath('a copy in L2');
  await client.put(at, { value: 1 });
  await eventually('the node reads from L2', async () => {
    await client.delete(`${at}?cascade=false`);
    return (await client.get(at)).headers['x-cache-layer'] === 'L2';
  });
  await client.delete(at);
}

/**
 * A database of its own on the Postgres of the run, and an index of its own, emptied, on its Redis. A cluster has no indexes:
 * it is emptied as a whole, so files that use it run one after the other.
 */
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
  const stores = { DATABASE_URL: postgresUrl.href, REDIS_URL: redisUrl.href };
  if (STORES !== 'cluster') return stores;
  const addresses = required('TEST_REDIS_CLUSTER_NODES');
  await Promise.all(portsOf(addresses).map((port) => redisCommand(port, ['FLUSHALL'])));
  return { ...stores, REDIS_CLUSTER_NODES: addresses };
}

function portsOf(addresses: string): number[] {
  return addresses.split(',').map((address) => Number(address.split(':')[1]));
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} must be set for TEST_STORES=${STORES}`);
  return value;
}
