import type { PolicyName } from '../eviction/create-policy.js';
import { type Entry, isExpired, stampOf } from '../entry.js';
import { StorageFull } from '../errors.js';
import { EntryStore } from '../l1/entry-store.js';
import type { Page, Layer } from '../layer.js';
import {
  contentAfter,
  decide,
  type Known,
  type LeaseHeld,
  type Mutation,
  type Outcome,
  endsLease,
} from '../mutation.js';

export type { Slot } from '../l1/slot.js';

/**
 * Entries in the memory of this process. As L1 it is used through `peek`, `hold` and `drop`, which do not wait (see
 * `EntryStore`). As a layer of its own it hands out versions.
 */
export class MemoryLayer extends EntryStore implements Layer {
  private readonly leases = new Map<string, LeaseHeld>();
  private revision = Date.now() * 1000;

  constructor(limitBytes: number, policy: PolicyName = 'lru') {
    super(limitBytes, policy);
  }

  getMany(keys: readonly string[]): Promise<readonly (Entry | undefined)[]> {
    const nowMs = Date.now();
    return Promise.resolve(keys.map((key) => this.peek(key, nowMs)?.entry));
  }

  applyMany(mutations: readonly Mutation[]): Promise<readonly Outcome[]> {
    return new Promise((resolve) => resolve(mutations.map((mutation) => this.apply(mutation))));
  }

  scan(prefix: string, cursor: string | undefined, limit: number): Promise<Page> {
    const nowMs = Date.now();
    const after = [...this.keys()]
      .filter((key) => key.startsWith(prefix) && (cursor === undefined || key > cursor))
      .filter((key) => !isExpired(this.heldUntil(key), nowMs))
      .sort();
    const keys = after.slice(0, limit);
    const heads = keys.flatMap((key) => {
      const slot = this.peek(key, nowMs);
      return slot ? [{ ...stampOf(slot), key, attributes: slot.attributes, storedBytes: slot.payloadBytes }] : [];
    });
    return Promise.resolve({ heads, cursor: after.length > limit ? keys.at(-1) : undefined });
  }

  check(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.stop();
    this.leases.clear();
    return Promise.resolve();
  }

  private apply(mutation: Mutation): Outcome {
    const { key } = mutation;
    const nowMs = Date.now();
    const stored = this.peek(key, nowMs)?.entry;
    const text =
      mutation.kind === 'increment' && stored?.format === 'json' ? stored.payload.toString('latin1') : undefined;
    const lease = this.leases.get(key);
    const known: Known = { stored, text, lease };
    const outcome = decide(mutation, known, ++this.revision, nowMs);
    if (outcome.status === 'leased' && mutation.kind === 'lease') {
      this.leases.set(key, { token: outcome.revision, endsAtMs: nowMs + mutation.leaseMs });
    } else if (endsLease(mutation, outcome)) {
      this.leases.delete(key);
    }
    if (outcome.status === 'removed') this.drop(key);
    if (!('stamp' in outcome)) return outcome;
    const content = contentAfter(mutation, outcome, stored) ?? stored;
    if (content && !this.hold(key, { ...content, ...outcome.stamp }, outcome.stamp.expiresAtMs)) {
      throw new StorageFull(`no room for an entry of ${content.payload.length} bytes`);
    }
    return outcome;
  }
}
