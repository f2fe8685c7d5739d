import type { Stamp, Written } from '@cache-system/cache-engine';
import type { LayerName } from '@cache-system/contracts';
import type { HeaderList } from '../platform/http/header-list.js';
import { etag, versionText } from './etag.js';

// Responses are put together as text: the parts are known to need no escapes, and a general serialiser takes several
// times as long for every write.

/** Members of `metadata` that every entry has, without the braces. */
export function stampText({ createdAtMs, updatedAtMs, expiresAtMs, version }: Stamp): string {
  const expiresAt = expiresAtMs === 0 ? 'null' : `"${timestamp(expiresAtMs)}"`;
  return `"created_at":"${timestamp(createdAtMs)}","updated_at":"${timestamp(updatedAtMs)}","expires_at":${expiresAt},"version":"${versionText(version)}"`;
}

/** How a read was answered, where that is not simply by a copy that is known to be good. */
export interface HitRemarks {
  readonly stale: boolean;
  readonly unavailable: readonly LayerName[];
}

/** What the headers of a response tell of the entry in it. */
export function hitHeaders(entry: Stamp, layer: LayerName, remarks?: HitRemarks): HeaderList {
  const nowMs = Date.now();
  const ttl = entry.expiresAtMs === 0 ? '' : `; ttl=${Math.ceil((entry.expiresAtMs - nowMs) / 1000)}`;
  return [
    'ETag',
    etag(entry.version),
    'Age',
    Math.max(0, Math.floor((nowMs - entry.updatedAtMs) / 1000)),
    'Cache-Control',
    'private, no-cache',
    'X-Cache-Status',
    remarks?.stale ? 'STALE' : 'HIT',
    'X-Cache-Layer',
    layer,
    'Cache-Status',
    `cache-system; hit${ttl}; detail=${remarks ? detail(layer, remarks) : layer}`,
  ];
}

function detail(layer: LayerName, { stale, unavailable }: HitRemarks): string {
  if (!stale && unavailable.length === 0) return layer;
  const remarks = [stale ? `${layer} unchecked` : layer, ...unavailable.map((name) => `${name} unavailable`)];
  return `"${remarks.join(', ')}"`;
}

/** `metadata` of a read. */
export function readMetadataText(stamp: Stamp, sizeBytes: number, layer: LayerName, hits: number): string {
  return `{${stampText(stamp)},"hit_count":${hits},"size_bytes":${sizeBytes},"cache_layer":"${layer}"}`;
}

/** `metadata` of a write. Values are stored as they came. */
export function writeMetadataText({ entry, replicatedTo }: Written): string {
  const replicas = replicatedTo.length === 0 ? '[]' : JSON.stringify(replicatedTo);
  return `{${stampText(entry)},"size_bytes":${entry.payload.length},"compression_ratio":1,"replicated_to":${replicas}}`;
}

let lastMs = -1;
let lastText = '';

/** RFC 3339. Under load most times are the same as the one before. */
function timestamp(ms: number): string {
  if (ms !== lastMs) {
    lastText = new Date(ms).toISOString();
    lastMs = ms;
  }
  return lastText;
}
