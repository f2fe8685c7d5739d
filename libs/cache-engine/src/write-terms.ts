import type { Config } from '@cache-system/contracts';
import type { Attributes, Staleness, TagStamp } from './attributes.js';
import type { WriteOptions } from './cache-operations.js';
import type { Entry } from './entry.js';
import { KEEP_EXPIRY } from './mutation.js';

/** The options of a write, as far as they have been made out. */
export interface WriteTerms extends Omit<WriteOptions, 'tags'> {
  readonly tags?: readonly TagStamp[] | undefined;
  readonly slidingMs?: number | undefined;
  readonly staleness?: Staleness | undefined;
}

/** What is stored beside a value; undefined where there is nothing. */
export function attributesOf(terms: WriteTerms, ttlMs: number, stored: Attributes): Attributes | undefined {
  const slidingMs = terms.sliding && ttlMs > 0 ? ttlMs : terms.slidingMs;
  const attributes: Attributes = {
    ...(terms.tags && terms.tags.length > 0 && { tags: terms.tags }),
    ...stored,
    ...(terms.contentType !== undefined && { contentType: terms.contentType }),
    ...(slidingMs !== undefined && { slidingMs }),
    ...(terms.staleness && { staleness: terms.staleness }),
    ...(terms.sourceTag !== undefined && { sourceTag: terms.sourceTag }),
  };
  return Object.keys(attributes).length > 0 ? attributes : undefined;
}

/** What a new value takes over from the attributes of the one that it is made of, unless it is said anew. */
export function keptTerms(
  { compression, encrypted, slidingMs, contentType, staleness }: Attributes = {},
  options: WriteOptions,
  ttlMs: number,
  leftMs: number,
) {
  const slidesAnew = options.sliding && leftMs > 0 ? leftMs : undefined;
  return {
    compress: options.compress ?? compression,
    encrypt: options.encrypt ?? encrypted,
    contentType: options.contentType ?? contentType,
    slidingMs: options.sliding === false ? undefined : (slidingMs ?? slidesAnew),
    staleness: ttlMs === KEEP_EXPIRY ? staleness : stalenessOf(ttlMs, options),
  };
}

/** Undefined where an entry is to end with its ttl. */
export function stalenessOf(
  freshMs: number,
  { staleWhileRevalidateSeconds = 0, staleIfErrorSeconds = 0 }: WriteOptions,
): Staleness | undefined {
  if (freshMs === 0 || (staleWhileRevalidateSeconds === 0 && staleIfErrorSeconds === 0)) return undefined;
  return { whileRevalidateMs: staleWhileRevalidateSeconds * 1000, ifErrorMs: staleIfErrorSeconds * 1000 };
}

export function remainingMs({ expiresAtMs }: Entry): number {
  return expiresAtMs === 0 ? 0 : Math.max(1, expiresAtMs - Date.now());
}

/** How many replicas must confirm a write. A majority counts the master, which has it already. */
export function confirmations(level: Config['cache']['layers']['l3']['consistency_level'], replicas: number): number {
  if (level === 'eventual') return 0;
  return level === 'all' ? replicas : Math.floor((replicas + 1) / 2);
}
