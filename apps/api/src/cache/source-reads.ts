import { setTimeout as delay } from 'node:timers/promises';
import {
  Cache,
  type Change,
  currentUntilMs,
  type Entry,
  type Found,
  KeyNotFound,
  LayerTimeout,
  LayerUnavailable,
  type Loaded,
  type LoadedEntry,
  LoadTimeout,
  MissingAtSource,
  ReadThrough,
  unkept,
} from '@cache-system/cache-engine';
import type { Place } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { log } from '../platform/logging.js';
import { SourceTimeout } from '../sources/source.js';
import { fromSource } from '../sources/source-value.js';
import { type OpenSource, Sources } from '../sources/sources.js';
import type { CacheKey } from './cache-key.js';
import { MissingKeys } from './missing-keys.js';
import { SourceDeliveries } from './source-deliveries.js';

/** Beyond the time that a call of a source may take at most, for what comes before and after it. */
const LEASE_MARGIN_MS = 2000;
/** So long at most it takes until a node hears of what another one has done, while it hears at all. */
const MOMENT_MS = 1000;

/** What a read has come to, in the layers or at the source. */
export interface Answer extends Omit<Found, 'layer'> {
  readonly layer: Place;
  /** Whether what the source said is in the cache now. */
  readonly isKept?: boolean | undefined;
}

/** How a caller wants a read to be answered: RFC 9111, section 5.2.1. */
export interface ReadWish {
  /** `no-cache`: the newest that was acknowledged. */
  readonly fresh: boolean;
  /** `only-if-cached`: without asking a source. */
  readonly onlyIfCached: boolean;
  /** `max-stale`: seconds after its expiry for which an entry will do. */
  readonly maxStaleSeconds: number;
}

export const PLAIN_WISH: ReadWish = { fresh: false, onlyIfCached: false, maxStaleSeconds: 0 };

/** One that is under way on this node. */
interface Load {
  entry?: Promise<LoadedEntry>;
  /** Its key was told to have changed, without there having been an entry to tell it by. */
  wasOvertaken: boolean;
}

/** Reads of what L1 does not have: from the layers below, and from the source of the key where it has one. */
@Injectable()
export class SourceReads {
  private readonly through: ReadThrough;
  private readonly missing = new MissingKeys();
  private readonly loads = new Map<string, Load>();
  /** Keys that were filled a moment ago, and when; the oldest first. */
  private readonly filled = new Map<string, number>();

  constructor(
    private readonly cache: Cache,
    private readonly sources: Sources,
    private readonly deliveries: SourceDeliveries,
  ) {
    this.through = new ReadThrough(cache);
    cache.onChange((change) => this.distrust(change));
  }

  /** @throws KeyNotFound, EntryUnreadable, LayerTimeout, LayerUnavailable, SourceTimeout, SourceUnavailable, SourceRefused */
  async load(key: CacheKey, wish: ReadWish = PLAIN_WISH): Promise<Answer> {
    try {
      return await this.cache.load(key.full, wish.fresh);
    } catch (error) {
      const source = wish.onlyIfCached ? undefined : this.sources.find(key.namespace, key.name);
      if (error instanceof KeyNotFound) return this.missed(key, wish, source, error);
      // The source knows what the layers cannot tell now.
      const isOutage = error instanceof LayerTimeout || error instanceof LayerUnavailable;
      if (!isOutage || !source || wish.fresh) throw error;
      return sourceAnswer(await this.once(`outage ${key.full}`, () => this.direct(key, source)));
    }
  }

  /** What a write of a key is to be made of, or to be measured by: in the layers, or at the source. */
  async current(key: CacheKey): Promise<Entry | undefined> {
    try {
      return (await this.cache.load(key.full, true)).entry;
    } catch (error) {
      if (!(error instanceof KeyNotFound)) throw error;
      const source = this.sources.find(key.namespace, key.name);
      if (!source) return undefined;
      try {
        return (await this.fetched(key, source, error.stale)).entry;
      } catch (missing) {
        if (missing instanceof KeyNotFound) return undefined;
        throw missing;
      }
    }
  }

  /** Something else may be at the source by now. */
  distrust(change: Change): void {
    if ('key' in change) {
      this.missing.forget(change.key);
      return;
    }
    this.missing.forgetPrefix(change.prefix);
    for (const [key, load] of this.loads) if (key.startsWith(change.prefix)) load.wasOvertaken = true;
    // Told by another node, it has happened a moment ago.
    for (const key of this.filled.keys()) {
      if (key.startsWith(change.prefix)) this.cache.discard(key).catch(() => false);
    }
  }

  private async missed(
    key: CacheKey,
    { maxStaleSeconds }: ReadWish,
    source: OpenSource | undefined,
    miss: KeyNotFound,
  ): Promise<Answer> {
    const { stale } = miss;
    if (stale && isWithin(stale, maxStaleSeconds * 1000)) return staleAnswer(stale, miss);
    if (!source || this.missing.has(key.full)) throw miss;
    return stale ? this.renewed(key, source, stale, miss) : sourceAnswer(await this.fetched(key, source));
  }

  /** Serves what there was, while it is fetched anew or where that comes to nothing. */
  private async renewed(key: CacheKey, source: OpenSource, stale: Entry, miss: KeyNotFound): Promise<Answer> {
    const { whileRevalidateMs = 0, ifErrorMs = 0 } = stale.attributes?.staleness ?? {};
    const renewal = this.fetched(key, source, stale);
    if (isWithin(stale, whileRevalidateMs)) {
      renewal.catch(() => undefined);
      return staleAnswer(stale, miss);
    }
    if (!isWithin(stale, ifErrorMs)) return sourceAnswer(await renewal);
    const softly = delay(source.definition.soft_timeout_ms, undefined, { ref: false });
    try {
      const loaded = await Promise.race([renewal, softly]);
      return loaded ? sourceAnswer(loaded) : staleAnswer(stale, miss);
    } catch (error) {
      if (error instanceof KeyNotFound) throw error;
      return staleAnswer(stale, miss);
    }
  }

  /** @throws KeyNotFound, SourceTimeout, SourceUnavailable, SourceRefused, LayerTimeout, LayerUnavailable */
  private fetched(key: CacheKey, source: OpenSource, stale?: Entry): Promise<LoadedEntry> {
    const { hard_timeout_ms: timeoutMs, negative_ttl: negativeTtl } = source.definition;
    return this.once(key.full, async (load) => {
      try {
        const fetch = (known: Entry | undefined) => this.fetch(key, source, known, load);
        const options = { leaseMs: timeoutMs + LEASE_MARGIN_MS };
        const loaded = await source.limit.execute(() => this.through.load(key.full, fetch, options, stale));
        // The last moment in which that may have happened.
        if (loaded.isKept && load.wasOvertaken) await this.cache.discard(key.full).catch(() => false);
        else if (loaded.isKept && !loaded.layer) this.noteFilled(key.full);
        return loaded;
      } catch (error) {
        if (error instanceof MissingAtSource && !load.wasOvertaken) this.missing.note(key.full, negativeTtl * 1000);
        if (error instanceof KeyNotFound) throw error;
        log.warn({ err: error, source: source.source.name }, 'a source has failed');
        throw error instanceof LoadTimeout
          ? new SourceTimeout(source.source.name, error.limitMs, { cause: error })
          : error;
      }
    });
  }

  private noteFilled(key: string): void {
    const nowMs = performance.now();
    for (const [other, atMs] of this.filled) {
      if (nowMs - atMs < MOMENT_MS) break;
      this.filled.delete(other);
    }
    this.filled.delete(key);
    this.filled.set(key, nowMs);
  }

  /** One load for all that ask for it on this node. */
  private once(name: string, begin: (load: Load) => Promise<LoadedEntry>): Promise<LoadedEntry> {
    const running = this.loads.get(name)?.entry;
    if (running) return running;
    const load: Load = { wasOvertaken: false };
    this.loads.set(name, load);
    load.entry = begin(load).finally(() => this.loads.delete(name));
    return load.entry;
  }

  private async direct(key: CacheKey, source: OpenSource): Promise<LoadedEntry> {
    const loaded = await source.limit.execute(() => this.fetch(key, source, undefined, undefined));
    if (!loaded) throw new KeyNotFound(this.cache.layerNames);
    return unkept(loaded);
  }

  private async fetch(
    key: CacheKey,
    { source, definition }: OpenSource,
    stale: Entry | undefined,
    load: Load | undefined,
  ): Promise<Loaded | undefined> {
    const lives = {
      staleWhileRevalidateSeconds: definition.stale_while_revalidate,
      staleIfErrorSeconds: definition.stale_if_error,
    };
    // What was written behind it, the source cannot know yet.
    const written = source.store && (await this.deliveries.pending(key.full));
    if (written) {
      return { value: written, contentType: written.attributes?.contentType, ttlSeconds: definition.ttl, ...lives };
    }
    const etag = stale?.attributes?.sourceTag;
    const signal = AbortSignal.timeout(definition.hard_timeout_ms + LEASE_MARGIN_MS);
    const result = await source.load(key.name, etag === undefined ? undefined : { etag }, signal);
    if (result.status === 'missing') return undefined;
    // What was read before the key was told to have changed is not kept.
    const ttlSeconds = load?.wasOvertaken ? 0 : result.ttlSeconds;
    if (result.status === 'unchanged') {
      if (!stale) throw new Error(`${source.name} says that nothing has changed`);
      return { value: stale, contentType: stale.attributes?.contentType, sourceTag: etag, ttlSeconds, ...lives };
    }
    return { ...fromSource(source, result.value), sourceTag: result.etag, ttlSeconds, ...lives };
  }
}

function isWithin(entry: Entry, staleMs: number): boolean {
  return Date.now() < currentUntilMs(entry) + staleMs;
}

function sourceAnswer({
  entry,
  layer = 'SOURCE',
  isKept,
}: Omit<LoadedEntry, 'layer'> & { layer?: Place | undefined }): Answer {
  return { entry, layer, hits: 0, stale: false, unavailable: [], isKept };
}

/** Answers with what has ended to be current. */
export function staleAnswer(entry: Entry, { unavailableLayers, searchedLayers }: KeyNotFound): Answer {
  const layer = searchedLayers.at(-1) ?? 'L2';
  return { entry, layer, hits: 0, stale: true, unavailable: unavailableLayers };
}
