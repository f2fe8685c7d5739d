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
  type Value,
  type WriteOptions,
  type Written,
} from '@cache-system/cache-engine';
import type { Place, Strategy } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
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
  | 'outbox'
  | 'known'
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
    write: (options: ThroughOptions) => Promise<Written>,
  ): Promise<StoredAt> {
    const found = this.sources.find(key.namespace, key.name);
    if (!found) return write({ strategy, condition });
    const lives = livesOf(found);
    if (!found.source.store) {
      const known = needsOld ? await this.reads.current(key) : undefined;
      return write({ ...lives, strategy, condition, known });
    }
    const wanted = strategy ?? this.config.current.cache.strategies.default_strategy;
    if (wanted === 'write-behind') return this.storeBehind(key, found, { condition, needsOld }, write);
    return this.alone(key, found, async (turn) => {
      const known = await this.measured(key, condition, needsOld);
      const through = (value: Value) => storeAt(found, key, value, turn);
      const written = await this.orForget(key, () =>
        write({ ...lives, strategy: wanted, known, through, outbox: 'clear' }),
      );
      if (wanted !== 'write-around') return { ...written, layers: [...written.layers, 'SOURCE' as const] };
      await this.cache.discard(key.full);
      return { ...written, layers: ['SOURCE' as const] };
    });
  }

  /** Removes a key from its source and then from the layers. @returns from where @throws ConditionFailed, KeyNotFound */
  async remove(key: CacheKey, condition: Condition | undefined): Promise<readonly Place[]> {
    const found = this.sources.find(key.namespace, key.name);
    if (!found?.source.remove) return this.cache.remove(key.full, condition);
    return this.alone(key, found, async () => {
      await this.measured(key, condition, false);
      await this.orForget(key, async () => found.source.remove?.(key.name, callSignal(found)));
      try {
        return [...(await this.cache.remove(key.full, undefined, 'clear')), 'SOURCE' as const];
      } catch (error) {
        if (error instanceof KeyNotFound) return ['SOURCE' as const];
        throw error;
      }
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
    const options = { ...livesOf(found), strategy: 'write-behind', check, outbox: 'note' } as const;
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

  /** Where nobody knows whether the source has the value, it has to be asked. */
  private async orForget<T>(key: CacheKey, write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof SourceRefused) && !(error instanceof KeyNotFound) && !(error instanceof ApiError)) {
        await this.cache.discard(key.full).catch(() => undefined);
      }
      throw error;
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
  await source.store?.(key.name, { bytes, write: turn.number, turn: turn.number }, callSignal(found));
  // Somebody else may have begun: what the layers are to have now, the source has to say.
  if (turn.isOver()) throw new TooMuchContention(turnMs(found));
}

function turnMs({ definition }: OpenSource): number {
  return CALLS * definition.hard_timeout_ms + TURN_MARGIN_MS;
}

function callSignal({ definition }: OpenSource): AbortSignal {
  return AbortSignal.timeout(definition.hard_timeout_ms + TURN_MARGIN_MS);
}
