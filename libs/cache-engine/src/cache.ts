import { setTimeout as delay } from 'node:timers/promises';
import type { Config, LayerName, Strategy } from '@cache-system/contracts';
import type { BatchedLayer } from './batched-layer.js';
import type { Content, Entry, Stamp, Value } from './entry.js';
import { ConditionFailed, KeyNotFound, TooMuchContention } from './errors.js';
import { InFlight } from './in-flight.js';
import { KeyQueue } from './key-queue.js';
import type { MemoryLayer, Slot } from './layers/memory.js';
import { type Condition, holds, KEEP_EXPIRY, type Mutation, type Outcome } from './mutation.js';

/** For so long a change is tried again that keeps being overtaken by other nodes. */
const CONTENTION_LIMIT_MS = 2000;
const MAX_BACKOFF_MS = 16;

/** The part of the configuration that the cache runs on. Replaced as a whole while running. */
export interface CacheSettings {
  readonly layers: Pick<Config['cache']['layers'], 'l1' | 'l2'>;
  readonly defaultStrategy: Strategy;
}

export interface WriteOptions {
  /** Seconds to live, 0 for no expiry; left out, the defaults of the layers. */
  readonly ttlSeconds?: number | undefined;
  readonly strategy?: Strategy | undefined;
  readonly condition?: Condition | undefined;
}

export interface Written {
  readonly status: 'created' | 'updated';
  readonly entry: Entry;
  /** The layers that hold the entry now. */
  readonly layers: readonly LayerName[];
}

export interface Found {
  readonly entry: Entry;
  readonly layer: LayerName;
  readonly hits: number;
}

/** Makes the new value of the current entry, which is undefined where there is none. */
type Revise = (current: Entry | undefined) => Value;

/** Reads answered, by what answered them. */
export interface ReadCounts {
  l1Hits: number;
  l2Hits: number;
  misses: number;
}

/**
 * The layers as one cache. L2 is where the truth is: it hands out versions and decides every condition. L1 holds
 * copies, and only such as are no older than anything this node knows to have happened to the key.
 */
export class Cache {
  readonly counts: ReadCounts = { l1Hits: 0, l2Hits: 0, misses: 0 };
  private readonly inFlight = new InFlight();
  private readonly revisions = new KeyQueue();

  constructor(
    private readonly l1: MemoryLayer,
    private readonly l2: BatchedLayer,
    private settings: CacheSettings,
  ) {}

  configure(settings: CacheSettings): void {
    this.settings = settings;
    this.l1.resize(settings.layers.l1.size_mb * 1024 * 1024);
  }

  /** What L1 has of a key, without waiting. Undefined says nothing about the other layers: ask `load` then. */
  peek(key: string): Slot | undefined {
    return this.l1.peek(key, Date.now());
  }

  /** To be called when a read is answered from a slot. */
  countHit(slot: Slot): void {
    slot.hits++;
    this.counts.l1Hits++;
  }

  /**
   * What the layers below L1 have of a key; a hit is promoted to L1.
   * @throws KeyNotFound, LayerTimeout, LayerUnavailable
   */
  async load(key: string): Promise<Found> {
    const ticket = this.inFlight.enter(key);
    try {
      const entry = await this.l2.get(key);
      if (!entry) {
        this.counts.misses++;
        throw new KeyNotFound(['L1', 'L2']);
      }
      this.counts.l2Hits++;
      if (this.inFlight.allows(ticket, entry.revision)) this.hold(key, entry, 1);
      return { entry, layer: 'L2', hits: 1 };
    } finally {
      this.inFlight.leave(ticket);
    }
  }

  /** @throws KeyNotFound, LayerTimeout, LayerUnavailable */
  async read(key: string): Promise<Found> {
    const slot = this.peek(key);
    if (!slot) return this.load(key);
    this.countHit(slot);
    return { entry: slot.entry, layer: 'L1', hits: slot.hits };
  }

  /** @throws ConditionFailed, LayerTimeout, LayerUnavailable, StorageFull */
  async put(key: string, value: Value, options: WriteOptions): Promise<Written> {
    return this.store(key, value, this.ttlMs(options.ttlSeconds), options);
  }

  /**
   * Replaces a value by what `revise` makes of it. Of concurrent calls none is lost: they are done one by one on this
   * node, and done again where another node came between. The expiry stays unless a ttl is given.
   * @throws ConditionFailed, TooMuchContention, what `revise` throws, LayerTimeout, LayerUnavailable, StorageFull
   */
  async revise(key: string, revise: Revise, options: WriteOptions): Promise<Written> {
    return this.revisions.run(key, async () => {
      // The copy in L1 is almost always the newest and saves a round trip; where it is not, L2 refuses the result.
      let current = this.l1.peek(key, Date.now())?.entry ?? (await this.l2.get(key));
      const giveUpAt = performance.now() + CONTENTION_LIMIT_MS;
      for (let attempt = 0; attempt === 0 || performance.now() < giveUpAt; attempt++) {
        if (!holds(options.condition, current)) {
          const fresh = attempt === 0 ? await this.l2.get(key) : current;
          if (!holds(options.condition, fresh)) throw new ConditionFailed();
          current = fresh;
        }
        const value = revise(current);
        const condition: Condition = current ? { versionIn: [current.version] } : { exists: false };
        const keepsExpiry = current !== undefined && options.ttlSeconds === undefined;
        try {
          const ttlMs = keepsExpiry ? KEEP_EXPIRY : this.ttlMs(options.ttlSeconds);
          return await this.store(key, value, ttlMs, { ...options, condition }, keepsExpiry && current?.defaultTtl);
        } catch (error) {
          if (!(error instanceof ConditionFailed)) throw error;
          // The winner is a step ahead from now on: only chance lets others in.
          await delay(Math.random() * Math.min(2 ** attempt, MAX_BACKOFF_MS));
          current = await this.l2.get(key);
        }
      }
      throw new TooMuchContention(CONTENTION_LIMIT_MS);
    });
  }

  /**
   * Removes an entry from every layer and says from which.
   * @throws KeyNotFound, ConditionFailed, LayerTimeout, LayerUnavailable
   */
  async remove(key: string, condition?: Condition): Promise<readonly LayerName[]> {
    const { outcome, dropped } = await this.mutate({ kind: 'remove', key, ...(condition && { condition }) });
    const layers: LayerName[] = [];
    if (dropped) layers.push('L1');
    if (outcome.status === 'removed') layers.push('L2');
    if (layers.length === 0) throw new KeyNotFound(['L1', 'L2']);
    return layers;
  }

  /** Drops the copy in L1 and leaves the entry where it is. @throws KeyNotFound when L1 had none */
  dropFromL1(key: string): readonly LayerName[] {
    if (!this.l1.drop(key)) throw new KeyNotFound(['L1']);
    return ['L1'];
  }

  /** Gives an entry a new expiry. @throws KeyNotFound, ConditionFailed, LayerTimeout, LayerUnavailable */
  async touch(key: string, ttlSeconds: number, condition?: Condition): Promise<Stamp> {
    const touch = { kind: 'touch', key, ttlMs: ttlSeconds * 1000, ...(condition && { condition }) } as const;
    const { outcome } = await this.mutate(touch);
    if (!('stamp' in outcome)) throw new KeyNotFound(['L1', 'L2']);
    return outcome.stamp;
  }

  private async store(
    key: string,
    value: Value,
    ttlMs: number,
    options: WriteOptions,
    defaultTtl = options.ttlSeconds === undefined,
  ): Promise<Written> {
    const content: Content = { ...value, defaultTtl };
    const { condition } = options;
    const ticket = this.inFlight.enter(key);
    try {
      const outcome = await this.applyOrForget({ kind: 'put', key, content, ttlMs, ...(condition && { condition }) });
      if (outcome.status === 'refused') throw new ConditionFailed();
      if (!('stamp' in outcome)) throw new Error(`a put came out as ${outcome.status}`);
      const entry: Entry = { ...content, ...outcome.stamp };
      const around = (options.strategy ?? this.settings.defaultStrategy) === 'write-around';
      const newest = this.inFlight.settle(ticket, outcome.revision);
      if (around) this.l1.drop(key);
      const inL1 = !around && newest && this.hold(key, entry, 0);
      return {
        status: outcome.status === 'created' ? 'created' : 'updated',
        entry,
        layers: inL1 ? ['L1', 'L2'] : ['L2'],
      };
    } finally {
      this.inFlight.leave(ticket);
    }
  }

  /** Runs a mutation that leaves no copy in L1. */
  private async mutate(mutation: Mutation): Promise<{ outcome: Outcome; dropped: boolean }> {
    const { key } = mutation;
    const ticket = this.inFlight.enter(key);
    try {
      const outcome = await this.applyOrForget(mutation);
      if (outcome.status === 'refused') throw new ConditionFailed();
      this.inFlight.settle(ticket, outcome.revision);
      const held = this.l1.peek(key, Date.now());
      return { outcome, dropped: held !== undefined && held.entry.revision < outcome.revision && this.l1.drop(key) };
    } finally {
      this.inFlight.leave(ticket);
    }
  }

  /** A mutation that fails may have happened nevertheless: what L1 has of the key is not to be trusted then. */
  private async applyOrForget(mutation: Mutation): Promise<Outcome> {
    try {
      return await this.l2.apply(mutation);
    } catch (error) {
      this.inFlight.distrust(mutation.key);
      this.l1.drop(mutation.key);
      throw error;
    }
  }

  private hold(key: string, entry: Entry, hits: number): boolean {
    const l1Default = this.settings.layers.l1.ttl_default;
    const byDefault = entry.defaultTtl && l1Default > 0 ? Date.now() + l1Default * 1000 : 0;
    const heldUntilMs =
      entry.expiresAtMs === 0 || byDefault === 0
        ? entry.expiresAtMs || byDefault
        : Math.min(entry.expiresAtMs, byDefault);
    return this.l1.hold(key, ownCopy(entry), heldUntilMs, hits);
  }

  private ttlMs(ttlSeconds: number | undefined): number {
    return (ttlSeconds ?? this.settings.layers.l2.ttl_default) * 1000;
  }
}

/** An entry whose payload is no view of a larger buffer: what is held in memory must be only what is counted. */
function ownCopy(entry: Entry): Entry {
  const { payload } = entry;
  if (payload.buffer.byteLength === payload.length) return entry;
  const own = Buffer.allocUnsafeSlow(payload.length);
  payload.copy(own);
  return { ...entry, payload: own };
}
