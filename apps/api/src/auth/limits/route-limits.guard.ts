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

/** What decorators say does not change, and the guard asks for six of them for each limit of each request. */
class RememberedDecorators extends Reflector {
  private readonly answers = new Map<unknown, Map<unknown, unknown>>();

  override getAllAndOverride(key: unknown, targets: Parameters<Reflector['getAllAndOverride']>[1]): unknown {
    const [handler] = targets;
    let answers = this.answers.get(handler);
    if (!answers) this.answers.set(handler, (answers = new Map<unknown, unknown>()));
    if (!answers.has(key)) answers.set(key, super.getAllAndOverride(key, targets));
    return answers.get(key);
  }
}

/** The limits that are about a route: of the endpoint, and of all requests together. Costs nothing while there are none. */
@Injectable()
export class RouteLimitsGuard extends ThrottlerGuard {
  constructor(
    @InjectThrottlerOptions() options: ThrottlerModuleOptions,
    @InjectThrottlerStorage() storage: ThrottlerStorage,
    private readonly limiter: RateLimiter,
  ) {
    super(options, storage, new RememberedDecorators());
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
