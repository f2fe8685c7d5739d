import type { EvictionPolicy as PolicyName } from '@cache-system/contracts';
import { LruPolicy } from './lru.js';
import type { EvictionPolicy } from './policy.js';
import { RandomPolicy } from './random.js';
import { RejectPolicy } from './reject.js';
import { TinyLfuPolicy } from './tiny-lfu.js';
import { TtlPolicy } from './ttl.js';

export type { PolicyName };

export function createPolicy(name: PolicyName): EvictionPolicy {
  switch (name) {
    case 'lru':
      return new LruPolicy();
    case 'lfu':
      return new TinyLfuPolicy();
    case 'ttl':
      return new TtlPolicy();
    case 'random':
      return new RandomPolicy();
    case 'reject':
      return new RejectPolicy();
  }
}
