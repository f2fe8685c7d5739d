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
import { cacheSizeLimit } from '../auth/cache-size.js';
import { LiveConfig } from '../platform/live-config.js';
import { log } from '../platform/logging.js';
import { SourceTimeout } from '../sources/source.js';
import { fromSource } from '../sources/source-value.js';
import { type OpenSource, Sources } from '../sources/sources.js';
import type { CacheKey } from './cache-key.js';
import { isoTime } from './entry-text.js';
import { MissingKeys } from './missing-keys.js';
import { ReadRecord } from './read-record.js';
import { SourceDeliveries } from './source-deliveries.js';
import { noted, type SourceCall } from './source-call.js';

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
  readonly call: SourceCall;
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
    private readonly config: LiveConfig,
  ) {
    this.through = new ReadThrough(cache);
    cache.onChange((change) => this.distrust(change));
  }

  /** For a read whose caller asks why it is answered as it is. */
  record(key: CacheKey): ReadRecord {
    return new ReadRecord(this.cache.trace(), this.sources.find(key.namespace, key.name)?.source.name);
  }

  /** @throws KeyNotFound, EntryUnreadable, LayerTimeout, LayerUnavailable, SourceTimeout, SourceUnavailable, SourceRefused */
  async load(key: CacheKey, wish: ReadWish = PLAIN_WISH, record?: ReadRecord): Promise<Answer> {
    try {
      return await this.cache.load(key.full, wish.fresh, record?.layers);
    } catch (error) {
      if (record && wish.onlyIfCached) record.sourceReason = 'only-if-cached asks no source';
      const source = wish.onlyIfCached ? undefined : this.sources.find(key.namespace, key.name);
      if (error instanceof KeyNotFound) return this.missed(key, wish, source, error, record);
      // The source knows what the layers cannot tell now.
      const isOutage = error instanceof LayerTimeout || error instanceof LayerUnavailable;
      if (!isOutage || !source || wish.fresh) throw error;
      return sourceAnswer(await this.once(`outage ${key.full}`, (load) => this.direct(key, source, load), record));
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
    record: ReadRecord | undefined,
  ): Promise<Answer> {
    const { stale } = miss;
    if (stale && isWithin(stale, maxStaleSeconds * 1000)) {
      if (record) record.staleReason = 'the request takes it with max-stale';
      return staleAnswer(stale, miss);
    }
    if (!source) throw miss;
    const missingMs = this.missing.leftMs(key.full);
    if (missingMs > 0) {
      if (record) record.sourceReason = `it is known to have no such key until ${isoTime(Date.now() + missingMs)}`;
      throw miss;
    }
    if (stale) return this.renewed(key, source, stale, miss, record);
    return sourceAnswer(await this.fetched(key, source, undefined, record));
  }

  /** Serves what there was, while it is fetched anew or where that comes to nothing. */
  private async renewed(
    key: CacheKey,
    source: OpenSource,
    stale: Entry,
    miss: KeyNotFound,
    record: ReadRecord | undefined,
  ): Promise<Answer> {
    const { whileRevalidateMs = 0, ifErrorMs = 0 } = stale.attributes?.staleness ?? {};
    const renewal = this.fetched(key, source, stale, record);
    const served = (reason: string): Answer => {
      if (record) record.staleReason = reason;
      return staleAnswer(stale, miss);
    };
    if (isWithin(stale, whileRevalidateMs)) {
      renewal.catch(() => undefined);
      return served('it may be served while the source is asked anew (stale_while_revalidate)');
    }
    if (!isWithin(stale, ifErrorMs)) return sourceAnswer(await renewal);
    const softly = delay(source.definition.soft_timeout_ms, undefined, { ref: false });
    try {
      const loaded = await Promise.race([renewal, softly]);
      return loaded ? sourceAnswer(loaded) : served('it may be served while the source is slow (stale_if_error)');
    } catch (error) {
      if (error instanceof KeyNotFound) throw error;
      return served('it may be served where the source fails (stale_if_error)');
    }
  }

  /** @throws KeyNotFound, SourceTimeout, SourceUnavailable, SourceRefused, LayerTimeout, LayerUnavailable */
  private fetched(key: CacheKey, source: OpenSource, stale?: Entry, record?: ReadRecord): Promise<LoadedEntry> {
    const { hard_timeout_ms: timeoutMs, negative_ttl: negativeTtl } = source.definition;
    const begin = async (load: Load) => {
      try {
        const limitBytes = cacheSizeLimit(this.config.current, key.tier);
        const fetch = async (known: Entry | undefined) => {
          const fetched = await this.fetch(key, source, known, load);
          return fetched && { ...fetched, limitBytes };
        };
        const onLease = (lease: NonNullable<SourceCall['lease']>) => (load.call.lease = lease);
        const options = { leaseMs: timeoutMs + LEASE_MARGIN_MS, onLease };
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
    };
    return this.once(key.full, begin, record);
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
  private once(
    name: string,
    begin: (load: Load) => Promise<LoadedEntry>,
    record: ReadRecord | undefined,
  ): Promise<LoadedEntry> {
    const running = this.loads.get(name);
    if (running?.entry) {
      record?.joined(running.call, true);
      return running.entry;
    }
    const load: Load = { wasOvertaken: false, call: { outcome: 'not_asked' } };
    record?.joined(load.call, false);
    this.loads.set(name, load);
    load.entry = begin(load).finally(() => this.loads.delete(name));
    return load.entry;
  }

  private async direct(key: CacheKey, source: OpenSource, load: Load): Promise<LoadedEntry> {
    const loaded = await source.limit.execute(() => this.ask(key, source, undefined, load));
    if (!loaded) throw new KeyNotFound(this.cache.layerNames);
    return unkept(loaded);
  }

  /** What was written behind the source, or what that has. */
  private async fetch(
    key: CacheKey,
    found: OpenSource,
    stale: Entry | undefined,
    load: Load,
  ): Promise<Loaded | undefined> {
    const { source, definition } = found;
    const written = source.store && (await this.deliveries.pending(key.full));
    if (!written) return this.ask(key, found, stale, load);
    load.call.reason = 'it is behind: what the key was last written to be has not reached it yet';
    const { contentType, encrypted: encrypt, compression: compress, tags: stamps } = written.attributes ?? {};
    // What was written last outlives an invalidation of its tags, and is subject to the next.
    const tags = stamps?.map(({ tag }) => tag);
    return { value: written, contentType, encrypt, compress, tags, ttlSeconds: definition.ttl, ...stalenessOf(found) };
  }

  private async ask(
    key: CacheKey,
    found: OpenSource,
    stale: Entry | undefined,
    load: Load,
  ): Promise<Loaded | undefined> {
    const { source, definition } = found;
    const etag = stale?.attributes?.sourceTag;
    const signal = AbortSignal.timeout(definition.hard_timeout_ms + LEASE_MARGIN_MS);
    const known = etag === undefined ? undefined : { etag };
    const result = await noted(load.call, () => source.load(key.name, known, signal));
    if (result.status === 'missing') return undefined;
    const lives = stalenessOf(found);
    // What was read before the key was told to have changed is not kept.
    const ttlSeconds = load.wasOvertaken ? 0 : result.ttlSeconds;
    if (result.status === 'unchanged') {
      if (!stale) throw new Error(`${source.name} says that nothing has changed`);
      return { value: stale, contentType: stale.attributes?.contentType, sourceTag: etag, ttlSeconds, ...lives };
    }
    return { ...fromSource(source, result.value), sourceTag: result.etag, ttlSeconds, ...lives };
  }
}

function stalenessOf({ definition }: OpenSource) {
  return {
    staleWhileRevalidateSeconds: definition.stale_while_revalidate,
    staleIfErrorSeconds: definition.stale_if_error,
  };
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
