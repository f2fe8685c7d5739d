import type { RedisAddress } from '../redis/address.js';

export type ClusterStep = 'meet' | 'replicate' | 'move_slots' | 'move_replicas' | 'forget' | 'reset' | 'settle';

/** A node that joins. Plain data: it can be kept and carried out elsewhere. */
export interface Addition {
  readonly kind: 'add';
  readonly id: string;
  readonly address: RedisAddress;
  readonly role: 'master' | 'replica';
  /** Of a replica: whose. */
  readonly masterId: string | undefined;
}

/** A node that leaves. */
export interface Removal {
  readonly kind: 'remove';
  readonly id: string;
  readonly address: RedisAddress;
  /** Its replicas, which get other masters. */
  readonly replicas: readonly string[];
}

export type ClusterChange = Addition | Removal;

/** Is told how a change gets on. */
export interface ChangeProgress {
  began(step: ClusterStep): void;
  /** So many slots are to be moved from here on. */
  planned(slots: number): void;
  moved(slot: number, keys: number, bytes: number): void;
}

export function stepsOf(change: ClusterChange): readonly ClusterStep[] {
  if (change.kind === 'remove') return ['move_slots', 'move_replicas', 'forget', 'reset', 'settle'];
  return ['meet', change.role === 'replica' ? 'replicate' : 'move_slots', 'settle'];
}
