import { setTimeout as delay } from 'node:timers/promises';
import type { Cache, Written } from './cache.js';
import type { Entry, Value } from './entry.js';
import { ConditionFailed, KeyNotFound } from './errors.js';

/** What a source has of a key. */
export interface Loaded {
  readonly value: Value;
  /** Seconds to live; left out, the default of the layers. */
  readonly ttlSeconds?: number;
}

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

/**
 * Fills the cache from a source: one call of it per key, however many ask at the same time on however many nodes. On
 * one node they share a promise; over nodes the one with the lease asks, and the others wait for what it stores. Who
 * dies with a lease holds the others up until that ends, and no longer; what it stores afterwards is refused.
 */
export class ReadThrough {
  private readonly loads = new Map<string, Promise<LoadedEntry>>();

  constructor(private readonly cache: Cache) {}

  /**
   * @param fetch undefined: the source has no such key
   * @throws KeyNotFound, what `fetch` throws, LayerTimeout, LayerUnavailable
   */
  load(key: string, fetch: () => Promise<Loaded | undefined>, options: ReadThroughOptions): Promise<LoadedEntry> {
    const running = this.loads.get(key);
    if (running) return running;
    const load = this.run(key, fetch, options).finally(() => this.loads.delete(key));
    this.loads.set(key, load);
    return load;
  }

  private async run(
    key: string,
    fetch: () => Promise<Loaded | undefined>,
    { leaseMs }: ReadThroughOptions,
  ): Promise<LoadedEntry> {
    let overtaken = 0;
    for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_LOOK_MS)) {
      const outcome = await this.cache.lease({ kind: 'lease', key, leaseMs });
      if (outcome.status === 'leased') {
        const loaded = await this.fetchUnder(key, outcome.revision, fetch);
        const written = await this.fill(key, outcome.revision, loaded, ++overtaken >= MAX_OVERTAKEN);
        if (written) return { entry: written.entry, fromSource: true };
        continue;
      }
      // Somebody else asks the source, or has asked it. If that came to nothing, the lease is free again.
      if (outcome.status === 'taken') await delay(waitMs);
      const entry = await this.find(key);
      if (entry) return { entry, fromSource: outcome.status === 'taken' };
    }
  }

  private async fetchUnder(key: string, token: number, fetch: () => Promise<Loaded | undefined>): Promise<Loaded> {
    try {
      const loaded = await fetch();
      if (loaded) return loaded;
    } catch (error) {
      await this.release(key, token);
      throw error;
    }
    await this.release(key, token);
    throw new KeyNotFound(this.cache.layerNames);
  }

  /** Undefined when something has happened to the key since the lease was given: the value may be old. */
  private async fill(
    key: string,
    token: number,
    { value, ttlSeconds }: Loaded,
    last: boolean,
  ): Promise<Pick<Written, 'entry'> | undefined> {
    try {
      return await this.cache.put(key, value, { ttlSeconds, condition: { lease: token } });
    } catch (error) {
      if (!(error instanceof ConditionFailed)) throw error;
      if (!last) return undefined;
      const nowMs = Date.now();
      const stamp = { version: token, revision: token, createdAtMs: nowMs, updatedAtMs: nowMs, expiresAtMs: 0 };
      return { entry: { ...value, ...stamp, defaultTtl: false } };
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
