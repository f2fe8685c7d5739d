import { isAscii } from 'node:buffer';
import {
  convertValue,
  decodeValue,
  type Entry,
  formatOfMediaType,
  MalformedBody,
  MEDIA_TYPES,
  type Value,
} from '@cache-system/cache-engine';

const ANY_BYTES = 'application/octet-stream';
/** Of a BSON document among BSON elements. */
const BSON_DOCUMENT = 3;

interface StoredObject {
  readonly value: Value;
  /** What the format does not say already. */
  readonly contentType?: string;
}

/** Bytes as they are stored. Those that say a value are that value for all other calls too; the rest is raw. */
export function fromBytes(payload: Buffer, contentType = ANY_BYTES): StoredObject {
  const format = formatOfMediaType(contentType);
  // A message of Protocol Buffers is anything, and a BSON document is not spelled as an element.
  if ((format !== 'json' && format !== 'msgpack') || !isValid(format, payload)) {
    return { value: { format: 'raw', payload, ascii: false }, contentType };
  }
  const value: Value = { format, payload, ascii: format === 'json' && isAscii(payload) };
  return contentType === MEDIA_TYPES[format] ? { value } : { value, contentType };
}

/** An entry as bytes of a media type. */
export function toBytes({ format, payload, attributes }: Pick<Entry, 'format' | 'payload' | 'attributes'>): {
  readonly bytes: Buffer;
  readonly contentType: string;
} {
  if (format === 'raw') return { bytes: payload, contentType: attributes?.contentType ?? ANY_BYTES };
  if (format !== 'bson') return { bytes: payload, contentType: attributes?.contentType ?? MEDIA_TYPES[format] };
  if (payload[0] === BSON_DOCUMENT) return { bytes: payload.subarray(1), contentType: MEDIA_TYPES.bson };
  return { bytes: convertValue('bson', 'json', payload), contentType: MEDIA_TYPES.json };
}

function isValid(format: 'json' | 'msgpack', payload: Buffer): boolean {
  try {
    decodeValue(format, payload);
    return true;
  } catch (error) {
    if (error instanceof MalformedBody) return false;
    throw error;
  }
}
