import { setTimeout as delay } from 'node:timers/promises';
import type { Cache, Written } from './cache.js';
import type { Entry, Value } from './entry.js';
import { ConditionFailed, KeyNotFound } from './errors.js';
import type { Condition } from './mutation.js';
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
}

/** Asks the source. @param stale what it said last, where that is still there @returns undefined: it has no such key */
export type Fetch = (stale: Entry | undefined) => Promise<Loaded | undefined>;

export interface ReadThroughOptions {
  /** Milliseconds for which nobody else asks the source. One that takes longer may be asked again. */
  readonly leaseMs: number;
}

export interface LoadedEntry {
  readonly entry: Entry;
  /** The source was asked for it, by this call or by one that it waited for. */
  readonly fromSource: boolean;
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
 * Fills the cache from a source: one call of it per key, however many ask at the same time on however many nodes. On
 * one node they share a promise; over nodes the one with the lease asks, and the others wait for what it stores. Who
 * dies with a lease holds the others up until that ends, and no longer; what it stores afterwards is refused.
 */
export class ReadThrough {
  private readonly loads = new Map<string, Promise<LoadedEntry>>();

  constructor(private readonly cache: Cache) {}

  /**
   * @param stale what there is of the key, to be replaced; undefined: there is nothing
   * @throws KeyNotFound, what `fetch` throws, LayerTimeout, LayerUnavailable
   */
  load(key: string, fetch: Fetch, options: ReadThroughOptions, stale?: Entry): Promise<LoadedEntry> {
    const running = this.loads.get(key);
    if (running) return running;
    const run = stale ? this.refresh(key, fetch, options, stale) : this.run(key, fetch, options);
    const load = run.finally(() => this.loads.delete(key));
    this.loads.set(key, load);
    return load;
  }

  private async run(key: string, fetch: Fetch, { leaseMs }: ReadThroughOptions): Promise<LoadedEntry> {
    let overtaken = 0;
    for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_LOOK_MS)) {
      const outcome = await this.cache.lease({ kind: 'lease', key, leaseMs });
      if (outcome.status === 'leased') {
        const token = outcome.revision;
        const loaded = await this.fetchUnder(key, token, fetch);
        const written = await this.fill(key, { lease: token }, loaded, token);
        if (written) return { entry: written.entry, fromSource: true };
        if (++overtaken >= MAX_OVERTAKEN) return { entry: notKept(loaded, token), fromSource: true };
        continue;
      }
      // Somebody else asks the source, or has asked it. If that came to nothing, the lease is free again.
      if (outcome.status === 'taken') await delay(waitMs);
      const entry = await this.find(key);
      if (entry) return { entry, fromSource: outcome.status === 'taken' };
    }
  }

  /** The stale entry stays where it is meanwhile, so the lease is for a key beside it. */
  private async refresh(
    key: string,
    fetch: Fetch,
    { leaseMs }: ReadThroughOptions,
    stale: Entry,
  ): Promise<LoadedEntry> {
    const beside = refreshKey(key);
    for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_LOOK_MS)) {
      const outcome = await this.cache.lease({ kind: 'lease', key: beside, leaseMs });
      if (outcome.status === 'leased') {
        try {
          // Another one may have done it just before.
          return (await this.foundMeanwhile(key)) ?? (await this.replace(key, fetch, stale, outcome.revision));
        } finally {
          await this.release(beside, outcome.revision);
        }
      }
      await delay(waitMs);
      const entry = await this.find(key);
      if (entry) return { entry, fromSource: true };
    }
  }

  private async foundMeanwhile(key: string): Promise<LoadedEntry | undefined> {
    const entry = await this.find(key);
    return entry && { entry, fromSource: true };
  }

  private async replace(key: string, fetch: Fetch, stale: Entry, token: number): Promise<LoadedEntry> {
    const loaded = await fetch(stale);
    const condition: Condition = { versionIn: [stale.version], checked: stale.version };
    if (!loaded) {
      await this.cache.remove(key, condition).catch(() => undefined);
      throw new KeyNotFound(this.cache.layerNames);
    }
    const written = await this.fill(key, condition, loaded, token);
    if (written) return { entry: written.entry, fromSource: true };
    // Something newer was written, or the key was invalidated, while the source was asked.
    return (await this.foundMeanwhile(key)) ?? { entry: notKept(loaded, token), fromSource: true };
  }

  private async fetchUnder(key: string, token: number, fetch: Fetch): Promise<Loaded> {
    try {
      const loaded = await fetch(undefined);
      if (loaded) return loaded;
    } catch (error) {
      await this.release(key, token);
      throw error;
    }
    await this.release(key, token);
    throw new KeyNotFound(this.cache.layerNames);
  }

  /** Undefined when something has happened to the key since the source was asked: the value may be old. */
  private async fill(
    key: string,
    condition: Condition,
    loaded: Loaded,
    token: number,
  ): Promise<Pick<Written, 'entry'> | undefined> {
    const { value, ...options } = loaded;
    if (options.ttlSeconds === 0) {
      await this.release(key, token);
      return { entry: notKept(loaded, token) };
    }
    try {
      return await this.cache.put(key, value, { ...options, condition });
    } catch (error) {
      if (error instanceof ConditionFailed) return undefined;
      throw error;
    }
  }

  /** Others are let in at once instead of when the lease ends; where that fails, it ends by itself. */
  private async release(key: string, token: number): Promise<void> {
    await this.cache.lease({ kind: 'release', key, token }).catch(() => undefined);
  }

  private async find(key: string): Promise<Entry | undefined> {
    try {
      return (await this.cache.read(key)).entry;
    } catch (error) {
      if (error instanceof KeyNotFound) return undefined;
      throw error;
    }
  }
}

/** A value that is handed out as an entry and is none. */
function notKept({ value, contentType }: Loaded, token: number): Entry {
  const nowMs = Date.now();
  const stamp = { version: token, revision: token, createdAtMs: nowMs, updatedAtMs: nowMs, expiresAtMs: 0 };
  return { ...value, ...stamp, defaultTtl: false, attributes: contentType === undefined ? undefined : { contentType } };
}
