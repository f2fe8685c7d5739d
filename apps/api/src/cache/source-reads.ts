import {
  Cache,
  type Entry,
  type Found,
  KeyNotFound,
  type Loaded,
  type LoadedEntry,
  ReadThrough,
} from '@cache-system/cache-engine';
import type { Place } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import { log } from '../platform/logging.js';
import { fromSource } from '../sources/source-value.js';
import { type OpenSource, Sources } from '../sources/sources.js';
import type { CacheKey } from './cache-key.js';
import { MissingKeys } from './missing-keys.js';

/** Beyond the time that a call of a source may take at most, for what comes before and after it. */
const LEASE_MARGIN_MS = 2000;

/** What a read has come to, in the layers or at the source. */
export interface Answer extends Omit<Found, 'layer'> {
  readonly layer: Place;
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

/** Reads of what L1 does not have: from the layers below, and from the source of the key where it has one. */
@Injectable()
export class SourceReads {
  private readonly through: ReadThrough;
  private readonly missing = new MissingKeys();
  /** How often everything may have changed. */
  private upheavals = 0;

  constructor(
    private readonly cache: Cache,
    private readonly sources: Sources,
  ) {
    this.through = new ReadThrough(cache);
    cache.onChange((key) => this.missing.forget(key));
  }

  /** @throws KeyNotFound, EntryUnreadable, LayerTimeout, LayerUnavailable, SourceTimeout, SourceUnavailable, SourceRefused */
  async load(key: CacheKey, wish: ReadWish = PLAIN_WISH): Promise<Answer> {
    try {
      return await this.cache.load(key.full, wish.fresh);
    } catch (error) {
      if (!(error instanceof KeyNotFound)) throw error;
      const { stale } = error;
      const source = wish.onlyIfCached ? undefined : this.sources.find(key.namespace, key.name);
      if (stale && isWithin(stale, wish.maxStaleSeconds * 1000)) return staleAnswer(stale, error);
      if (!source || this.missing.has(key.full)) throw error;
      return stale ? this.renewed(key, source, stale, error) : this.loaded(key, source);
    }
  }

  /** As `load`, for a write that needs what there is. Without a source, and where that has nothing, it does nothing. */
  async ensure(key: CacheKey): Promise<void> {
    if (!this.sources.find(key.namespace, key.name)) return;
    try {
      await this.load(key, { ...PLAIN_WISH, fresh: true });
    } catch (error) {
      if (!(error instanceof KeyNotFound)) throw error;
    }
  }

  /** Something else may be at the source by now. @param key undefined: for any key */
  distrust(key: string | undefined): void {
    this.missing.forget(key);
    if (key === undefined) this.upheavals++;
  }

  private async loaded(key: CacheKey, source: OpenSource, stale?: Entry): Promise<Answer> {
    const { hard_timeout_ms: timeoutMs, negative_ttl: negativeTtl } = source.definition;
    const fetch = (known: Entry | undefined) => this.fetch(key, source, known);
    try {
      const options = { leaseMs: timeoutMs + LEASE_MARGIN_MS };
      return sourceAnswer(await this.through.load(key.full, fetch, options, stale));
    } catch (error) {
      if (error instanceof KeyNotFound) this.missing.note(key.full, negativeTtl * 1000);
      throw error;
    }
  }

  /** Serves what there was, while it is fetched anew or where that comes to nothing. */
  private async renewed(key: CacheKey, source: OpenSource, stale: Entry, miss: KeyNotFound): Promise<Answer> {
    const { whileRevalidateMs = 0, ifErrorMs = 0 } = stale.attributes?.staleness ?? {};
    const renewal = this.loaded(key, source, stale);
    if (isWithin(stale, whileRevalidateMs)) {
      renewal.catch((error: unknown) => {
        if (!(error instanceof KeyNotFound)) log.warn({ err: error, source: source.source.name }, 'a renewal failed');
      });
      return staleAnswer(stale, miss);
    }
    if (!isWithin(stale, ifErrorMs)) return renewal;
    const softly = delay(source.definition.soft_timeout_ms, undefined, { ref: false });
    try {
      return (await Promise.race([renewal, softly])) ?? staleAnswer(stale, miss);
    } catch (error) {
      if (error instanceof KeyNotFound) throw error;
      log.warn({ err: error, source: source.source.name }, 'a source failed, and a stale entry was served');
      return staleAnswer(stale, miss);
    }
  }

  private async fetch(key: CacheKey, { source, definition }: OpenSource, stale?: Entry): Promise<Loaded | undefined> {
    const etag = stale?.attributes?.sourceTag;
    const signal = AbortSignal.timeout(definition.hard_timeout_ms + LEASE_MARGIN_MS);
    const { upheavals } = this;
    const result = await source.load(key.name, etag === undefined ? undefined : { etag }, signal);
    if (result.status === 'missing') return undefined;
    const lives = {
      // What was read before everything changed is not kept.
      ttlSeconds: upheavals === this.upheavals ? result.ttlSeconds : 0,
      staleWhileRevalidateSeconds: definition.stale_while_revalidate,
      staleIfErrorSeconds: definition.stale_if_error,
    };
    if (result.status === 'unchanged') {
      if (!stale) throw new Error(`${source.name} says that nothing has changed`);
      return { value: stale, contentType: stale.attributes?.contentType, sourceTag: etag, ...lives };
    }
    return { ...fromSource(source, result.value), sourceTag: result.etag, ...lives };
  }
}

function isWithin({ updatedAtMs, attributes }: Entry, staleMs: number): boolean {
  return Date.now() < updatedAtMs + (attributes?.staleness?.freshMs ?? 0) + staleMs;
}

function sourceAnswer({ entry, fromSource: asked }: LoadedEntry): Answer {
  return { entry, layer: asked ? 'SOURCE' : 'L2', hits: 0, stale: false, unavailable: [] };
}

/** Answers with what has ended to be current. */
export function staleAnswer(entry: Entry, { unavailableLayers, searchedLayers }: KeyNotFound): Answer {
  const layer = searchedLayers.at(-1) ?? 'L2';
  return { entry, layer, hits: 0, stale: true, unavailable: unavailableLayers };
}
