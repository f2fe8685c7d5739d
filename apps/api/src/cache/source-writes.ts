import {
  Cache,
  type Condition,
  ConditionFailed,
  type Entry,
  Exclusive,
  holds,
  KeyNotFound,
  TooMuchContention,
  type Turn,
  unkept,
  type Value,
  type WriteOptions,
  type Written,
} from '@cache-system/cache-engine';
import type { Place, Strategy } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { cacheSizeLimit } from '../auth/cache-size.js';
import { ApiError } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { SourceRefused } from '../sources/source.js';
import { toSource } from '../sources/source-value.js';
import { type OpenSource, Sources } from '../sources/sources.js';
import type { CacheKey } from './cache-key.js';
import { SourceDeliveries } from './source-deliveries.js';
import { SourceReads } from './source-reads.js';

/** Beyond the time that the calls of a source may take at most, for what comes before and after them. */
const TURN_MARGIN_MS = 5000;
/** Of a source in one write: what there is, by somebody else and then by this write, and the write itself. */
const CALLS = 3;
/** For those that are in the layers alone, such as a fill by a reader. */
const MAX_ATTEMPTS = 10;

/** As `Written`, with the source among the places that have the value. */
export interface StoredAt extends Omit<Written, 'layers'> {
  readonly layers: readonly Place[];
}

/** What a write is asked for, as far as sources matter. */
interface SourceWrite {
  readonly strategy?: Strategy | undefined;
  readonly condition?: Condition | undefined;
  /** It is made of what there is, or needs that. */
  readonly needsOld: boolean;
}

/** What the write of a key in the layers is to be done with. */
export type ThroughOptions = Pick<
  WriteOptions,
  | 'strategy'
  | 'condition'
  | 'through'
  | 'check'
  | 'noted'
  | 'known'
  | 'limitBytes'
  | 'ttlSeconds'
  | 'staleWhileRevalidateSeconds'
  | 'staleIfErrorSeconds'
>;

/**
 * Writes of keys, some of which live in a source. That has each value before any layer does: one that the source did not
 * take is never served. With `write-behind` the layers come first, and take down what the source has to get. The source
 * and the layers see the writes of a key in the same order, on all nodes.
 */
@Injectable()
export class SourceWrites {
  constructor(
    private readonly cache: Cache,
    private readonly sources: Sources,
    private readonly reads: SourceReads,
    private readonly deliveries: SourceDeliveries,
    private readonly exclusive: Exclusive,
    private readonly config: LiveConfig,
  ) {}

  /**
   * Runs a write that leaves a value.
   * @throws ConditionFailed, SourceRefused, SourceTimeout, SourceUnavailable, TooMuchContention, what `write` throws
   */
  async store(
    key: CacheKey,
    { strategy, condition, needsOld }: SourceWrite,
    writeAsAsked: (options: ThroughOptions) => Promise<Written>,
  ): Promise<StoredAt> {
    const limitBytes = cacheSizeLimit(this.config.current, key.tier);
    const write = (options: ThroughOptions) => writeAsAsked({ ...options, limitBytes });
    const found = this.sources.find(key.namespace, key.name);
    if (!found) return write({ strategy, condition });
    const lives = livesOf(found);
    if (!found.source.store) {
      const known = needsOld ? await this.reads.current(key) : undefined;
      return write({ ...lives, strategy, condition, known });
    }
    // Who fills under a lease has the value from there.
    if (condition?.lease !== undefined) return write({ ...lives, strategy, condition });
    const wanted = strategy ?? this.config.current.cache.strategies.default_strategy;
    if (wanted === 'write-behind') return this.storeBehind(key, found, { condition, needsOld }, write);
    if (wanted !== 'write-around') {
      return this.storeThrough(key, found, { condition, needsOld }, (options) =>
        write({ ...lives, ...options, strategy: wanted }),
      );
    }
    // Nothing is kept: it matters to no limit.
    const written = await this.storeThrough(key, found, { condition, needsOld }, (options) =>
      writeAsAsked({ ...lives, ...options, strategy: wanted }),
    );
    await this.cache.discard(key.full);
    return { ...written, layers: ['SOURCE'] };
  }

  /** Removes a key from its source and then from the layers. @returns from where @throws ConditionFailed, KeyNotFound */
  async remove(key: CacheKey, condition: Condition | undefined): Promise<readonly Place[]> {
    const found = this.sources.find(key.namespace, key.name);
    if (!found?.source.remove) return this.cache.remove(key.full, condition);
    return this.alone(key, found, async (turn) => {
      const before = await this.deliveries.notedVersion(key.full);
      await this.measured(key, condition, false);
      return this.orForget(key, async () => {
        await found.source.remove?.(key.name, turn.number, callSignal(found));
        return [...(await this.removeFromLayers(key, before)), 'SOURCE' as const];
      });
    });
  }

  /**
   * The source first, then the layers, and what was noted before is settled. Writes behind do not wait for a turn: one
   * that comes meanwhile is later than this one, for the source as well, and nothing of it may be undone.
   */
  private storeThrough(
    key: CacheKey,
    found: OpenSource,
    { condition, needsOld }: SourceWrite,
    write: (options: ThroughOptions) => Promise<Written>,
  ): Promise<StoredAt> {
    return this.alone(key, found, async (turn) => {
      const before = await this.deliveries.notedVersion(key.full);
      const known = await this.measured(key, condition, needsOld);
      let stored: Value | undefined;
      let settled: number | undefined;
      let isTold = false;
      const through: Through = async (value, base, requireSpace) => {
        // Later on the source has the value, and the layers are not to keep an older one.
        if (!isTold) await requireSpace();
        isTold = true;
        if (stored !== value) await storeAt(found, key, value, turn);
        stored = value;
        const entry = await this.cache.head(key.full);
        settled = await this.deliveries.notedVersion(key.full);
        const isOvertaken = settled !== undefined && settled !== before && settled !== base?.version;
        if (isOvertaken) throw base ? new ConditionFailed() : new Overtaken();
        return entry ? { versionIn: [entry.version] } : { exists: false };
      };
      try {
        return await this.orForget(
          key,
          async () => {
            const written = await again(
              () => write({ known, through }),
              () => stored !== undefined,
            );
            if (settled !== undefined) await this.deliveries.settle(key.full, settled);
            return { ...written, layers: [...written.layers, 'SOURCE' as const] };
          },
          () => isTold,
        );
      } catch (error) {
        if (!(error instanceof Overtaken) || !stored) throw error;
        const { entry } = unkept({ value: stored }, turn.number);
        const storedBytes = stored.payload.length;
        return { status: 'updated', entry, storedBytes, layers: ['SOURCE'], replicatedTo: [] };
      }
    });
  }

  private async removeFromLayers(key: CacheKey, before: number | undefined): Promise<readonly Place[]> {
    return again(async () => {
      const entry = await this.cache.head(key.full);
      const noted = await this.deliveries.notedVersion(key.full);
      if (noted !== undefined && noted !== before) return [];
      const condition = entry ? { versionIn: [entry.version] } : { exists: false };
      const layers = await this.cache.remove(key.full, condition).catch((error: unknown) => {
        if (error instanceof KeyNotFound) return [];
        throw error;
      });
      if (noted !== undefined) await this.deliveries.settle(key.full, noted);
      return layers;
    });
  }

  /** The source gets it later: what is to hold, the layers decide. */
  private async storeBehind(
    key: CacheKey,
    found: OpenSource,
    { condition, needsOld }: SourceWrite,
    write: (options: ThroughOptions) => Promise<Written>,
  ): Promise<StoredAt> {
    const check = (value: Value) => void toSource(found.source, value);
    const options = { ...livesOf(found), strategy: 'write-behind', check, noted: true } as const;
    const known = await this.measured(key, condition, needsOld);
    // What the source has and the layers do not keep, they cannot measure: they are to have nothing, still.
    const isElsewhere = known !== undefined && (await this.cache.head(key.full)) === undefined;
    const written = await write({ ...options, known, condition: isElsewhere ? { exists: false } : condition });
    this.deliveries.note(key.full);
    return written;
  }

  /** What there is, where that is asked for. @throws ConditionFailed */
  private async measured(
    key: CacheKey,
    condition: Condition | undefined,
    needsOld: boolean,
  ): Promise<Entry | undefined> {
    if (!needsOld && !condition) return undefined;
    const known = await this.reads.current(key);
    if (!holds(condition, known)) throw new ConditionFailed();
    return known;
  }

  private alone<T>(key: CacheKey, found: OpenSource, work: (turn: Turn) => Promise<T>): Promise<T> {
    return this.exclusive.run(key.full, turnMs(found), work);
  }

  /** Where nobody knows whether the layers have what the source has, that has to be asked. */
  private async orForget<T>(key: CacheKey, write: () => Promise<T>, isTold = () => true): Promise<T> {
    try {
      return await write();
    } catch (error) {
      if (isTold() && !KNOWN_OUTCOMES.some((known) => error instanceof known)) {
        await this.cache.discard(key.full).catch(() => undefined);
      }
      throw error;
    }
  }
}

type Through = NonNullable<WriteOptions['through']>;

/** A write behind has come in between: it is the later one. */
class Overtaken extends Error {}

/** The layers have what the source has, or what it will get. */
const KNOWN_OUTCOMES = [SourceRefused, KeyNotFound, ApiError, Overtaken];

/** Tries again what failed because somebody else has written the key, while that may come to an end. */
async function again<T>(step: () => Promise<T>, isWorthIt: () => boolean = () => true): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof ConditionFailed) || !isWorthIt() || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

/** What holds for entries of a source unless their writer says otherwise. */
function livesOf({ definition }: OpenSource) {
  const { ttl, stale_while_revalidate, stale_if_error } = definition;
  return {
    ttlSeconds: ttl,
    staleWhileRevalidateSeconds: stale_while_revalidate,
    staleIfErrorSeconds: stale_if_error,
  };
}

async function storeAt(found: OpenSource, key: CacheKey, value: Value, turn: Turn): Promise<void> {
  const { source } = found;
  const bytes = toSource(source, value);
  // The version of the entry comes later; the number of the turn tells a replay from a new write as well.
  await source.store?.(key.name, { bytes, write: `turn ${turn.number}`, turn: turn.number }, callSignal(found));
  // Somebody else may have begun: what the layers are to have now, the source has to say.
  if (turn.isOver()) throw new TooMuchContention(turnMs(found));
}

function turnMs({ definition }: OpenSource): number {
  return CALLS * definition.hard_timeout_ms + TURN_MARGIN_MS;
}

function callSignal({ definition }: OpenSource): AbortSignal {
  return AbortSignal.timeout(definition.hard_timeout_ms + TURN_MARGIN_MS);
}
