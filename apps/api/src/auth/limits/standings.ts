import type { RateLimitStanding, RateLimitState } from '../../platform/http/rate-limit-state.js';
import type { Allowance } from './allowance.js';

/** Several allowances that one request was counted against: the headers of which there is one tell of the nearest to its limit. */
class Standings implements RateLimitState {
  constructor(readonly all: readonly Allowance[]) {}

  /** Of those that are as near as each other the one that was asked last is told of: it is the one that refuses. */
  tell(): RateLimitStanding {
    let nearest: RateLimitStanding | undefined;
    let leastPart = Infinity;
    let policyText = '';
    let stateText = '';
    for (const allowance of this.all) {
      const told = allowance.tell();
      const part = allowance.partOf(told.remaining);
      if (part <= leastPart) [nearest, leastPart] = [told, part];
      const separator = policyText === '' ? '' : ', ';
      policyText += separator + told.policyText;
      stateText += separator + told.stateText;
    }
    if (!nearest) throw new TypeError('nothing was counted');
    const { limitText, windowText, strategy, remaining, resetInSeconds } = nearest;
    return { limitText, windowText, strategy, remaining, resetInSeconds, policyText, stateText };
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
