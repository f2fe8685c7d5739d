import type { Config, RateLimit, Tier } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { ApiError } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import type { Principal } from './principal.js';
import { TokenBucket } from './token-bucket.js';

const WINDOW_SECONDS = 3600;
const MAX_BUCKETS = 20_000;

interface HeldBucket {
  /** Whose limits the bucket has. */
  readonly owner: Principal;
  readonly bucket: TokenBucket;
}

/** What a tier allows, in the shape in which an API key tells it. */
export function tierLimit(config: Config, tier: Tier): RateLimit {
  const { requests_per_hour, burst_size } = config.rate_limits.tiers[tier];
  return { requests_per_minute: Math.max(1, Math.floor(requests_per_hour / 60)), burst_size };
}

/** Holds every credential to its rate on this node: a token bucket each. */
@Injectable()
export class RateLimiter {
  private readonly buckets = new Map<string, HeldBucket>();
  private enabled = true;

  constructor(private readonly config: LiveConfig) {
    config.follow(({ rate_limits }) => {
      this.enabled = rate_limits.enabled;
      this.buckets.clear();
    });
  }

  /**
   * Takes one request off the caller's allowance. Undefined where nothing is limited.
   * @throws ApiError RATE_LIMIT_EXCEEDED
   */
  admit(principal: Principal): TokenBucket | undefined {
    if (!this.enabled) return undefined;
    const held = this.buckets.get(principal.id);
    const bucket = held?.owner === principal ? held.bucket : this.open(principal, held);
    if (!bucket.take()) throw new RateLimitExceeded(bucket);
    return bucket;
  }

  /** A credential that was verified again keeps what it has left, unless its limits were changed meanwhile. */
  private open(principal: Principal, held: HeldBucket | undefined): TokenBucket {
    if (held && hasSameLimits(held.owner, principal)) {
      this.buckets.set(principal.id, { owner: principal, bucket: held.bucket });
      return held.bucket;
    }
    const { rateLimit, tier } = principal;
    const limits = this.config.current.rate_limits.tiers[tier];
    const perHour = rateLimit ? rateLimit.requests_per_minute * 60 : limits.requests_per_hour;
    const bucket = new TokenBucket(perHour, WINDOW_SECONDS, rateLimit?.burst_size ?? limits.burst_size);
    if (this.buckets.size >= MAX_BUCKETS) {
      // The bucket that was opened first; at worst its owner gets a fresh burst.
      const [first] = this.buckets.keys();
      if (first !== undefined) this.buckets.delete(first);
    }
    this.buckets.set(principal.id, { owner: principal, bucket });
    return bucket;
  }
}

function hasSameLimits(one: Principal, other: Principal): boolean {
  return (
    one.tier === other.tier &&
    one.rateLimit?.requests_per_minute === other.rateLimit?.requests_per_minute &&
    one.rateLimit?.burst_size === other.rateLimit?.burst_size
  );
}

export class RateLimitExceeded extends ApiError {
  constructor(readonly bucket: TokenBucket) {
    const waitSeconds = bucket.secondsToNext;
    super(
      'RATE_LIMIT_EXCEEDED',
      {
        limit: bucket.limit,
        window: bucket.windowSeconds,
        reset_at: new Date(bucket.resetAtSeconds * 1000).toISOString(),
        retry_after: waitSeconds,
      },
      { headers: { 'Retry-After': String(waitSeconds) } },
    );
  }
}
