import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { GuardedLayer, LmdbLayer, RedisLayer } from '@cache-system/cache-engine';
import type { Config } from '@cache-system/contracts';
import { type Environment, StartRefused } from '../env.js';
import type { LiveConfig } from '../live-config.js';
import { log } from '../logging.js';

const CONNECT_TIMEOUT_MS = 3000;

/** L2: what the nodes share. */
export class SharedLayer {
  constructor(
    readonly type: 'embedded' | 'redis',
    readonly layer: GuardedLayer,
  ) {}
}

/** @throws StartRefused when what is configured is not given or cannot be reached */
export async function openSharedLayer(environment: Environment, config: LiveConfig): Promise<SharedLayer> {
  const { type, deadline_ms: deadlineMs } = config.current.cache.layers.l2;
  const shared =
    type === 'redis' || (type === 'auto' && environment.REDIS_URL !== undefined)
      ? new SharedLayer('redis', new GuardedLayer(await connectRedis(environment), 'L2', deadlineMs))
      : new SharedLayer(
          'embedded',
          new GuardedLayer(new LmdbLayer(join(environment.DATA_DIR, 'l2')), 'L2', deadlineMs),
        );
  config.follow(({ cache }: Config) => shared.layer.setDeadline(cache.layers.l2.deadline_ms));
  return shared;
}

async function connectRedis({ REDIS_URL: url }: Environment): Promise<RedisLayer> {
  if (url === undefined) throw new StartRefused(['REDIS_URL: is required, as cache.layers.l2.type is redis']);
  const layer = new RedisLayer({
    url,
    onConnection: (connected, reason) => {
      if (connected) log.info('connected to Redis');
      else log.warn({ err: reason }, 'lost the connection to Redis; trying again');
    },
  });
  try {
    const tooLate = delay(CONNECT_TIMEOUT_MS, undefined, { ref: false }).then(() => {
      throw new Error(`no answer within ${CONNECT_TIMEOUT_MS} ms`);
    });
    await Promise.race([layer.connect(), tooLate]);
  } catch (error) {
    await layer.close();
    const { message, code } = error as NodeJS.ErrnoException;
    throw new StartRefused([
      `REDIS_URL: cannot use Redis at ${new URL(url).host}: ${message || (code ?? 'no answer')}`,
    ]);
  }
  return layer;
}
