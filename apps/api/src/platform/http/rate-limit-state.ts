/** Where a caller stands against its rate limit, as the headers tell it. */
export interface RateLimitState {
  /** Requests per window. */
  readonly limitText: string;
  /** Length of the window in seconds. */
  readonly windowText: string;
  /** Value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers). */
  readonly policyText: string;
  /** Requests that would be let through now, one after the other. */
  readonly remaining: number;
  /** Seconds until the full burst is there again. */
  readonly resetInSeconds: number;
}
