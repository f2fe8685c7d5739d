import type { RateLimitState } from '../platform/http/rate-limit-state.js';

/**
 * Lets `limit` requests per window through on average and `burst` at once: a bucket of `burst` tokens that is refilled
 * evenly. Time is the monotonic clock, so that setting the system's clock gives nobody an hour of requests.
 */
export class TokenBucket implements RateLimitState {
  readonly limitText: string;
  readonly windowText: string;
  readonly policyText: string;
  private readonly tokensPerMs: number;
  private tokens: number;
  private filledAt = performance.now();

  constructor(
    readonly limit: number,
    readonly windowSeconds: number,
    private readonly burst: number,
  ) {
    this.tokens = burst;
    this.tokensPerMs = limit / (windowSeconds * 1000);
    this.limitText = String(limit);
    this.windowText = String(windowSeconds);
    this.policyText = `"key";q=${limit};w=${windowSeconds}`;
  }

  /** Takes a token, if there is one. */
  take(): boolean {
    const now = performance.now();
    this.tokens = Math.min(this.burst, this.tokens + (now - this.filledAt) * this.tokensPerMs);
    this.filledAt = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }

  get remaining(): number {
    return Math.floor(this.tokens);
  }

  get resetInSeconds(): number {
    return Math.ceil((this.burst - this.tokens) / this.tokensPerMs / 1000);
  }

  get resetAtSeconds(): number {
    return Math.floor(Date.now() / 1000) + this.resetInSeconds;
  }

  /** Whole seconds after which a token is there for certain. */
  get secondsToNext(): number {
    return Math.max(1, Math.ceil((1 - this.tokens) / this.tokensPerMs / 1000));
  }
}
