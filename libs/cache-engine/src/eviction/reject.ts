import type { EvictionPolicy } from './policy.js';
import { LruPolicy } from './lru.js';

/** Nothing goes to make room: what does not fit stays outside. The order is kept for a limit that is lowered. */
export class RejectPolicy extends LruPolicy implements EvictionPolicy {
  override victim(): undefined {
    return undefined;
  }

  /** What goes when the limit itself has become too small. */
  surplus() {
    return super.victim();
  }
}
