import { setTimeout as delay } from 'node:timers/promises';
import type { LayerName } from '@cache-system/contracts';
import type { Cache } from './cache.js';
import type { WriteOptions } from './cache-operations.js';
import type { Entry, Value } from './entry.js';
import { ConditionFailed, KeyNotFound, LoadTimeout, MissingAtSource } from './errors.js';
import type { Condition, Outcome } from './mutation.js';
import { reservedKey } from './tags.js';

/** What a source has of a key. */
export interface Loaded {
  readonly value: Value;
  /** Seconds to live; left out, the default of the layers. 0: it is handed out and not kept. */
  readonly ttlSeconds?: number | undefined;
  readonly staleWhileRevalidateSeconds?: number | undefined;
  readonly staleIfErrorSeconds?: number | undefined;
  /** Of a value that is kept as it came. */
  readonly contentType?: string | undefined;
  /** See `Attributes.sourceTag`. */
  readonly sourceTag?: string | undefined;
  readonly tags?: WriteOptions['tags'];
  readonly encrypt?: WriteOptions['encrypt'];
  readonly compress?: WriteOptions['compress'];
  readonly limitBytes?: WriteOptions['limitBytes'];
}

/** Asks the source. @param stale what it said last, where that is still there @returns undefined: it has no such key */
export type Fetch = (stale: Entry | undefined) => Promise<Loaded | undefined>;

export interface ReadThroughOptions {
  /** Milliseconds for which nobody else asks the source. One that takes longer may be asked again. */
  readonly leaseMs: number;
  /** Told of each answer to the question for the lease. */
  readonly onLease?: ((outcome: Outcome) => void) | undefined;
}

export interface LoadedEntry {
  readonly entry: Entry;
  /** The layer that had it by now; undefined: the source was asked, by this call or by one that it waited for. */
  readonly layer: LayerName | undefined;
  /** Whether the next one finds it in the cache. */
  readonly isKept: boolean;
}

const FIRST_LOOK_MS = 5;
const LONGEST_LOOK_MS = 50;
/** So often a load is begun again because the key changed meanwhile; then the value is handed out without being kept. */
const MAX_OVERTAKEN = 3;
const REFRESH = '\u0003refresh:';

/** The key on which the right to replace a stale entry is leased: the entry itself stays where it is meanwhile. */
export function refreshKey(key: string): string {
  return reservedKey(key, REFRESH);
}

/**
 * Fills the cache from a source: one call of it per key, however many ask at the same time on however many nodes. The
 * one with the lease asks, and the others wait for what it stores: on one node they had better share a call. Who
 * dies with a lease holds the others up until that ends, and no longer; what it stores afterwards is refused.
 */
export class ReadThrough {
  constructor(private readonly cache: Cache) {}

  /**
   * @param stale what there is of the key, to be replaced; undefined: there is nothing
   * @throws MissingAtSource, KeyNotFound, LoadTimeout, what `fetch` throws, LayerTimeout, LayerUnavailable
   */
  load(key: string, fetch: Fetch, options: ReadThroughOptions, stale?: Entry): Promise<LoadedEntry> {
    return stale ? this.refresh(key, fetch, options, stale) : this.run(key, fetch, options);
  }

  private async run(key: string, fetch: Fetch, { leaseMs, onLease }: ReadThroughOptions): Promise<LoadedEntry> {
    let overtaken = 0;
    for (const look of looks(leaseMs)) {
      const outcome = await this.cache.lease({ kind: 'lease', key, leaseMs });
      onLease?.(outcome);
      if (outcome.status === 'leased') {
        const token = outcome.revision;
        const loaded = await this.fetchUnder(key, token, fetch);
        const filled = await this.fill(key, { lease: token }, loaded, token);
        if (filled) return filled;
        if (++overtaken >= MAX_OVERTAKEN) return unkept(loaded, token);
        continue;
      }
      // Somebody else asks the source, or has asked it. If that came to nothing, the lease is free again.
      if (outcome.status === 'taken') await look();
      const found = await this.find(key);
      if (found) return outcome.status === 'taken' ? { ...found, layer: undefined } : found;
    }
    throw new LoadTimeout(2 * leaseMs);
  }

  /** The stale entry stays where it is meanwhile, so the lease is for a key beside it. */
  private async refresh(
    key: string,
    fetch: Fetch,
    { leaseMs, onLease }: ReadThroughOptions,
    stale: Entry,
  ): Promise<LoadedEntry> {
    const beside = refreshKey(key);
    for (const look of looks(leaseMs)) {
      const outcome = await this.cache.lease({ kind: 'lease', key: beside, leaseMs });
      onLease?.(outcome);
      if (outcome.status === 'leased') {
        try {
          // Another one may have done it just before.
          return (await this.find(key)) ?? (await this.replace(key, fetch, stale, outcome.revision));
        } finally {
          await this.release(beside, outcome.revision);
        }
      }
      await look();
      const found = await this.find(key);
      if (found) return { ...found, layer: undefined };
    }
    throw new LoadTimeout(2 * leaseMs);
  }

  private async replace(key: string, fetch: Fetch, stale: Entry, token: number): Promise<LoadedEntry> {
    const loaded = await fetch(stale);
    const condition: Condition = { versionIn: [stale.version], checked: stale.version };
    if (!loaded || loaded.ttlSeconds === 0) {
      const removed = await this.cache.remove(key, condition).catch(() => undefined);
      if (loaded) return unkept(loaded, token);
      throw removed ? new MissingAtSource(this.cache.layerNames) : new KeyNotFound(this.cache.layerNames);
    }
    // It has the tags of the old one, as they were: where one was invalidated meanwhile, it is gone with it.
    const { tags: tagStamps, encrypted: encrypt, compression: compress } = stale.attributes ?? {};
    const filled = await this.fill(key, condition, { tagStamps, encrypt, compress, ...loaded }, token);
    // Otherwise something newer was written, or the key was invalidated, while the source was asked.
    return filled ?? (await this.find(key)) ?? unkept(loaded, token);
  }

  private async fetchUnder(key: string, token: number, fetch: Fetch): Promise<Loaded> {
    let loaded: Loaded | undefined;
    try {
      loaded = await fetch(undefined);
    } catch (error) {
      await this.release(key, token);
      throw error;
    }
    if (loaded) return loaded;
    const undisturbed = await this.release(key, token);
    throw undisturbed ? new MissingAtSource(this.cache.layerNames) : new KeyNotFound(this.cache.layerNames);
  }

  /** Undefined when something has happened to the key since the source was asked: the value may be old. */
  private async fill(
    key: string,
    condition: Condition,
    { value, ...options }: Loaded & Pick<WriteOptions, 'tagStamps'>,
    token: number,
  ): Promise<LoadedEntry | undefined> {
    try {
      if (options.ttlSeconds !== 0) {
        const { entry } = await this.cache.put(key, value, { ...options, condition });
        return { entry, layer: undefined, isKept: true };
      }
    } catch (error) {
      if (error instanceof ConditionFailed) return undefined;
      // Who cannot keep it can hand it out nevertheless.
    }
    await this.release(key, token);
    return unkept({ value, ...options }, token);
  }

  /** Others are let in at once instead of when the lease ends; where that fails, it ends by itself. */
  private async release(key: string, token: number): Promise<boolean> {
    try {
      return (await this.cache.lease({ kind: 'release', key, token })).status === 'released';
    } catch {
      return false;
    }
  }

  private async find(key: string): Promise<LoadedEntry | undefined> {
    try {
      const { entry, layer } = await this.cache.read(key);
      return { entry, layer, isKept: true };
    } catch (error) {
      if (error instanceof KeyNotFound) return undefined;
      throw error;
    }
  }
}

/** Times to look whether somebody else has come to an end: at first soon, and for as long as two of them may take. */
function* looks(leaseMs: number): Generator<() => Promise<void>> {
  const giveUpAtMs = performance.now() + 2 * leaseMs + LONGEST_LOOK_MS;
  for (let waitMs = FIRST_LOOK_MS; performance.now() < giveUpAtMs; waitMs = Math.min(waitMs * 2, LONGEST_LOOK_MS)) {
    yield () => delay(waitMs);
  }
}

/** What is handed out as an entry and is none. */
export function unkept({ value, contentType }: Loaded, token = 0): LoadedEntry {
  const nowMs = Date.now();
  const stamp = { version: token, revision: token, createdAtMs: nowMs, updatedAtMs: nowMs, expiresAtMs: 0 };
  const attributes = contentType === undefined ? undefined : { contentType };
  return { entry: { ...value, ...stamp, defaultTtl: false, attributes }, layer: undefined, isKept: false };
}
