import { attributeBytes } from '../attributes.js';
import type { Entry } from '../entry.js';
import { createPolicy, type PolicyName } from '../eviction/create-policy.js';
import type { EvictionPolicy } from '../eviction/policy.js';
import { RejectPolicy } from '../eviction/reject.js';
import { ownKey, keyBytes } from './key-text.js';
import { Records } from './records.js';
import { Slot } from './slot.js';
import { TICK_MS, TimingWheel } from './timing-wheel.js';

/** What an entry takes beside record and key: 192 the slot, up to 88 its place in the hash table, up to 32 its counters. */
const SLOT_BYTES = 312;
/** What every further piece of a large record takes on the heap. */
const EXTENT_BYTES = 80;
/** What is expired at once, by the timer and on the way of a read: a read must not wait for thousands. */
const EXPIRED_PER_TICK = 20_000;
const EXPIRED_PER_READ = 16;
/** A Map takes 2^24 entries; past that it throws. */
const MAX_ENTRIES = 2 ** 24 - 1024;

/**
 * Copies of entries in the memory of this process, within a strict bound of bytes: payloads and headers in pages of
 * their own, keys and slots on the heap, all of it counted. Does not wait for anything.
 */
export class EntryStore {
  evictions = 0;
  expirations = 0;
  /** Entries that were not taken. */
  rejections = 0;
  private readonly slots = new Map<string, Slot>();
  private readonly records: Records;
  private readonly wheel: TimingWheel;
  private policy: EvictionPolicy;
  private timer: NodeJS.Timeout | undefined;
  /** What the entries cost, the room that pages need to be kept tidy included. */
  private chargedBytes = 0;
  private heapBytes = 0;

  constructor(
    private limitBytes: number,
    private policyName: PolicyName = 'lru',
  ) {
    this.records = new Records(limitBytes);
    this.wheel = new TimingWheel(Date.now(), (timed) => {
      this.expirations++;
      this.take(timed as Slot);
    });
    this.policy = createPolicy(policyName);
    this.policy.limit(this.budgetBytes);
  }

  /** All memory taken: pages with the holes in them, slots and keys. */
  get sizeBytes(): number {
    return this.records.bytes + this.heapBytes;
  }

  get capacityBytes(): number {
    return this.limitBytes;
  }

  get count(): number {
    return this.slots.size;
  }

  /** The slot of a live entry, which counts as a use of it. See `Slot` for how long what it says is good. */
  peek(key: string, nowMs: number): Slot | undefined {
    if (nowMs >= this.wheel.nextMs) this.wheel.advance(nowMs, EXPIRED_PER_READ);
    const slot = this.slots.get(key);
    if (slot === undefined) return undefined;
    if (slot.expires && slot.heldUntilMs <= nowMs) {
      this.expirations++;
      this.take(slot);
      return undefined;
    }
    this.policy.use(slot);
    return slot;
  }

  /**
   * Copies an entry in unless a newer one is there; one of the same revision stays and has its epoch raised.
   * @returns whether there is a copy now
   */
  hold(key: string, entry: Entry, heldUntilMs: number, hits = 0, epoch = 0): boolean {
    const slot = this.slots.get(key);
    if (slot) {
      const { revision } = slot;
      if (revision === entry.revision) slot.epoch = Math.max(slot.epoch, epoch);
      return revision >= entry.revision || this.replace(slot, entry, heldUntilMs, epoch);
    }
    const taken = new Slot(ownKey(key), hits, epoch);
    taken.attributes = entry.attributes;
    const costBytes = (taken.costBytes = this.costOf(taken, entry.payload.length));
    this.policy.arrive(taken);
    if (costBytes > this.budgetBytes || !this.place(taken, entry, heldUntilMs)) return this.refuse();
    this.slots.set(taken.key, taken);
    this.policy.add(taken);
    return true;
  }

  /** Reads answered from the copy of a key. */
  hitsOf(key: string): number {
    return this.slots.get(key)?.hits ?? 0;
  }

  /** Whether an entry could come in: always, unless nothing may go for it. */
  hasRoomFor(key: string, payloadBytes: number): boolean {
    if (!(this.policy instanceof RejectPolicy)) return true;
    const costBytes = this.costOf({ key, attributes: undefined }, payloadBytes);
    return this.chargedBytes - (this.slots.get(key)?.costBytes ?? 0) + costBytes <= this.budgetBytes;
  }

  drop(key: string): boolean {
    const slot = this.slots.get(key);
    if (slot) this.take(slot);
    return slot !== undefined;
  }

  /** Drops what is older than a revision. */
  dropOlder(key: string, revision: number): boolean {
    const slot = this.slots.get(key);
    if (!slot || slot.revision >= revision) return false;
    this.take(slot);
    return true;
  }

  /** @returns how many there were */
  dropPrefix(prefix: string): number {
    let dropped = 0;
    for (const [key, slot] of this.slots) {
      if (!key.startsWith(prefix)) continue;
      this.take(slot);
      dropped++;
    }
    return dropped;
  }

  clear(): void {
    for (const slot of this.slots.values()) this.take(slot);
  }

  resize(limitBytes: number): void {
    if (limitBytes === this.limitBytes) return;
    this.limitBytes = limitBytes;
    this.records.resize(limitBytes);
    this.policy.limit(this.budgetBytes);
    while (this.chargedBytes > this.budgetBytes || !this.records.shrinkTo(limitBytes - this.heapBytes)) {
      if (!this.evictSurplus()) return;
    }
  }

  /** Changes the policy and keeps the entries, which the new one gets to know in the order in which they came. */
  setPolicy(name: PolicyName): void {
    if (name === this.policyName) return;
    this.policyName = name;
    const policy = createPolicy(name);
    policy.limit(this.budgetBytes);
    for (const slot of this.slots.values()) {
      this.policy.remove(slot);
      slot.hash = 0;
      policy.add(slot);
    }
    this.policy = policy;
  }

  protected keys(): IterableIterator<string> {
    return this.slots.keys();
  }

  protected heldUntil(key: string): number {
    return this.slots.get(key)?.heldUntilMs ?? 0;
  }

  /** Stops the timer; nothing is lost by that but the memory of what expires from now on. */
  protected stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.clear();
  }

  private get budgetBytes(): number {
    return this.limitBytes - this.records.reservedBytes;
  }

  private replace(slot: Slot, entry: Entry, heldUntilMs: number, epoch: number): boolean {
    this.wheel.remove(slot);
    const sameBytes = attributeBytes(slot.attributes) === attributeBytes(entry.attributes);
    if (sameBytes && this.records.fits(slot, entry.payload.length)) {
      slot.attributes = entry.attributes;
      this.fill(slot, entry, heldUntilMs);
    } else {
      this.vacate(slot);
      slot.attributes = entry.attributes;
      this.policy.resize(slot, this.costOf(slot, entry.payload.length));
      if (slot.costBytes > this.budgetBytes || !this.place(slot, entry, heldUntilMs)) {
        // Not placed, or chosen to go itself; the former copy is gone in any case.
        if (this.slots.delete(slot.key)) this.policy.remove(slot);
        return this.refuse();
      }
    }
    slot.epoch = epoch;
    this.policy.use(slot);
    return true;
  }

  /** Makes room for an entry and copies it there; others go for it. */
  private place(slot: Slot, entry: Entry, heldUntilMs: number): boolean {
    const { costBytes } = slot;
    const payloadBytes = entry.payload.length;
    while (this.chargedBytes + costBytes > this.budgetBytes || this.slots.size >= MAX_ENTRIES) {
      if (!this.evict(slot)) return false;
    }
    const heapBytes = this.heapCost(slot, this.records.pieces(payloadBytes));
    while (!this.records.allocate(slot, payloadBytes, this.limitBytes - this.heapBytes - heapBytes)) {
      if (!this.evict(slot)) return false;
    }
    this.chargedBytes += costBytes;
    this.heapBytes += heapBytes;
    this.fill(slot, entry, heldUntilMs);
    return true;
  }

  private fill(slot: Slot, entry: Entry, heldUntilMs: number): void {
    slot.write(entry, heldUntilMs);
    if (heldUntilMs !== 0) this.schedule(slot);
  }

  private schedule(slot: Slot): void {
    this.wheel.add(slot);
    this.timer ??= setInterval(() => {
      this.wheel.advance(Date.now(), EXPIRED_PER_TICK);
      if (this.wheel.count > 0) return;
      clearInterval(this.timer);
      this.timer = undefined;
    }, TICK_MS).unref();
  }

  /** @returns false when nothing may go, or when it was `incoming` itself that went */
  private evict(incoming: Slot): boolean {
    const victim = this.policy.victim(incoming.costBytes) as Slot | undefined;
    if (!victim) return false;
    this.evictions++;
    if (victim !== incoming) {
      this.forget(victim);
      return true;
    }
    // It is being replaced, and takes nothing at the moment.
    this.slots.delete(incoming.key);
    return false;
  }

  private evictSurplus(): boolean {
    const { policy } = this;
    const victim = (policy instanceof RejectPolicy ? policy.surplus() : policy.victim(0)) as Slot | undefined;
    if (!victim) return false;
    this.forget(victim);
    this.evictions++;
    return true;
  }

  private take(slot: Slot): void {
    this.policy.remove(slot);
    this.forget(slot);
  }

  private forget(slot: Slot): void {
    this.slots.delete(slot.key);
    this.wheel.remove(slot);
    this.vacate(slot);
  }

  /** Gives back what a slot takes, if it has it. */
  private vacate(slot: Slot): void {
    if (!slot.page) return;
    this.chargedBytes -= slot.costBytes;
    this.heapBytes -= this.heapCost(slot, this.records.free(slot));
  }

  private refuse(): false {
    this.rejections++;
    return false;
  }

  private heapCost({ key, attributes }: Pick<Slot, 'key' | 'attributes'>, pieces: number): number {
    return SLOT_BYTES + keyBytes(key) + attributeBytes(attributes) + (pieces - 1) * EXTENT_BYTES;
  }

  private costOf(slot: Pick<Slot, 'key' | 'attributes'>, payloadBytes: number): number {
    return this.heapCost(slot, this.records.pieces(payloadBytes)) + this.records.cost(payloadBytes);
  }
}
