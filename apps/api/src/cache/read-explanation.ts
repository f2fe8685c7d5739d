import { type Cache, KeyNotFound, refreshKey } from '@cache-system/cache-engine';
import type { Explain } from '@cache-system/contracts';
import { ApiError } from '../platform/http/api-error.js';
import { CacheKeyNotFound } from './cache-errors.js';
import type { CacheKey } from './cache-key.js';
import { isoTime } from './entry-text.js';
import { versionText } from './etag.js';
import type { ReadRecord } from './read-record.js';
import { failureResult, hitResult, missResult, sourceResult, staleResult } from './read-result.js';
import type { Answer } from './source-reads.js';

type Lease = Explain['lease'];
type Conclusion = Pick<Explain, 'result' | 'status' | 'layer' | 'lease'>;

/** Why a read found what it found in L1. */
export function explainCopy(record: ReadRecord): Explain {
  return explanation(record, { result: hitResult(record, 'L1'), status: 'hit', layer: 'L1', lease: null });
}

/** Why a read was answered with an entry from below L1, or with one that could not be checked. */
export async function explainAnswer(
  record: ReadRecord,
  { layer, stale, isKept }: Answer,
  cache: Cache,
  key: CacheKey,
): Promise<Explain> {
  if (layer === 'SOURCE') {
    record.isKept = isKept;
    return explanation(record, { result: sourceResult(record), status: 'miss', layer, lease: leaseOf(record) });
  }
  if (!stale) {
    return explanation(record, { result: hitResult(record, layer), status: 'hit', layer, lease: leaseOf(record) });
  }
  const durationMs = elapsedMs(record);
  const lease = leaseOf(record) ?? (await leaseNow(cache, refreshKey(key.full)));
  return explanation(record, { result: staleResult(record), status: 'stale', layer, lease }, durationMs);
}

/** An error with the reason why it is the answer to a read. Those that the request itself is at fault for have it in them. */
export async function explainError(
  record: ReadRecord,
  cause: unknown,
  error: unknown,
  cache: Cache,
  key: CacheKey,
): Promise<unknown> {
  if (!(error instanceof ApiError) || (error.status < 500 && !(error instanceof CacheKeyNotFound))) return error;
  const durationMs = elapsedMs(record);
  const conclusion = error instanceof CacheKeyNotFound ? await missed(record, cause, cache, key) : failed(record);
  const { code, message, details, headers } = error;
  const explain = explanation(record, conclusion, durationMs);
  return new ApiError(code, { ...details, explain }, { message, headers, cause: error.cause });
}

async function missed(record: ReadRecord, cause: unknown, cache: Cache, key: CacheKey): Promise<Conclusion> {
  // A stale entry stays where it is while its key is filled: the lease is for a key beside it.
  const leased = cause instanceof KeyNotFound && cause.stale ? refreshKey(key.full) : key.full;
  const lease = leaseOf(record) ?? (await leaseNow(cache, leased));
  return { result: missResult(record), status: 'miss', layer: null, lease };
}

function failed(record: ReadRecord): Conclusion {
  const lease: Lease = leaseOf(record) ?? { state: 'unknown', expires_at: null };
  return { result: failureResult(record), status: 'error', layer: null, lease };
}

/** The lease as this read was answered when it asked for it; null where it did not ask. */
function leaseOf({ lease }: ReadRecord): Lease {
  if (!lease) return null;
  return { state: lease.state, expires_at: lease.endsAtMs === undefined ? null : isoTime(lease.endsAtMs) };
}

async function leaseNow(cache: Cache, key: string): Promise<Lease> {
  try {
    const outcome = await cache.lease({ kind: 'lease', key, leaseMs: 0 });
    if (outcome.status === 'taken') return { state: 'taken', expires_at: isoTime(outcome.leaseEndsMs) };
    return { state: 'free', expires_at: null };
  } catch {
    return { state: 'unknown', expires_at: null };
  }
}

function explanation(
  record: ReadRecord,
  { result, status, layer, lease }: Conclusion,
  durationMs = elapsedMs(record),
): Explain {
  const { steps, looks, fences, tags, backplane } = record.layers;
  return {
    result,
    status,
    layer,
    duration_ms: roundMs(durationMs),
    layers: steps.map(({ layer: name, outcome, reason = null, durationMs: stepMs }) => {
      return { layer: name, outcome, reason, duration_ms: roundMs(stepMs) };
    }),
    looks,
    fences: [...fences],
    tags: tags.map(({ tag, stored, current }) => ({
      tag,
      stored_generation: versionText(stored),
      current_generation: current === undefined ? null : versionText(current),
    })),
    lease,
    source: sourceOf(record),
    backplane,
  };
}

function sourceOf({ sourceName, sourceReason, call, isShared, isKept }: ReadRecord): Explain['source'] {
  if (sourceName === undefined) return null;
  const { outcome = 'not_asked', reason = sourceReason, durationMs } = call ?? {};
  return {
    name: sourceName,
    outcome,
    reason: reason ?? null,
    shared: isShared,
    kept: isKept ?? null,
    duration_ms: durationMs === undefined ? null : roundMs(durationMs),
  };
}

function elapsedMs({ layers }: ReadRecord): number {
  return performance.now() - layers.startedAtMs;
}

/** To the microsecond: what L1 takes is less than a millisecond by far. */
function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
