import { Injectable } from '@nestjs/common';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { RateLimiter } from '../rate-limiter.js';
import { RateLimitExceeded } from './allowance.js';

/** Probes of an orchestrator are never limited. */
const UNLIMITED = /^\/health\//;

/**
 * Counts requests by the address they come from, before anything of them is read but the head: also those that no route
 * takes, with bodies that nobody can read or without credentials. A guard of Nest would come after the body.
 */
@Injectable()
export class AddressLimits {
  constructor(private readonly limiter: RateLimiter) {}

  /** To be called before the server is ready. */
  watch(fastify: FastifyInstance): void {
    fastify.addHook('onRequest', (request, _reply, done) => {
      const isProbe = UNLIMITED.test(request.routeOptions.url ?? '');
      const counting = isProbe ? undefined : this.count(request);
      if (counting) counting.then(() => done(), done);
      else done();
    });
  }

  private count(request: FastifyRequest): Promise<void> | undefined {
    try {
      return this.limiter.count(request, this.limiter.ofAddress(request.ip));
    } catch (error) {
      if (!(error instanceof RateLimitExceeded)) throw error;
      return Promise.reject(error);
    }
  }
}
