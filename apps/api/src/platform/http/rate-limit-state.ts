/** Where a caller stands against a rate limit, as the headers tell it. */
export interface RateLimitState {
  /** Requests per window. */
  readonly limitText: string;
  /** Length of the window in seconds. */
  readonly windowText: string;
  /** By which strategy requests are counted. */
  readonly strategy: string;
  /** Requests that would be let through now, one after the other. */
  readonly remaining: number;
  /** Seconds until nothing counts any more. */
  readonly resetInSeconds: number;
  /** Values of `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers). */
  readonly policyText: string;
  readonly stateText: string;
}
