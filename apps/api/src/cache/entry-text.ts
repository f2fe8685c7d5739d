import { currentUntilMs, type Told, type Written } from '@cache-system/cache-engine';
import type { LayerName, Place } from '@cache-system/contracts';
import type { HeaderList } from '../platform/http/header-list.js';
import { etag, versionText } from './etag.js';

// Responses are put together as text: the parts are known to need no escapes, and a general serialiser takes several
// times as long for every write.

/** Members of `metadata` that every entry has, without the braces. */
export function stampText(told: Told): string {
  const { createdAtMs, updatedAtMs, version } = told;
  const expiresAtMs = currentUntilMs(told);
  const expiresAt = expiresAtMs === 0 ? 'null' : `"${isoTime(expiresAtMs)}"`;
  return `"created_at":"${isoTime(createdAtMs)}","updated_at":"${isoTime(updatedAtMs)}","expires_at":${expiresAt},"version":"${versionText(version)}"`;
}

/** How a read was answered, where that is not simply by a copy that is known to be good. */
export interface HitRemarks {
  readonly stale: boolean;
  readonly unavailable: readonly LayerName[];
  /** Of what a source said: whether it is in the cache now. */
  readonly isKept?: boolean | undefined;
}

/** What the headers of a response tell of the entry in it. */
export function hitHeaders(entry: Told, place: Place, remarks?: HitRemarks): HeaderList {
  const nowMs = Date.now();
  const currentUntil = currentUntilMs(entry);
  const ttl = currentUntil === 0 ? '' : `; ttl=${Math.ceil((currentUntil - nowMs) / 1000)}`;
  const isHit = place !== 'SOURCE';
  return [
    'ETag',
    etag(entry.version),
    'Age',
    Math.max(0, Math.floor((nowMs - entry.updatedAtMs) / 1000)),
    'Cache-Control',
    'private, no-cache',
    'Vary',
    'Accept, Accept-Encoding, Origin',
    'X-Cache-Status',
    !isHit ? 'MISS' : remarks?.stale ? 'STALE' : 'HIT',
    'X-Cache-Layer',
    place,
    'Cache-Status',
    `cache-system; ${isHit ? 'hit' : remarks?.isKept ? 'fwd=miss; stored' : 'fwd=miss'}${ttl}; detail=${remarks ? detail(place, remarks) : place}`,
  ];
}

function detail(layer: Place, { stale, unavailable }: HitRemarks): string {
  if (!stale && unavailable.length === 0) return layer;
  const remarks = [stale ? `${layer} unchecked` : layer, ...unavailable.map((name) => `${name} unavailable`)];
  return `"${remarks.join(', ')}"`;
}

/** `metadata` of a read. */
export function readMetadataText(stamp: Told, sizeBytes: number, layer: Place, hits: number): string {
  return `{${stampText(stamp)},"hit_count":${hits},"size_bytes":${sizeBytes},"cache_layer":"${layer}"}`;
}

/** The same for documents that are put together from many entries. */
export function readMetadata(stamp: Told, sizeBytes: number, layer: Place, hits: number) {
  const expiresAtMs = currentUntilMs(stamp);
  return {
    created_at: isoTime(stamp.createdAtMs),
    updated_at: isoTime(stamp.updatedAtMs),
    expires_at: expiresAtMs === 0 ? null : isoTime(expiresAtMs),
    version: versionText(stamp.version),
    hit_count: hits,
    size_bytes: sizeBytes,
    cache_layer: layer,
  };
}

/** `metadata` of a write. */
export function writeMetadataText({ entry, storedBytes, replicatedTo }: Omit<Written, 'layers'>): string {
  const replicas = replicatedTo.length === 0 ? '[]' : JSON.stringify(replicatedTo);
  const sizeBytes = entry.payload.length;
  // Encryption adds bytes; that is not what the ratio is about, and it may come out above 1.
  const ratio = sizeBytes === 0 ? 1 : Math.round((storedBytes / sizeBytes) * 1000) / 1000;
  return `{${stampText(entry)},"size_bytes":${sizeBytes},"compression_ratio":${ratio},"replicated_to":${replicas}}`;
}

let lastMs = -1;
let lastText = '';

/** RFC 3339 in UTC. Under load most times are the same as the one before. */
export function isoTime(ms: number): string {
  if (ms !== lastMs) {
    lastText = new Date(ms).toISOString();
    lastMs = ms;
  }
  return lastText;
}
