import type { Entry } from '../entry.js';
import { isExpired } from '../entry.js';
import { StorageFull } from '../errors.js';
import type { KeyPage, Layer } from '../layer.js';
import { decide, type Mutation, type Outcome } from '../mutation.js';

/**
 * What an entry costs beside its payload and key: the slot and its entry, their boxed numbers, the Buffer with its
 * backing store, and the place in the hash table. Heap and buffers grow by 880 bytes an entry on Node 20.
 */
const OVERHEAD_BYTES = 900;

/** An entry in memory with its place in the order of use. */
export interface Slot {
  readonly key: string;
  entry: Entry;
  /** Until when the copy may be served, milliseconds since the epoch; 0: for ever. Never after the entry's own expiry. */
  heldUntilMs: number;
  /** Reads answered from this slot. */
  hits: number;
  costBytes: number;
  newer: Slot | undefined;
  older: Slot | undefined;
}

/**
 * Entries in the memory of this process, bounded by bytes; the least recently used go first. The bound is strict: room
 * is made before an entry comes in, and an entry larger than the bound is not taken.
 *
 * As L1 it is used through `peek`, `hold` and `drop`, which do not wait. As a layer of its own it hands out versions.
 */
export class MemoryLayer implements Layer {
  private readonly slots = new Map<string, Slot>();
  private newest: Slot | undefined;
  private oldest: Slot | undefined;
  private usedBytes = 0;
  private revision = Date.now() * 1000;

  constructor(private limitBytes: number) {}

  get sizeBytes(): number {
    return this.usedBytes;
  }

  get capacityBytes(): number {
    return this.limitBytes;
  }

  get count(): number {
    return this.slots.size;
  }

  /** The slot of a live entry, which becomes the most recently used. */
  peek(key: string, nowMs: number): Slot | undefined {
    const slot = this.slots.get(key);
    if (slot === undefined) return undefined;
    if (slot.heldUntilMs !== 0 && slot.heldUntilMs <= nowMs) {
      this.evict(slot);
      return undefined;
    }
    if (slot !== this.newest) {
      this.unlink(slot);
      this.link(slot);
    }
    return slot;
  }

  /** Takes an entry unless a newer copy is there. The payload must not be a view of something larger. */
  hold(key: string, entry: Entry, heldUntilMs: number, hits = 0): boolean {
    const slot = this.slots.get(key);
    if (slot && slot.entry.revision >= entry.revision) return true;
    const costBytes = costOf(key, entry);
    if (slot) this.evict(slot);
    if (costBytes > this.limitBytes) return false;
    this.shrinkTo(this.limitBytes - costBytes);
    const taken: Slot = {
      key,
      entry,
      heldUntilMs,
      hits: slot?.hits ?? hits,
      costBytes,
      newer: undefined,
      older: undefined,
    };
    this.slots.set(key, taken);
    this.link(taken);
    this.usedBytes += costBytes;
    return true;
  }

  drop(key: string): boolean {
    const slot = this.slots.get(key);
    if (slot) this.evict(slot);
    return slot !== undefined;
  }

  resize(limitBytes: number): void {
    this.limitBytes = limitBytes;
    this.shrinkTo(limitBytes);
  }

  getMany(keys: readonly string[]): Promise<readonly (Entry | undefined)[]> {
    const nowMs = Date.now();
    return Promise.resolve(keys.map((key) => this.peek(key, nowMs)?.entry));
  }

  applyMany(mutations: readonly Mutation[]): Promise<readonly Outcome[]> {
    return new Promise((resolve) => resolve(mutations.map((mutation) => this.apply(mutation))));
  }

  scan(prefix: string, cursor: string | undefined, limit: number): Promise<KeyPage> {
    const nowMs = Date.now();
    const after = [...this.slots.values()]
      .filter(({ key, heldUntilMs }) => key.startsWith(prefix) && !isExpired(heldUntilMs, nowMs))
      .map(({ key }) => key)
      .sort()
      .filter((key) => cursor === undefined || key > cursor);
    const keys = after.slice(0, limit);
    return Promise.resolve({ keys, cursor: after.length > limit ? keys.at(-1) : undefined });
  }

  check(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.slots.clear();
    this.newest = this.oldest = undefined;
    this.usedBytes = 0;
    return Promise.resolve();
  }

  private apply(mutation: Mutation): Outcome {
    const nowMs = Date.now();
    const current = this.peek(mutation.key, nowMs)?.entry;
    const outcome = decide(mutation, current, ++this.revision, nowMs);
    if (outcome.status === 'removed') this.drop(mutation.key);
    if (!('stamp' in outcome)) return outcome;
    const content = mutation.kind === 'put' ? mutation.content : current;
    if (content && !this.hold(mutation.key, { ...content, ...outcome.stamp }, outcome.stamp.expiresAtMs)) {
      throw new StorageFull(`an entry of ${content.payload.length} bytes is larger than the whole layer`);
    }
    return outcome;
  }

  private shrinkTo(bytes: number): void {
    while (this.usedBytes > bytes && this.oldest) this.evict(this.oldest);
  }

  private evict(slot: Slot): void {
    this.slots.delete(slot.key);
    this.unlink(slot);
    this.usedBytes -= slot.costBytes;
  }

  private link(slot: Slot): void {
    slot.older = this.newest;
    slot.newer = undefined;
    if (this.newest) this.newest.newer = slot;
    this.newest = slot;
    this.oldest ??= slot;
  }

  private unlink(slot: Slot): void {
    if (slot.newer) slot.newer.older = slot.older;
    else this.newest = slot.older;
    if (slot.older) slot.older.newer = slot.newer;
    else this.oldest = slot.newer;
  }
}

function costOf(key: string, entry: Entry): number {
  return OVERHEAD_BYTES + key.length * 2 + entry.payload.length;
}
