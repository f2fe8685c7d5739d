import type { Tier } from '@cache-system/contracts';
import type { FastifyRequest } from 'fastify';
import { caller } from '../auth/caller.js';
import { namespaceOf } from '../auth/namespace.js';
import { ApiError, InsufficientPermissions } from '../platform/http/api-error.js';

const MAX_KEY_BYTES = 512;
/** Unicode's category Cc. */
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f]/;
const PLAIN = /^[A-Za-z0-9._~:@!$&'()*+,;=-]*$/;

/** A key as the caller names it, and as the layers know it. */
export interface CacheKey {
  readonly name: string;
  readonly namespace: string;
  /** Namespace and name: no namespace has a colon, so no two keys meet. */
  readonly full: string;
  /** Of who asks for it. */
  readonly tier: Tier;
}

/**
 * The key that a request is about, if its caller may touch it. It is taken from the path as it was sent: a router's
 * decoding is not made for keys that hold slashes, dots and percent signs.
 * @param before what the path has before the key
 * @throws ApiError INVALID_KEY_FORMAT, INSUFFICIENT_PERMISSIONS, INVALID_REQUEST
 */
export function cacheKey(request: FastifyRequest, before = '/v1/cache/'): CacheKey {
  const url = request.raw.url ?? '';
  const start = url.indexOf(before) + before.length;
  let end = start;
  while (end < url.length && url.charCodeAt(end) !== 0x2f && url.charCodeAt(end) !== 0x3f) end++;
  const encoded = url.slice(start, end);
  const name = boundedName(PLAIN.test(encoded) ? encoded : decode(encoded));
  return keySpace(request).keyOf(name);
}

/** The keys that a caller may touch. */
export interface KeySpace {
  readonly namespace: string;
  /** Those that its keys may begin with; empty: whatever they begin with. */
  readonly allowedPrefixes: readonly string[];
  /** @throws ApiError INSUFFICIENT_PERMISSIONS */
  keyOf(name: string): CacheKey;
}

/** @throws ApiError INVALID_REQUEST */
export function keySpace(request: FastifyRequest): KeySpace {
  const principal = caller(request);
  const namespace = namespaceOf(request, principal);
  const { keyPrefixes: allowedPrefixes, tier } = principal;
  return {
    namespace,
    allowedPrefixes,
    keyOf: (name) => {
      if (allowedPrefixes.length > 0 && !allowedPrefixes.some((prefix) => name.startsWith(prefix))) {
        throw new InsufficientPermissions({ key: name, allowed_prefixes: allowedPrefixes });
      }
      return { name, namespace, full: `${namespace}:${name}`, tier };
    },
  };
}

/** Checks a key that comes in a body. @throws ApiError INVALID_KEY_FORMAT */
export function checkedName(name: string): string {
  if (CONTROL_CHARACTER.test(name)) throw invalidKey('must not contain control characters');
  if (/\p{Surrogate}/u.test(name)) throw invalidKey('must be well-formed Unicode');
  return boundedName(name);
}

function boundedName(name: string): string {
  if (name.length === 0) throw invalidKey('must have at least 1 byte');
  if (name.length > MAX_KEY_BYTES || Buffer.byteLength(name) > MAX_KEY_BYTES) {
    throw invalidKey(`must have at most ${MAX_KEY_BYTES} bytes of UTF-8`);
  }
  return name;
}

function decode(encoded: string): string {
  let name: string;
  try {
    name = decodeURIComponent(encoded);
  } catch {
    throw invalidKey('must be percent-encoded UTF-8');
  }
  if (CONTROL_CHARACTER.test(name)) throw invalidKey('must not contain control characters');
  // Node hands bytes above 0x7f through as Latin-1 characters, which is not what the caller meant.
  if (!/^[\u0000-\u007f]*$/.test(encoded)) throw invalidKey('bytes above 0x7f must be percent-encoded');
  return name;
}

function invalidKey(rule: string): ApiError {
  return new ApiError('INVALID_KEY_FORMAT', { rule: `a key ${rule}` });
}
