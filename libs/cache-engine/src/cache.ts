import { setTimeout as delay } from 'node:timers/promises';
import type { Config, LayerName, Strategy } from '@cache-system/contracts';
import type { Backplane } from './backplane/backplane.js';
import type { Content, Entry, Stamp, Value } from './entry.js';
import {
  ConditionFailed,
  KeyNotFound,
  LayerTimeout,
  LayerUnavailable,
  ReplicationIncomplete,
  StorageFull,
  TooMuchContention,
} from './errors.js';
import { InFlight } from './in-flight.js';
import { KeyQueue } from './key-queue.js';
import type { MemoryLayer, Slot } from './layers/memory.js';
import { type Condition, holds, type Increment, KEEP_EXPIRY, type Mutation, type Outcome } from './mutation.js';
import type { Applied, ReplicationWish, SharedTiers } from './shared-tiers.js';

/** For so long a change is tried again that keeps being overtaken by other nodes. */
const CONTENTION_LIMIT_MS = 2000;
const MAX_BACKOFF_MS = 16;

/** The part of the configuration that the cache runs on. Replaced as a whole while running. */
export interface CacheSettings {
  readonly layers: Pick<Config['cache']['layers'], 'l1' | 'l2' | 'l3'>;
  readonly defaultStrategy: Strategy;
}

export interface WriteOptions {
  /** Seconds to live, 0 for no expiry; left out, the defaults of the layers. */
  readonly ttlSeconds?: number | undefined;
  readonly strategy?: Strategy | undefined;
  readonly condition?: Condition | undefined;
  /** Wait for replicas of the deepest layer, as many as its consistency level says. */
  readonly replicate?: boolean | undefined;
}

export interface Written {
  readonly status: 'created' | 'updated';
  readonly entry: Entry;
  /** The layers that hold the entry now. */
  readonly layers: readonly LayerName[];
  /** Names of the replicas that have confirmed the write. */
  readonly replicatedTo: readonly string[];
}

export interface Found {
  readonly entry: Entry;
  readonly layer: LayerName;
  readonly hits: number;
  /** The copy could not be checked: neither the shared layers nor the other nodes can be reached. */
  readonly stale: boolean;
  /** Layers that could not be asked; deeper ones answered for them. */
  readonly unavailable: readonly LayerName[];
}

/** Makes the new value of the current entry, which is undefined where there is none. */
type Revise = (current: Entry | undefined) => Value;

/** Reads answered, by what answered them. */
export interface ReadCounts {
  L1: number;
  L2: number;
  L3: number;
  misses: number;
}

const NONE: readonly LayerName[] = [];

/**
 * The layers as one cache. The deepest shared layer is where the truth is: it hands out versions and decides every
 * condition. L1 holds copies, and only such as are no older than anything this node knows to have happened to the key;
 * they are served while the backplane vouches for them.
 */
export class Cache {
  readonly counts: ReadCounts = { L1: 0, L2: 0, L3: 0, misses: 0 };
  private readonly inFlight = new InFlight();
  private readonly revisions = new KeyQueue();

  constructor(
    private readonly l1: MemoryLayer,
    private readonly shared: SharedTiers,
    private readonly backplane: Backplane,
    private settings: CacheSettings,
  ) {
    backplane.follow({
      changed: (key, revision) => {
        this.inFlight.overtake(key, revision);
        this.l1.dropOlder(key, revision);
        this.shared.changed(key, revision);
      },
      dropped: (prefix, exact) => {
        if (exact) this.l1.drop(prefix);
        else this.l1.dropPrefix(prefix);
      },
      missed: () => this.shared.missed(),
    });
  }

  /** The layers that there are, from the top. */
  get layerNames(): readonly LayerName[] {
    return ['L1', ...this.shared.names];
  }

  configure(settings: CacheSettings): void {
    this.settings = settings;
    this.l1.setPolicy(settings.layers.l1.eviction_policy);
    this.l1.resize(settings.layers.l1.size_mb * 1024 * 1024);
  }

  /** What L1 has of a key, without waiting. Undefined says nothing about the other layers: ask `load` then. */
  peek(key: string): Slot | undefined {
    if (!this.backplane.isTrusted()) return undefined;
    const slot = this.l1.peek(key, Date.now());
    return slot !== undefined && slot.epoch === this.backplane.epoch ? slot : undefined;
  }

  /** To be called when a read is answered from a slot. */
  countHit(slot: Slot): void {
    slot.hits++;
    this.counts.L1++;
  }

  /**
   * What the layers below L1 have of a key; a hit is promoted to L1. Where they cannot be reached, a copy in L1 that
   * could not be checked is better than nothing for as long as `l1.outage_grace` says.
   * @param fresh true: the newest that was acknowledged, from where the truth is, or nothing
   * @throws KeyNotFound, LayerTimeout, LayerUnavailable
   */
  async load(key: string, fresh = false): Promise<Found> {
    const ticket = this.inFlight.enter(key);
    const { epoch } = this.backplane;
    try {
      const { entry, layer, searched, unavailable } = fresh
        ? await this.shared.getFresh(key)
        : await this.shared.get(key, this.backplane.isTrusted());
      if (!entry) {
        this.counts.misses++;
        if (this.inFlight.isUndisturbed(ticket)) this.l1.drop(key);
        throw new KeyNotFound(fresh ? searched : ['L1', ...searched], unavailable);
      }
      this.counts[layer]++;
      if (this.inFlight.allows(ticket, entry.revision)) this.hold(key, entry, 1, epoch);
      return { entry, layer, hits: 1, stale: false, unavailable };
    } catch (error) {
      const isUnreachable = error instanceof LayerTimeout || error instanceof LayerUnavailable;
      const unchecked = isUnreachable && !fresh ? this.unchecked(key) : undefined;
      if (!unchecked) throw error;
      this.countHit(unchecked);
      return { entry: unchecked.entry, layer: 'L1', hits: unchecked.hits, stale: true, unavailable: this.shared.names };
    } finally {
      this.inFlight.leave(ticket);
    }
  }

  /** @throws KeyNotFound, LayerTimeout, LayerUnavailable */
  async read(key: string): Promise<Found> {
    const slot = this.peek(key);
    if (!slot) return this.load(key);
    this.countHit(slot);
    return { entry: slot.entry, layer: 'L1', hits: slot.hits, stale: false, unavailable: NONE };
  }

  /** Asks where the truth is. @throws KeyNotFound, LayerTimeout, LayerUnavailable */
  async requireExisting(key: string): Promise<void> {
    if (!(await this.shared.fresh(key))) throw new KeyNotFound(this.layerNames);
  }

  /** @throws ConditionFailed, ReplicationIncomplete, LayerTimeout, LayerUnavailable, StorageFull */
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
      // The copy in L1 is almost always the newest and saves a round trip; where it is not, the result is refused.
      let current = this.peek(key)?.entry ?? (await this.shared.fresh(key));
      const giveUpAt = performance.now() + CONTENTION_LIMIT_MS;
      for (let attempt = 0; attempt === 0 || performance.now() < giveUpAt; attempt++) {
        if (!holds(options.condition, current)) {
          const fresh = attempt === 0 ? await this.shared.fresh(key) : current;
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
          current = await this.shared.fresh(key);
        }
      }
      throw new TooMuchContention(CONTENTION_LIMIT_MS);
    });
  }

  /**
   * Adds to a small integer in one step of the deepest layer. Undefined when the entry is no such thing: `revise` can
   * deal with every number.
   * @throws ConditionFailed, LayerTimeout, LayerUnavailable, StorageFull
   */
  async increment(
    key: string,
    { by, initial, ttlSeconds, condition }: { by: number; initial: number } & WriteOptions,
  ): Promise<Written | undefined> {
    const mutation: Increment = {
      kind: 'increment',
      key,
      by,
      initial,
      ttlMs: ttlSeconds === undefined ? KEEP_EXPIRY : ttlSeconds * 1000,
      initialTtlMs: this.ttlMs(ttlSeconds),
      defaultTtl: ttlSeconds === undefined,
      ...(condition && { condition }),
    };
    return this.write(mutation, {});
  }

  /**
   * Removes an entry from every layer and says from which.
   * @throws KeyNotFound, ConditionFailed, LayerTimeout, LayerUnavailable
   */
  async remove(key: string, condition?: Condition): Promise<readonly LayerName[]> {
    const { applied, dropped } = await this.mutate({ kind: 'remove', key, ...(condition && { condition }) });
    const layers: readonly LayerName[] = dropped ? ['L1', ...applied.layers] : applied.layers;
    if (layers.length === 0) throw new KeyNotFound(this.layerNames);
    return layers;
  }

  /**
   * Drops the copies in L1 of every node and leaves the entry where it is.
   * @throws KeyNotFound, ConditionFailed, LayerTimeout, LayerUnavailable
   */
  async dropFromL1(key: string, condition?: Condition): Promise<readonly LayerName[]> {
    const entry = this.l1.peek(key, Date.now()) ?? (await this.shared.fresh(key));
    if (!holds(condition, entry)) throw new ConditionFailed();
    if (!entry) throw new KeyNotFound(this.layerNames);
    this.l1.drop(key);
    await this.backplane.drop(key, true).catch((cause: unknown) => {
      throw new LayerUnavailable(this.shared.deepest, { cause });
    });
    return ['L1'];
  }

  /** Gives an entry a new expiry. @throws KeyNotFound, ConditionFailed, LayerTimeout, LayerUnavailable */
  async touch(key: string, ttlSeconds: number, condition?: Condition): Promise<Stamp> {
    const touch = { kind: 'touch', key, ttlMs: ttlSeconds * 1000, ...(condition && { condition }) } as const;
    const { outcome } = (await this.mutate(touch)).applied;
    if (!('stamp' in outcome)) throw new KeyNotFound(this.layerNames);
    return outcome.stamp;
  }

  /** Asks for the right to fill a key, or gives it back. See `Lease`. @throws LayerTimeout, LayerUnavailable */
  async lease(mutation: Extract<Mutation, { kind: 'lease' | 'release' }>): Promise<Outcome> {
    return (await this.shared.apply(mutation, false)).outcome;
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
    const written = await this.write({ kind: 'put', key, content, ttlMs, ...(condition && { condition }) }, options);
    if (!written) throw new Error('a put came out as unsuitable');
    return written;
  }

  /** Runs a mutation that leaves an entry, and holds that in L1. */
  private async write(mutation: Mutation, options: WriteOptions): Promise<Written | undefined> {
    const { key } = mutation;
    const around = (options.strategy ?? this.settings.defaultStrategy) === 'write-around';
    if (!around && mutation.kind === 'put' && !this.l1.hasRoomFor(key, mutation.content.payload.length)) {
      throw new StorageFull('L1 is full, and its eviction policy is reject');
    }
    const ticket = this.inFlight.enter(key);
    const { epoch } = this.backplane;
    try {
      const { outcome, entry, layers, replication } = await this.applyOrForget(
        mutation,
        around,
        options.replicate ? this.replicationWish() : undefined,
      );
      if (outcome.status === 'refused') throw new ConditionFailed();
      if (outcome.status === 'unsuitable') return undefined;
      if (!entry) throw new Error(`a ${mutation.kind} came out as ${outcome.status}`);
      const newest = this.inFlight.settle(ticket, outcome.revision);
      if (around) this.l1.drop(key);
      const inL1 = !around && newest && this.hold(key, entry, 0, epoch);
      const { confirmedBy, confirmed, wanted } = replication;
      if (confirmed < wanted) {
        throw new ReplicationIncomplete(this.shared.deepest, entry.version, confirmedBy, wanted);
      }
      return {
        status: outcome.status === 'created' ? 'created' : 'updated',
        entry,
        layers: inL1 ? ['L1', ...layers] : layers,
        replicatedTo: confirmedBy,
      };
    } finally {
      this.inFlight.leave(ticket);
    }
  }

  /** Runs a mutation that leaves no copy in L1. */
  private async mutate(mutation: Mutation): Promise<{ applied: Applied; dropped: boolean }> {
    const { key } = mutation;
    const ticket = this.inFlight.enter(key);
    const held = this.l1.peek(key, Date.now()) !== undefined;
    try {
      const applied = await this.applyOrForget(mutation, false);
      if (applied.outcome.status === 'refused') throw new ConditionFailed();
      this.inFlight.settle(ticket, applied.outcome.revision);
      // What the backplane has told us of our own change may have come before the answer.
      const dropped =
        this.l1.dropOlder(key, applied.outcome.revision) || (held && this.l1.peek(key, Date.now()) === undefined);
      return { applied, dropped };
    } finally {
      this.inFlight.leave(ticket);
    }
  }

  /** A mutation that fails may have happened nevertheless: what L1 has of the key is not to be trusted then. */
  private async applyOrForget(mutation: Mutation, around: boolean, replicate?: ReplicationWish): Promise<Applied> {
    try {
      return await this.shared.apply(mutation, around, replicate);
    } catch (error) {
      this.inFlight.distrust(mutation.key);
      this.l1.drop(mutation.key);
      throw error;
    }
  }

  /** A copy that may be old, where nothing better is to be had. */
  private unchecked(key: string): Slot | undefined {
    const graceMs = this.settings.layers.l1.outage_grace * 1000;
    const slot = this.l1.peek(key, Date.now());
    return slot && this.backplane.uncheckedMs(slot.epoch) < graceMs ? slot : undefined;
  }

  private hold(key: string, entry: Entry, hits: number, epoch: number): boolean {
    const l1Default = this.settings.layers.l1.ttl_default;
    const byDefault = entry.defaultTtl && l1Default > 0 ? Date.now() + l1Default * 1000 : 0;
    const heldUntilMs =
      entry.expiresAtMs === 0 || byDefault === 0
        ? entry.expiresAtMs || byDefault
        : Math.min(entry.expiresAtMs, byDefault);
    // A master that died can take the end of its stream with it; what is left of that here was never heard of again.
    const slot = this.l1.peek(key, Date.now());
    if (slot && slot.epoch < epoch && slot.revision > entry.revision) this.l1.drop(key);
    return this.l1.hold(key, entry, heldUntilMs, hits, epoch);
  }

  /** The ttl of an entry that was given none is the default of the deepest layer. */
  private ttlMs(ttlSeconds: number | undefined): number {
    const { l2, l3 } = this.settings.layers;
    return (ttlSeconds ?? (this.shared.deepest === 'L3' ? l3 : l2).ttl_default) * 1000;
  }

  private replicationWish(): ReplicationWish {
    const { consistency_level: level, deadline_ms: timeoutMs, replication_factor: copies } = this.settings.layers.l3;
    // After a failover there are fewer than there should be, and a majority of those is none.
    return { wanted: (replicas) => confirmations(level, Math.max(replicas, copies - 1)), timeoutMs };
  }
}

/** How many replicas must confirm a write. A majority counts the master, which has it already. */
function confirmations(level: Config['cache']['layers']['l3']['consistency_level'], replicas: number): number {
  if (level === 'eventual') return 0;
  return level === 'all' ? replicas : Math.floor((replicas + 1) / 2);
}
