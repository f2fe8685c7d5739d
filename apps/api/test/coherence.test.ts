import { setTimeout as sleep } from 'node:timers/promises';
import { check, explain } from '../../../tools/harness/coherence/check.mjs';
import { ApiNodes } from '../../../tools/harness/coherence/nodes.mjs';
import {
  cutBackplane,
  forbidListening,
  freeze,
  killNode,
  settle,
  type Stage,
} from '../../../tools/harness/coherence/scenarios.mjs';
import { Workload } from '../../../tools/harness/coherence/workload.mjs';
import { startPostgres } from '../../../tools/harness/postgres-process.mjs';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import { onRealStores } from './support/service.js';

/** What `cache.coherence.max_staleness_ms` is unless it is set. There is no slack: see `Operation`. */
const BOUND_MS = 1000;
const GRACE_SECONDS = 2;
const NODES = 3;

onRealStores(
  'three nodes, sixteen clients, fifty keys: nobody reads what is known to be old, and no update is lost',
  () => {
    let postgres: Awaited<ReturnType<typeof startPostgres>>;
    let redis: Awaited<ReturnType<typeof startRedis>>;
    let nodes: ApiNodes;

    beforeAll(async () => {
      [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
      nodes = new ApiNodes(() => ({
        DATABASE_URL: postgres.url,
        REDIS_URL: redis.url,
        CACHE__LAYERS__L1__OUTAGE_GRACE: String(GRACE_SECONDS),
      }));
      await nodes.start(NODES);
    });
    afterAll(async () => {
      await nodes.stop();
      await Promise.all([redis.stop(), postgres.stop()]);
    });

    test.each<{ name: string; fault: (stage: Stage) => Promise<unknown> }>([
      { name: 'while all is well', fault: () => sleep(2000) },
      {
        name: 'while the nodes do not hear each other',
        fault: async (stage) => {
          await cutBackplane(stage, 1500);
          await forbidListening(stage, 2000);
        },
      },
      { name: 'while Redis is frozen', fault: () => freeze(redis, 3000) },
      { name: 'while a node is killed and started again', fault: (stage) => killNode(stage, 2) },
    ])('$name', async ({ fault }) => {
      const workload = new Workload(nodes.processes);
      workload.start();
      await sleep(700);
      await fault({ nodes, workload, redisPorts: [redis.port] });
      await sleep(700);
      await settle(workload, BOUND_MS);
      const counters = await workload.readCounters();
      workload.close();
      const findings = check(workload.history, { boundMs: BOUND_MS, graceMs: GRACE_SECONDS * 1000, counters });
      expect(explain(findings.violations)).toBe('');
      // It was not idle, and L1 took part.
      expect(findings.staleness.reads).toBeGreaterThan(100);
      expect(findings.layers['L1']).toBeGreaterThan(10);
    });
  },
);
