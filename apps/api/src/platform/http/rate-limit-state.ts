/** Where a caller stands against its rate limits. */
export interface RateLimitState {
  /** As of now; all of it is about the same limit, but what tells of each. */
  tell(): RateLimitStanding;
}

/** Where a caller stands, as the headers tell it. */
export interface RateLimitStanding {
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
