import type { Entry, Stamp } from '@cache-system/cache-engine';
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

/** What the headers of a response tell of the entry in it. */
export function hitHeaders(entry: Entry, layer: LayerName): HeaderList {
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
    'HIT',
    'X-Cache-Layer',
    layer,
    'Cache-Status',
    `cache-system; hit${ttl}; detail=${layer}`,
  ];
}

/** `metadata` of a read. */
export function readMetadataText(entry: Entry, layer: LayerName, hits: number): string {
  return `{${stampText(entry)},"hit_count":${hits},"size_bytes":${entry.payload.length},"cache_layer":"${layer}"}`;
}

/** `metadata` of a write. Values are stored as they came, and on one shared layer there are no replicas. */
export function writeMetadataText(entry: Entry): string {
  return `{${stampText(entry)},"size_bytes":${entry.payload.length},"compression_ratio":1,"replicated_to":[]}`;
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
