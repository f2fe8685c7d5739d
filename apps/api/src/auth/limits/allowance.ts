import type { LimitStrategy } from '@cache-system/contracts';
import { ApiError } from '../../platform/http/api-error.js';
import type { RateLimitStanding, RateLimitState } from '../../platform/http/rate-limit-state.js';
import { capacityOf, isBucket, type Rule } from './rule.js';

/** What is limited: each by a rule of its own. */
export type Dimension = 'key' | 'endpoint' | 'ip' | 'global';

/** `ask`: only `ask` can tell. */
export type Verdict = 'taken' | 'refused' | 'ask';

const STARTED_AT_MS = performance.timeOrigin;

/** Milliseconds since the epoch by a clock that is never set. */
export function nowMs(): number {
  return STARTED_AT_MS + performance.now();
}

/** What one subject of a dimension may still do. */
export abstract class Allowance implements RateLimitState {
  /** What its rule was last made from. */
  origin: unknown;
  private limitText = '';
  private windowText = '';
  private policyText = '';

  constructor(
    readonly dimension: Dimension,
    readonly subject: string,
    public rule: Rule,
  ) {
    this.name();
  }

  /** Takes one request off it, if that can be decided at once. */
  abstract take(nowMs: number): Verdict;
  /** Takes one request off it; false: there is none left. */
  abstract ask(): Promise<boolean>;
  /** Puts back what was taken for a request that was not made. */
  abstract putBack(): void;
  abstract get remaining(): number;
  protected abstract get windowResetMs(): number;
  /** What `remaining` is counted by. */
  protected abstract get countedRule(): Rule;
  /** Until one request is let through. */
  protected abstract get waitMs(): number;
  protected abstract follow(rule: Rule, previous: Rule): void;

  /** Puts another rule in force. */
  adopt(rule: Rule): void {
    const previous = this.rule;
    this.rule = rule;
    this.name();
    this.follow(rule, previous);
  }

  get strategy(): LimitStrategy {
    return this.rule.strategy;
  }

  /** Seconds until nothing counts any more. */
  get resetInSeconds(): number {
    return this.resetWith(this.remaining);
  }

  tell(): RateLimitStanding {
    const { limitText, windowText, strategy, policyText, remaining } = this;
    const resetInSeconds = this.resetWith(remaining);
    const stateText = `"${this.dimension}";r=${remaining};t=${resetInSeconds}`;
    return { limitText, windowText, strategy, policyText, remaining, resetInSeconds, stateText };
  }

  /** The part of it that so many requests are, from 0 to 1. */
  partOf(requests: number): number {
    return requests / capacityOf(this.countedRule);
  }

  get limit(): number {
    return this.rule.limit;
  }

  get windowSeconds(): number {
    return this.rule.windowMs / 1000;
  }

  /** Whole seconds after which a request is let through, if nobody else makes it. */
  get retryAfterSeconds(): number {
    return Math.max(1, Math.ceil(this.waitMs / 1000));
  }

  private resetWith(remaining: number): number {
    const { limit, windowMs, burst } = this.countedRule;
    const resetMs = isBucket(this.rule) ? ((burst - remaining) * windowMs) / limit : this.windowResetMs;
    return Math.max(0, Math.ceil(resetMs / 1000));
  }

  private name(): void {
    const { limit, windowMs } = this.rule;
    this.limitText = String(limit);
    this.windowText = String(windowMs / 1000);
    this.policyText = `"${this.dimension}";q=${limit};w=${windowMs / 1000}`;
  }
}

export class RateLimitExceeded extends ApiError {
  constructor({ limit, windowSeconds, resetInSeconds, retryAfterSeconds }: Allowance) {
    const resetAtMs = (Math.floor(Date.now() / 1000) + resetInSeconds) * 1000;
    super(
      'RATE_LIMIT_EXCEEDED',
      {
        limit,
        window: windowSeconds,
        reset_at: new Date(resetAtMs).toISOString(),
        retry_after: retryAfterSeconds,
      },
      { headers: { 'Retry-After': String(retryAfterSeconds) } },
    );
  }
}
