import type { ExecutionContext, Provider } from '@nestjs/common';
import {
  getOptionsToken,
  getStorageToken,
  type ThrottlerModuleOptions,
  type ThrottlerStorage,
} from '@nestjs/throttler';
import type { FastifyRequest } from 'fastify';
import { LiveConfig } from '../../platform/live-config.js';
import { RateLimiter } from '../rate-limiter.js';
import type { Allowance } from './allowance.js';

/** The key under which @nestjs/throttler counts everybody; of an endpoint it is the route. */
const EVERYBODY = 'global';

/** What stands under a key of @nestjs/throttler; undefined where that is not limited any more. */
export function allowanceOf(limiter: RateLimiter, key: string): Allowance | undefined {
  return key === EVERYBODY ? limiter.ofEverybody() : limiter.ofEndpoint(key);
}

/** Options and storage of @nestjs/throttler, both of which are the limiter's. */
export const throttlerProviders: Provider[] = [
  {
    provide: getOptionsToken(),
    inject: [RateLimiter, LiveConfig],
    useFactory: (limiter: RateLimiter, config: LiveConfig): ThrottlerModuleOptions => ({
      setHeaders: false,
      getTracker: () => '',
      generateKey: (context, _tracker, name) => (name === EVERYBODY ? EVERYBODY : routeIn(context)),
      throttlers: (['endpoint', 'global'] as const).map((name) => ({
        name,
        skipIf: () => !limiter.isOn(name),
        limit: () => config.current.rate_limits[name].limit,
        ttl: () => config.current.rate_limits[name].window * 1000,
      })),
    }),
  },
  {
    provide: getStorageToken(),
    inject: [RateLimiter],
    useFactory: (limiter: RateLimiter): ThrottlerStorage => ({
      increment: async (key, _ttl, limit) => {
        const allowance = allowanceOf(limiter, key);
        const isBlocked = allowance !== undefined && !(await limiter.take(allowance));
        return {
          totalHits: limit - (allowance?.remaining ?? limit),
          timeToExpire: allowance?.resetInSeconds ?? 0,
          isBlocked,
          timeToBlockExpire: isBlocked ? allowance.retryAfterSeconds : 0,
        };
      },
    }),
  },
];

/** The route as it was declared, however its path was written. A HEAD counts as the GET that it is, without the body. */
function routeIn(context: ExecutionContext): string {
  const { method, routeOptions } = context.switchToHttp().getRequest<FastifyRequest>();
  return `${method === 'HEAD' ? 'GET' : method} ${routeOptions.url ?? ''}`;
}
