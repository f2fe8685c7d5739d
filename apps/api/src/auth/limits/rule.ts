import type { LimitStrategy } from '@cache-system/contracts';

/** How often something may be done. */
export interface Rule {
  readonly strategy: LimitStrategy;
  /** Requests per window. */
  readonly limit: number;
  readonly windowMs: number;
  /** Requests that a bucket lets through at once; windows have no use for it. */
  readonly burst: number;
}

export function isSameRule(a: Rule, b: Rule): boolean {
  return (
    a === b || (a.strategy === b.strategy && a.limit === b.limit && a.windowMs === b.windowMs && a.burst === b.burst)
  );
}

/** Whether requests come back one by one, at an even rate, and not with the end of a window. */
export function isBucket({ strategy }: Rule): boolean {
  return strategy === 'token-bucket' || strategy === 'leaky-bucket';
}

/** Whether what was used of a rule counts under another: windows of another length have nothing in common. */
export function goesOn(rule: Rule, previous: Rule): boolean {
  return rule.strategy === previous.strategy && (isBucket(rule) || rule.windowMs === previous.windowMs);
}

/** Requests that a caller who has made none for long may make at once. */
export function capacityOf(rule: Rule): number {
  return isBucket(rule) ? rule.burst : rule.limit;
}

/** The part of one of several nodes that cannot agree; never less than one request at once. */
export function shareOf(rule: Rule, nodes: number): Rule {
  return {
    ...rule,
    limit: isBucket(rule) ? rule.limit / nodes : Math.max(1, Math.floor(rule.limit / nodes)),
    burst: Math.max(1, Math.floor(rule.burst / nodes)),
  };
}
