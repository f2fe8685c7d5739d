import {
  ConditionFailed,
  EntryUnreadable,
  KeyNotFound,
  LayerTimeout,
  LayerUnavailable,
  MalformedCursor,
  MalformedJsonPatch,
  MergeNotPossible,
  NamespaceFull,
  NoEncryptionKey,
  NotANumber,
  ReplicationIncomplete,
  StorageFull,
  SumNotFinite,
  TooDeep,
  TooMuchContention,
} from '@cache-system/cache-engine';
import { ApiError, InvalidRequest } from '../platform/http/api-error.js';
import { SourceRefused, SourceTimeout, SourceUnavailable } from '../sources/source.js';
import { versionText } from './etag.js';

const RETRY_SOON = { 'Retry-After': '1' };

/** Says in terms of the API what went wrong in the engine with a key. */
export function cacheError(error: unknown, key: string): unknown {
  const cause = error;
  if (error instanceof KeyNotFound) return new CacheKeyNotFound(key, error);
  if (error instanceof LayerTimeout) {
    const { layer, deadlineMs } = error;
    return new ApiError('CACHE_TIMEOUT', { layer, deadline_ms: deadlineMs }, { cause, headers: RETRY_SOON });
  }
  if (error instanceof LayerUnavailable) {
    return new ApiError('CACHE_UNAVAILABLE', { layer: error.layer }, { cause, headers: RETRY_SOON });
  }
  if (error instanceof ReplicationIncomplete) {
    const { layer, confirmedBy, wanted } = error;
    return new ApiError(
      'CACHE_TIMEOUT',
      {
        key,
        layer,
        stored: true,
        version: versionText(error.version),
        replicated_to: confirmedBy,
        replicas_wanted: wanted,
      },
      { cause, headers: RETRY_SOON },
    );
  }
  if (error instanceof SourceTimeout) {
    const { source, timeoutMs: timeout_ms } = error;
    return new ApiError('CACHE_TIMEOUT', { key, source, timeout_ms }, { cause, headers: RETRY_SOON });
  }
  if (error instanceof SourceUnavailable) {
    const { source, retryAfterSeconds = 1 } = error;
    const headers = { 'Retry-After': String(Math.ceil(retryAfterSeconds)) };
    return new ApiError('CACHE_UNAVAILABLE', { key, source }, { cause, headers });
  }
  if (error instanceof SourceRefused) {
    const { source, reason } = error;
    if (reason === 'key') return new InvalidRequest([{ path: 'key', reason: `cannot be one of ${source}` }], { cause });
    if (reason === 'value') return new InvalidRequest([{ path: 'value', reason: error.message }], { cause });
    return new ApiError('CACHE_UNAVAILABLE', { key, source, reason }, { cause });
  }
  if (error instanceof NoEncryptionKey) {
    return new InvalidRequest([{ path: 'options.encrypt', reason: 'this service has no ENCRYPTION_KEYS' }], { cause });
  }
  if (error instanceof EntryUnreadable) {
    return new ApiError(
      'INTERNAL_SERVER_ERROR',
      { key, reason: 'the stored entry is damaged or its key is gone' },
      { cause },
    );
  }
  if (error instanceof MalformedCursor) {
    return new InvalidRequest([{ path: 'cursor', reason: 'is not one that a page came with' }], { cause });
  }
  if (error instanceof NamespaceFull) return namespaceFull(error, key);
  if (error instanceof StorageFull) return new ApiError('STORAGE_FULL', { key }, { cause });
  if (error instanceof ConditionFailed) return new ApiError('PRECONDITION_FAILED', { key }, { cause });
  if (error instanceof TooMuchContention) {
    return new ApiError('CACHE_KEY_CONFLICT', { key, reason: error.message }, { cause, headers: RETRY_SOON });
  }
  if (error instanceof MergeNotPossible) {
    return new ApiError('MERGE_NOT_POSSIBLE', { key, reason: error.reason, ...error.operation }, { cause });
  }
  if (error instanceof NotANumber) {
    return new ApiError('MERGE_NOT_POSSIBLE', { key, reason: 'the stored value is not a number' }, { cause });
  }
  if (error instanceof SumNotFinite) {
    return new ApiError('MERGE_NOT_POSSIBLE', { key, reason: error.message }, { cause });
  }
  if (error instanceof TooDeep) {
    return new ApiError('MERGE_NOT_POSSIBLE', { key, reason: `the result would be ${error.message}` }, { cause });
  }
  if (error instanceof MalformedJsonPatch) {
    const path = error.operationIndex === undefined ? '' : String(error.operationIndex);
    return new InvalidRequest([{ path, reason: error.reason }], { cause });
  }
  return error;
}

function namespaceFull(cause: NamespaceFull, key: string): ApiError {
  const { namespace, limitBytes: limit_bytes, usedBytes: used_bytes } = cause;
  return new ApiError(
    'STORAGE_FULL',
    {
      key,
      namespace,
      limit_bytes,
      used_bytes,
      reason: 'the namespace takes as much as the tier of the API key allows',
      suggestions: [
        'Delete entries that are not needed, or give them a shorter ttl',
        'Use an API key of a higher tier',
      ],
    },
    { cause },
  );
}

/** There is no entry that may be served. */
export class CacheKeyNotFound extends ApiError {
  constructor(
    key: string,
    { searchedLayers, unavailableLayers }: KeyNotFound,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(
      'CACHE_KEY_NOT_FOUND',
      {
        key,
        searched_layers: searchedLayers,
        ...(unavailableLayers.length > 0 && { unavailable_layers: unavailableLayers }),
        suggestions: ['Verify the key format', 'Check if the data has expired'],
      },
      { headers: { 'X-Cache-Status': 'MISS', 'Cache-Status': 'cache-system; fwd=miss', ...headers } },
    );
  }
}
