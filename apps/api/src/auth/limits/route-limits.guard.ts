import { type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import {
  InjectThrottlerOptions,
  InjectThrottlerStorage,
  ThrottlerGuard,
  type ThrottlerLimitDetail,
  type ThrottlerModuleOptions,
  type ThrottlerRequest,
  type ThrottlerStorage,
} from '@nestjs/throttler';
import type { FastifyRequest } from 'fastify';
import { RateLimiter } from '../rate-limiter.js';
import { RateLimitExceeded } from './allowance.js';
import { beside } from './standings.js';
import { allowanceOf } from './throttler.js';

const PASSES = Promise.resolve(true);

/** The limits that are about a route: of the endpoint, and of all requests together. Costs nothing while there are none. */
@Injectable()
export class RouteLimitsGuard extends ThrottlerGuard {
  constructor(
    @InjectThrottlerOptions() options: ThrottlerModuleOptions,
    @InjectThrottlerStorage() storage: ThrottlerStorage,
    reflector: Reflector,
    private readonly limiter: RateLimiter,
  ) {
    super(options, storage, reflector);
  }

  override canActivate(context: ExecutionContext): Promise<boolean> {
    return this.limiter.isOn('endpoint') || this.limiter.isOn('global') ? super.canActivate(context) : PASSES;
  }

  protected override handleRequest(properties: ThrottlerRequest): Promise<boolean> {
    const { context, throttler, generateKey } = properties;
    const allowance = allowanceOf(this.limiter, generateKey(context, '', throttler.name ?? ''));
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    if (allowance) request.rateLimit = beside(request.rateLimit, allowance);
    return super.handleRequest(properties);
  }

  protected override throwThrottlingException(
    _context: ExecutionContext,
    { key }: ThrottlerLimitDetail,
  ): Promise<void> {
    const allowance = allowanceOf(this.limiter, key);
    return allowance ? Promise.reject(new RateLimitExceeded(allowance)) : Promise.resolve();
  }
}
