import { Cache, Exclusive, KeyNotFound, type Value, type WriteOptions, type Written } from '@cache-system/cache-engine';
import type { Place, Strategy } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { InvalidRequest } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import type { Source } from '../sources/source.js';
import { toSource } from '../sources/source-value.js';
import { type OpenSource, Sources } from '../sources/sources.js';
import type { CacheKey } from './cache-key.js';
import { SourceReads } from './source-reads.js';

/** Beyond the time that a call of a source may take at most, for what comes before and after it. */
const LEASE_MARGIN_MS = 5000;

/** As `Written`, with the source among the places that have the value. */
export interface StoredAt extends Omit<Written, 'layers'> {
  readonly layers: readonly Place[];
}

/**
 * Writes of keys, some of which live in a source. That has each value before any layer does: one that the source did not
 * take is never served. The source and the layers see the writes of a key in the same order, on all nodes.
 */
@Injectable()
export class SourceWrites {
  private readonly exclusive: Exclusive;

  constructor(
    private readonly cache: Cache,
    private readonly sources: Sources,
    private readonly reads: SourceReads,
    private readonly config: LiveConfig,
  ) {
    this.exclusive = new Exclusive(cache);
  }

  /**
   * Runs a write that leaves a value.
   * @param needsOld the write is made of what there is, which is fetched from the source first
   * @throws SourceRefused, SourceTimeout, SourceUnavailable, TooMuchContention, what `write` throws
   */
  async store<T extends Written>(
    key: CacheKey,
    strategy: Strategy | undefined,
    needsOld: boolean,
    write: (options: Pick<WriteOptions, 'strategy' | 'through'>) => Promise<T>,
  ): Promise<Omit<T, 'layers'> & StoredAt> {
    const found = this.sources.find(key.namespace, key.name);
    const takesWrites = found?.source.store !== undefined;
    if (!takesWrites) {
      if (needsOld) await this.reads.ensure(key);
      return write({ strategy });
    }
    const wanted = strategy ?? this.config.current.cache.strategies.default_strategy;
    if (wanted === 'write-behind') throw new InvalidRequest([{ path: 'strategy', reason: NOT_BEHIND }]);
    return this.alone(key, found, async () => {
      if (needsOld) await this.reads.ensure(key);
      const through = (value: Value) => storeAt(found.source, key, value);
      const written = await write({ strategy: wanted, through });
      if (wanted !== 'write-around') return { ...written, layers: [...written.layers, 'SOURCE' as const] };
      await this.drop(key);
      return { ...written, layers: ['SOURCE' as const] };
    });
  }

  /** Removes a key from its source and then from the layers. @returns from where */
  async remove(key: CacheKey, removeFromLayers: () => Promise<readonly Place[]>): Promise<readonly Place[]> {
    const found = this.sources.find(key.namespace, key.name);
    if (!found?.source.remove) return removeFromLayers();
    const { source } = found;
    return this.alone(key, found, async () => {
      await source.remove?.(key.name, callSignal(found));
      try {
        return [...(await removeFromLayers()), 'SOURCE' as const];
      } catch (error) {
        if (error instanceof KeyNotFound) return ['SOURCE' as const];
        throw error;
      }
    });
  }

  private async alone<T>(key: CacheKey, { definition }: OpenSource, work: () => Promise<T>): Promise<T> {
    return this.exclusive.run(key.full, 2 * definition.hard_timeout_ms + LEASE_MARGIN_MS, work);
  }

  private async drop(key: CacheKey): Promise<void> {
    await this.cache.remove(key.full).catch((error: unknown) => {
      if (!(error instanceof KeyNotFound)) throw error;
    });
  }
}

const NOT_BEHIND = 'keys that live in a source are written through or around';

async function storeAt(source: Source, key: CacheKey, value: Value): Promise<void> {
  const bytes = toSource(source, value);
  // The version of the entry comes later; this one tells a replay from a new write as well.
  await source.store?.(key.name, { bytes, version: Date.now() }, AbortSignal.timeout(60_000));
}

function callSignal({ definition }: OpenSource): AbortSignal {
  return AbortSignal.timeout(definition.hard_timeout_ms + LEASE_MARGIN_MS);
}
