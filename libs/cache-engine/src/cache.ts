import { setTimeout as delay } from 'node:timers/promises';
import type { LayerName } from '@cache-system/contracts';
import { type Attributes, isConditional, staleMs } from './attributes.js';
import type { Backplane } from './backplane/backplane.js';
import { type Content, type Entry, type Head, isStale, type Stamp, stampOf, type Value } from './entry.js';
import {
  ConditionFailed,
  KeyNotFound,
  LayerTimeout,
  LayerUnavailable,
  NamespaceFull,
  ReplicationIncomplete,
  StorageFull,
  TooMuchContention,
} from './errors.js';
import type {
  CacheSettings,
  Change,
  ChangeListener,
  Found,
  ReadCounts,
  WriteOptions,
  Written,
} from './cache-operations.js';
import { type Batch, InFlight } from './in-flight.js';
import type { Page } from './layer.js';
import { CONTENTION_LIMIT_MS, LivingEntries } from './living-entries.js';
import { KeyQueue } from './key-queue.js';
import type { MemoryLayer, Slot } from './layers/memory.js';
import {
  bothOf,
  type Condition,
  holds,
  type Increment,
  KEEP_EXPIRY,
  type Mutation,
  NO_EXPIRY,
  type Outcome,
} from './mutation.js';
import type { Outbox, OutboxRecord } from './outbox.js';
import { NOT_TRUSTED, ReadTrace } from './read-trace.js';
import type { Applied, Fetched, ReplicationWish, SharedTiers } from './shared-tiers.js';
import type { KeyRing } from './payload/key-ring.js';
import { StoredForm, type UnreadableReason } from './stored-form.js';
import { readSweepNotice, type SweepCriteria, sweepNotice } from './sweep-notice.js';
import { isReserved, tagKey, Tags } from './tags.js';
import { attributesOf, confirmations, keptTerms, remainingMs, stalenessOf, type WriteTerms } from './write-terms.js';

const MAX_BACKOFF_MS = 16;

/** Makes the new value of the current entry, which is undefined where there is none. */
type Revise = (current: Entry | undefined) => Value;

const NONE: readonly LayerName[] = [];
const OF_FORMER_EPOCH = 'its copy was last checked before changes may have been missed';
const TAGS_NOT_KNOWN = 'this node does not know the tags of its copy to be current';
const UNCHECKED = 'no shared layer can be reached, so its copy is served unchecked for a while';
const NO_CACHE = 'no-cache asks the deepest layer alone';
/** An expiry that each read renews is written anew once so much of it has passed. */
const RENEW_AFTER = 0.1;

/**
 * The layers as one cache. The deepest shared layer is where the truth is: it hands out versions and decides every
 * condition. L1 holds copies, and only such as are no older than anything this node knows to have happened to the key;
 * they are served while the backplane vouches for them.
 */
export class Cache {
  readonly counts: ReadCounts = { L1: 0, L2: 0, L3: 0, misses: 0 };
  private readonly inFlight = new InFlight();
  private readonly revisions = new KeyQueue();
  private readonly renewals = new Set<string>();
  private readonly form: StoredForm;
  private readonly changeListeners: ChangeListener[] = [];
  private readonly tags = new Tags({
    peekVersion: (key) => this.peek(key)?.version,
    loadVersion: async (key) => (await this.fetch(key, false)).entry?.version,
    fresh: (key) => this.shared.fresh(key),
    put: async (mutation) => {
      const written = await this.write(mutation, {});
      if (!written) throw new Error('a put came out as unsuitable');
      return written.entry;
    },
    prolong: (key, ttlMs) => this.mutate({ kind: 'touch', key, ttlMs, condition: { onlyLater: true } }),
  });

  private readonly living: LivingEntries;

  constructor(
    private readonly l1: MemoryLayer,
    private readonly shared: SharedTiers,
    private readonly backplane: Backplane,
    private settings: CacheSettings,
    /** Encrypts what is to be encrypted; without it such writes are refused. */
    keys?: KeyRing,
  ) {
    this.form = new StoredForm(settings.storage, keys);
    this.living = new LivingEntries(shared, this.tags);
    backplane.follow({
      changed: (key, revision) => {
        this.inFlight.overtake(key, revision);
        this.l1.dropOlder(key, revision);
        this.shared.changed(key, revision);
        this.tell({ key });
      },
      dropped: (prefix, exact) => {
        const sweep = exact ? readSweepNotice(prefix) : undefined;
        if (sweep) this.tell({ prefix: sweep.prefix });
        else if (exact) this.l1.drop(prefix);
        else this.l1.dropPrefix(prefix);
      },
      missed: () => {
        this.shared.missed();
        this.tell({ prefix: '' });
      },
    });
  }

  /** Stored values that could not be turned back into what was written, by the reason. */
  get unreadable(): Readonly<Record<UnreadableReason, number>> {
    return this.form.unreadable;
  }

  /** The layers that there are, from the top. */
  get layerNames(): readonly LayerName[] {
    return ['L1', ...this.shared.names];
  }

  configure(settings: CacheSettings): void {
    this.settings = settings;
    this.form.configure(settings.storage);
    this.l1.setPolicy(settings.layers.l1.eviction_policy);
    this.l1.resize(settings.layers.l1.size_mb * 1024 * 1024);
  }

  /** Writes down what happens in a read that it is given to. */
  trace(): ReadTrace {
    return new ReadTrace({ trusted: this.backplane.isTrusted(), epoch: this.backplane.epoch });
  }

  /** What L1 has of a key, without waiting. Undefined says nothing about the other layers: ask `load` then. */
  peek(key: string, trace?: ReadTrace): Slot | undefined {
    if (!this.backplane.isTrusted()) {
      trace?.withhold('skipped', NOT_TRUSTED);
      return undefined;
    }
    const slot = this.l1.peek(key, Date.now());
    if (slot === undefined) return undefined;
    if (slot.epoch !== this.backplane.epoch) {
      trace?.withhold('fenced', OF_FORMER_EPOCH);
      return undefined;
    }
    const { attributes } = slot;
    if (attributes === undefined) return slot;
    if (attributes.staleness && isStale(slot, Date.now())) {
      trace?.withholdStale(slot);
      return undefined;
    }
    if (attributes.tags === undefined) return slot;
    // To look for the tags is to use L1, by which the slot may have gone.
    if (this.tags.areKnownCurrent(key, attributes.tags) && slot.page !== undefined) return slot;
    trace?.withhold('fenced', TAGS_NOT_KNOWN);
    return undefined;
  }

  /** To be called when a read is answered from a slot. */
  countHit(slot: Slot): void {
    slot.hits++;
    this.counts.L1++;
    if (slot.attributes?.slidingMs !== undefined) this.renew(slot.key, slot);
  }

  /**
   * What the layers below L1 have of a key; a hit is promoted to L1. Where they cannot be reached, a copy in L1 that
   * could not be checked is better than nothing for as long as `l1.outage_grace` says.
   * @param fresh true: the newest that was acknowledged, from where the truth is, or nothing
   * @throws KeyNotFound, EntryUnreadable, LayerTimeout, LayerUnavailable
   */
  async load(key: string, fresh = false, trace?: ReadTrace): Promise<Found> {
    if (fresh) trace?.skip(this.layerNames.slice(0, -1), NO_CACHE);
    try {
      const { entry, stale, layer, searched, unavailable } = await this.fetch(key, fresh, trace);
      if (!entry) {
        this.counts.misses++;
        throw new KeyNotFound(fresh ? searched : ['L1', ...searched], unavailable, stale);
      }
      this.counts[layer]++;
      if (entry.attributes?.slidingMs !== undefined) this.renew(key, entry);
      return { entry, layer, hits: 1, stale: false, unavailable };
    } catch (error) {
      const isUnreachable = error instanceof LayerTimeout || error instanceof LayerUnavailable;
      if (!isUnreachable || fresh) throw error;
      const unchecked = trace ? trace.look('L1', () => this.unchecked(key, trace)) : this.unchecked(key);
      if (!unchecked) throw error;
      this.countHit(unchecked);
      return { entry: unchecked.entry, layer: 'L1', hits: unchecked.hits, stale: true, unavailable: this.shared.names };
    }
  }

  /**
   * What is found of many keys with one look at the layer below L1, in the order of the keys. Undefined where that was
   * not enough, or there is nothing: `load` tells.
   */
  async loadMany(keys: readonly string[]): Promise<readonly (Found | undefined)[]> {
    const { epoch } = this.backplane;
    const batch = this.inFlight.enterBatch();
    try {
      const entries = (await this.shared.getMany(keys)) ?? [];
      const found = new Array<Found | undefined>(keys.length).fill(undefined);
      const later: Promise<void>[] = [];
      for (const [index, key] of keys.entries()) {
        const entry = entries[index];
        if (!entry || !isSimple(entry.attributes)) continue;
        if (!entry.attributes) found[index] = this.take(key, entry, batch, epoch);
        else {
          const served = this.form.toServed(key, entry);
          later.push(served.then((each) => void (found[index] = this.take(key, each, batch, epoch))));
        }
      }
      if (later.length > 0) await Promise.all(later);
      return found;
    } catch {
      return [];
    } finally {
      this.inFlight.leaveBatch(batch);
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
    if (!(await this.head(key))) throw new KeyNotFound(this.layerNames);
  }

  /** Tells of changes of entries, on whichever node. */
  onChange(listener: ChangeListener): void {
    this.changeListeners.push(listener);
  }

  /** Tells all nodes that whatever may begin so is not what it was, whether there is an entry or not. */
  announceSweep(prefix: string, criteria: SweepCriteria): Promise<void> {
    this.tell({ prefix });
    return this.backplane.drop(sweepNotice(prefix, criteria), true);
  }

  /** @throws ConditionFailed, ReplicationIncomplete, LayerTimeout, LayerUnavailable, StorageFull */
  async put(key: string, value: Value, options: WriteOptions): Promise<Written> {
    const freshMs = this.ttlMs(options.ttlSeconds, options.ttlJitter);
    const staleness = stalenessOf(freshMs, options);
    const ttlMs = freshMs === 0 ? NO_EXPIRY : freshMs + staleMs(staleness);
    const tags =
      options.tagStamps ?? (options.tags && (await this.tags.stamps(key, options.tags, ttlMs, options.limitBytes)));
    return this.store(key, value, ttlMs, { ...options, tags, staleness });
  }

  /**
   * Replaces a value by what `revise` makes of it. Of concurrent calls none is lost: they are done one by one on this
   * node, and done again where another node came between. The expiry stays unless a ttl is given.
   * @throws ConditionFailed, TooMuchContention, what `revise` throws, LayerTimeout, LayerUnavailable, StorageFull
   */
  async revise(key: string, revise: Revise, options: WriteOptions): Promise<Written> {
    return this.revisions.run(key, async () => {
      // The copy in L1 is almost always the newest and saves a round trip; where it is not, the result is refused.
      const slot = this.peek(key);
      // Whether its tags are current just now, L1 cannot tell.
      let stored = slot && !slot.attributes?.tags ? slot.entry : await this.fresh(key);
      const giveUpAt = performance.now() + CONTENTION_LIMIT_MS;
      for (let attempt = 0; attempt === 0 || performance.now() < giveUpAt; attempt++) {
        if (!holds(options.condition, stored ?? options.known)) {
          if (attempt === 0) stored = await this.fresh(key);
          if (!holds(options.condition, stored ?? options.known)) throw new ConditionFailed();
        }
        const current = stored ?? options.known;
        const value = revise(current);
        const condition: Condition = stored ? { versionIn: [stored.version] } : { exists: false };
        const keepsExpiry = stored !== undefined && options.ttlSeconds === undefined;
        try {
          const ttlMs = keepsExpiry ? KEEP_EXPIRY : this.ttlMs(options.ttlSeconds, options.ttlJitter);
          const kept = await this.kept(key, current, ttlMs, options);
          return await this.store(
            key,
            value,
            ttlMs,
            { ...options, ...kept, condition },
            keepsExpiry && current?.defaultTtl,
            stored,
          );
        } catch (error) {
          if (!(error instanceof ConditionFailed)) throw error;
          // The winner is a step ahead from now on: only chance lets others in.
          await delay(Math.random() * Math.min(2 ** attempt, MAX_BACKOFF_MS));
          stored = await this.fresh(key);
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
    { by, initial, ttlSeconds, condition, limitBytes }: { by: number; initial: number } & WriteOptions,
  ): Promise<Written | undefined> {
    if (this.form.mustEncrypt(key)) return undefined;
    const mutation: Increment = {
      kind: 'increment',
      key,
      by,
      initial,
      ttlMs: ttlSeconds === undefined ? KEEP_EXPIRY : ttlSeconds * 1000,
      initialTtlMs: this.ttlMs(ttlSeconds),
      defaultTtl: ttlSeconds === undefined,
      limitBytes,
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

  /** Removes an entry from every layer, if there is one. @throws LayerTimeout, LayerUnavailable */
  async discard(key: string): Promise<boolean> {
    try {
      await this.remove(key);
      return true;
    } catch (error) {
      if (error instanceof KeyNotFound) return false;
      throw error;
    }
  }

  /**
   * Drops the copies in L1 of every node and leaves the entry where it is.
   * @throws KeyNotFound, ConditionFailed, LayerTimeout, LayerUnavailable
   */
  async dropFromL1(key: string, condition?: Condition): Promise<readonly LayerName[]> {
    const entry = this.l1.peek(key, Date.now()) ?? (await this.fresh(key));
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

  /** Removes an entry that is as good as gone, or says that there is another one by now. */
  async purge({ key, version }: Head): Promise<boolean> {
    const condition = { versionIn: [version], checked: version };
    return (await this.shared.apply({ kind: 'remove', key, condition }, false)).outcome.status === 'removed';
  }

  /** Asks for the right to fill a key, or gives it back. See `Lease`. @throws LayerTimeout, LayerUnavailable */
  async lease(mutation: Extract<Mutation, { kind: 'lease' | 'release' }>): Promise<Outcome> {
    return (await this.living.apply(mutation, false)).outcome;
  }

  /** Makes all entries of a namespace with a tag as good as gone, at once. See `Tags.invalidate`. */
  invalidateTag(namespace: string, tag: string): Promise<number | undefined> {
    return this.tags.invalidate(`${namespace}:`, tag);
  }

  /**
   * Live entries with keys that start with `prefix`, page by page: each that is there during the whole scan comes at
   * least once. A page may have fewer than were asked for, or a few more.
   * @returns beside them those that are as good as gone: their tags were invalidated, or they are stale
   * @throws MalformedCursor, LayerTimeout, LayerUnavailable
   */
  async scan(
    prefix: string,
    cursor: string | undefined,
    limit: number,
  ): Promise<Page & { readonly dead: readonly Head[] }> {
    const page = await this.shared.scan(prefix, cursor, limit);
    const heads = page.heads.filter(({ key }) => !isReserved(key));
    const alive = await Promise.all(heads.map((head) => this.living.isAlive(head.key, head, false)));
    return {
      heads: heads.filter((_, index) => alive[index]),
      dead: heads.filter((_, index) => !alive[index]),
      cursor: page.cursor,
    };
  }

  /**
   * Seals an entry with the current key, if it is sealed with another one. Value, tags and expiry stay; the version is new.
   * @returns whether there was anything to do
   * @throws EntryUnreadable, TooMuchContention, LayerTimeout, LayerUnavailable, StorageFull
   */
  async reseal(key: string): Promise<boolean> {
    const entry = await this.shared.fresh(key);
    if (!entry || !this.form.isSealedWithOldKey(entry)) return false;
    try {
      await this.revise(
        key,
        (current) => {
          if (!current) throw new KeyNotFound(this.layerNames);
          return current;
        },
        {},
      );
      return true;
    } catch (error) {
      if (error instanceof KeyNotFound) return false;
      throw error;
    }
  }

  /** What is known of a live entry beside its value. @throws LayerTimeout, LayerUnavailable */
  async head(key: string): Promise<Head | undefined> {
    const entry = await this.shared.fresh(key);
    if (!entry || !(await this.living.isAlive(key, entry, true))) return undefined;
    return { ...stampOf(entry), key, attributes: entry.attributes, storedBytes: entry.payload.length };
  }

  /** Bytes that the entries of a namespace take; undefined: not counted. @throws LayerTimeout, LayerUnavailable */
  usedBytes(namespace: string): Promise<number | undefined> {
    return this.shared.usedBytes(namespace);
  }

  /** Writes that are to reach a source. */
  get outbox(): Outbox | undefined {
    return this.shared.outbox;
  }

  /** The value of a record of the outbox, as callers know it. @throws EntryUnreadable */
  servedFrom({ key, entry }: OutboxRecord): Promise<Entry> {
    return this.form.toServed(key, entry);
  }

  private tell(change: Change): void {
    for (const listener of this.changeListeners) listener(change);
  }

  private async store(
    key: string,
    value: Value,
    ttlMs: number,
    options: WriteTerms,
    defaultTtl = options.ttlSeconds === undefined,
    base?: Entry,
  ): Promise<Written> {
    options.check?.(value);
    const stored = await this.form.toStored(key, value, options);
    let { condition, limitBytes } = options;
    if (options.through) {
      this.requireRoom(key, value, options);
      const requireSpace = () => this.requireSpace(key, stored.value, options.limitBytes);
      condition = bothOf(condition, await options.through(value, base, requireSpace));
      // What the source has taken the layers are to have as well.
      limitBytes = undefined;
    }
    const attributes = attributesOf(options, ttlMs, stored.attributes);
    const content: Content = { ...stored.value, defaultTtl, attributes };
    const { noted } = options;
    const mutation = { kind: 'put', key, content, ttlMs, noted, limitBytes, ...(condition && { condition }) } as const;
    const written = await this.write(mutation, options, value);
    if (!written) throw new Error('a put came out as unsuitable');
    return written;
  }

  /** What a new value takes over from the one that it is made of, unless it is said anew. */
  private async kept(key: string, current: Entry | undefined, ttlMs: number, options: WriteOptions) {
    const leftMs = ttlMs === KEEP_EXPIRY && current ? remainingMs(current) : ttlMs;
    const tags = options.tags
      ? await this.tags.stamps(key, options.tags, leftMs, options.limitBytes)
      : current?.attributes?.tags;
    return { ...keptTerms(current?.attributes, options, ttlMs, leftMs), tags };
  }

  /**
   * Runs a mutation that leaves an entry, and holds that in L1.
   * @param served the value that is put, as callers know it
   */
  private async write(
    mutation: Mutation,
    options: Pick<WriteOptions, 'strategy' | 'replicate'>,
    served?: Value,
  ): Promise<Written | undefined> {
    const { key } = mutation;
    const around = this.isAround(options);
    // What is kept for the cache itself must not be kept from it by a full L1.
    if (served) this.requireRoom(key, served, options);
    // What the backplane tells us of our own change may come before the answer, and drops the copy that has been counted.
    const hits = this.l1.hitsOf(key);
    const ticket = this.inFlight.enter(key);
    const { epoch } = this.backplane;
    try {
      const {
        outcome,
        entry: stored,
        layers,
        replication,
      } = await this.applyOrForget(mutation, around, options.replicate ? this.replicationWish() : undefined);
      if (outcome.status === 'refused') throw new ConditionFailed();
      if (outcome.status === 'full') throw new NamespaceFull(namespaceOf(key), limitOf(mutation), outcome.usedBytes);
      if (outcome.status === 'unsuitable') return undefined;
      if (!stored) throw new Error(`a ${mutation.kind} came out as ${outcome.status}`);
      const entry = served ? { ...stored, payload: served.payload } : stored;
      const newest = this.inFlight.settle(ticket, outcome.revision);
      // Who asks next on this node may come before the backplane has told us.
      this.tell({ key });
      if (around) this.l1.drop(key);
      const inL1 = !around && newest && this.hold(key, entry, hits, epoch);
      const { confirmedBy, confirmed, wanted } = replication;
      if (confirmed < wanted) {
        throw new ReplicationIncomplete(this.shared.deepest, entry.version, confirmedBy, wanted);
      }
      return {
        status: outcome.status === 'created' ? 'created' : 'updated',
        entry,
        storedBytes: stored.payload.length,
        layers: inL1 ? ['L1', ...layers] : layers,
        replicatedTo: confirmedBy,
      };
    } finally {
      this.inFlight.leave(ticket);
    }
  }

  private isAround({ strategy = this.settings.defaultStrategy }: Pick<WriteOptions, 'strategy'>): boolean {
    return strategy === 'write-around';
  }

  /** @throws StorageFull */
  private requireRoom(key: string, { payload }: Value, options: Pick<WriteOptions, 'strategy'>): void {
    if (this.isAround(options) || this.l1.hasRoomFor(key, payload.length)) return;
    throw new StorageFull('L1 is full, and its eviction policy is reject');
  }

  /** @throws NamespaceFull */
  private async requireSpace(key: string, { payload }: Value, limitBytes: number | undefined): Promise<void> {
    if (limitBytes === undefined) return;
    const namespace = namespaceOf(key);
    const [usedBytes = 0, stored] = await Promise.all([this.shared.usedBytes(namespace), this.shared.fresh(key)]);
    const growth = payload.length - (stored?.payload.length ?? 0);
    if (growth > 0 && usedBytes + growth > limitBytes) throw new NamespaceFull(namespace, limitBytes, usedBytes);
  }

  /** Runs a mutation that leaves no copy in L1. */
  private async mutate(mutation: Mutation): Promise<{ applied: Applied; dropped: boolean }> {
    const { key } = mutation;
    const ticket = this.inFlight.enter(key);
    const slot = this.l1.peek(key, Date.now());
    const tags = slot?.attributes?.tags;
    const held = slot !== undefined && (tags === undefined || this.tags.areKnownCurrent(key, tags));
    try {
      const applied = await this.applyOrForget(mutation, false);
      if (applied.outcome.status === 'refused') throw new ConditionFailed();
      this.inFlight.settle(ticket, applied.outcome.revision);
      this.l1.dropOlder(key, applied.outcome.revision);
      this.tell({ key });
      // What the backplane has told us of our own change may have come before the answer.
      return { applied, dropped: held && this.l1.peek(key, Date.now()) === undefined };
    } finally {
      this.inFlight.leave(ticket);
    }
  }

  /** A mutation that fails may have happened nevertheless: what L1 has of the key is not to be trusted then. */
  private async applyOrForget(mutation: Mutation, around: boolean, replicate?: ReplicationWish): Promise<Applied> {
    try {
      return await this.living.apply(mutation, around, replicate);
    } catch (error) {
      this.inFlight.distrust(mutation.key);
      this.l1.drop(mutation.key);
      throw error;
    }
  }

  /** As the next mutation will find it, and as callers know it. */
  private async fresh(key: string): Promise<Entry | undefined> {
    const entry = await this.shared.fresh(key);
    return entry && (await this.living.isAlive(key, entry, true)) ? this.form.toServed(key, entry) : undefined;
  }

  /** What the shared layers have, as callers know it; held in L1 from then on. */
  private async fetch(key: string, fresh: boolean, trace?: ReadTrace): Promise<Fetched> {
    const ticket = this.inFlight.enter(key);
    const { epoch } = this.backplane;
    try {
      const fetched = fresh
        ? await this.shared.getFresh(key, trace)
        : await this.shared.get(key, this.backplane.isTrusted(), trace);
      const { entry: stored } = fetched;
      if (!stored || !(await this.living.hasItsTags(key, stored, fresh, trace))) {
        if (stored) {
          trace?.foundInvalidated();
          this.living.bury(key, stored).catch(() => undefined);
        }
        if (this.inFlight.isUndisturbed(ticket)) this.l1.drop(key);
        return { ...fetched, entry: undefined };
      }
      const entry = await this.form.toServed(key, stored);
      if (isStale(entry, Date.now())) {
        trace?.foundStale(entry);
        return { ...fetched, entry: undefined, stale: entry };
      }
      const isAllowed = this.inFlight.allows(ticket, entry.revision);
      const isHeld = isAllowed && this.hold(key, entry, 1, epoch);
      trace?.fences.push({ layer: 'L1', outcome: isHeld ? 'kept' : isAllowed ? 'no_room' : 'overtaken' });
      return { ...fetched, entry };
    } catch (error) {
      trace?.brokeOff(error);
      throw error;
    } finally {
      this.inFlight.leave(ticket);
    }
  }

  private take(key: string, entry: Entry, batch: Batch, epoch: number): Found {
    if (entry.revision >= (batch.get(key) ?? 0)) this.hold(key, entry, 1, epoch);
    const layer = this.shared.deepest;
    this.counts[layer]++;
    return { entry, layer, hits: 1, stale: false, unavailable: NONE };
  }

  /** Writes a sliding expiry anew, unless that was done a moment ago. Where it fails, the next read does it. */
  private renew(key: string, { expiresAtMs, attributes }: Pick<Entry, 'expiresAtMs' | 'attributes'>): void {
    const slidingMs = attributes?.slidingMs ?? 0;
    const isDue = expiresAtMs !== 0 && expiresAtMs - Date.now() <= slidingMs * (1 - RENEW_AFTER);
    if (!isDue || this.renewals.has(key)) return;
    this.renewals.add(key);
    // Later: it may end the slot that the read is being answered from.
    setImmediate(() => {
      this.mutate({ kind: 'touch', key, ttlMs: slidingMs })
        .catch(() => undefined)
        .finally(() => this.renewals.delete(key));
    });
  }

  /** A copy that may be old, where nothing better is to be had. */
  private unchecked(key: string, trace?: ReadTrace): Slot | undefined {
    const graceMs = this.settings.layers.l1.outage_grace * 1000;
    const nowMs = Date.now();
    const slot = this.l1.peek(key, nowMs);
    if (!slot || this.backplane.uncheckedMs(slot.epoch) >= graceMs) return undefined;
    // An invalidation that this node knows of holds in an outage as well.
    const { tags = [] } = slot.attributes ?? {};
    const areCurrent = tags.every(
      ({ tag, generation }) => this.l1.peek(tagKey(key, tag), nowMs)?.version === generation,
    );
    if (!areCurrent || slot.page === undefined) return undefined;
    trace?.withhold('stale', UNCHECKED);
    return slot;
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
  private ttlMs(ttlSeconds: number | undefined, jitter = 0): number {
    const { l2, l3 } = this.settings.layers;
    const ttlMs = (ttlSeconds ?? (this.shared.deepest === 'L3' ? l3 : l2).ttl_default) * 1000;
    return ttlMs === 0 ? 0 : Math.max(1, Math.round(ttlMs * (1 - jitter * Math.random())));
  }

  private replicationWish(): ReplicationWish {
    const { consistency_level: level, deadline_ms: timeoutMs, replication_factor: copies } = this.settings.layers.l3;
    // After a failover there are fewer than there should be, and a majority of those is none.
    return { wanted: (replicas) => confirmations(level, Math.max(replicas, copies - 1)), timeoutMs };
  }
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf(':'));
}

function limitOf(mutation: Mutation): number {
  return ('limitBytes' in mutation ? mutation.limitBytes : undefined) ?? 0;
}

/** Whether an entry can be served as it is, but for its form. */
function isSimple(attributes: Attributes | undefined): boolean {
  return !isConditional(attributes) && attributes?.slidingMs === undefined;
}
