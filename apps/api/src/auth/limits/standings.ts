import type { RateLimitState } from '../../platform/http/rate-limit-state.js';
import type { Allowance } from './allowance.js';

/** Several allowances that one request was counted against: the headers of which there is one tell of the nearest to its limit. */
class Standings implements RateLimitState {
  private nearestOfAll: Allowance | undefined;

  constructor(readonly all: readonly Allowance[]) {}

  get limitText(): string {
    return this.nearest.limitText;
  }

  get windowText(): string {
    return this.nearest.windowText;
  }

  get strategy(): string {
    return this.nearest.strategy;
  }

  get remaining(): number {
    return this.nearest.remaining;
  }

  get resetInSeconds(): number {
    return this.nearest.resetInSeconds;
  }

  get policyText(): string {
    return this.all.map(({ policyText }) => policyText).join(', ');
  }

  get stateText(): string {
    return this.all.map(({ stateText }) => stateText).join(', ');
  }

  /**
   * Found once, so that all headers are about the same one. Of those that are as near as each other the one that was asked
   * last: it is the one that refuses.
   */
  private get nearest(): Allowance {
    return (this.nearestOfAll ??= this.all.reduce((nearest, each) =>
      each.fractionLeft <= nearest.fractionLeft ? each : nearest,
    ));
  }
}

/** What the headers tell when one more allowance was asked. */
export function beside(before: RateLimitState | undefined, allowance: Allowance): RateLimitState {
  if (before === undefined) return allowance;
  const all = before instanceof Standings ? before.all : [before as Allowance];
  return new Standings([...all, allowance]);
}

/** What the headers tell of a request that was counted against all of these at once. */
export function together(all: readonly Allowance[]): RateLimitState | undefined {
  return all.length > 1 ? new Standings(all) : all[0];
}
