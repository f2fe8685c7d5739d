import { isAscii } from 'node:buffer';
import {
  convertValue,
  decodeValue,
  formatOfMediaType,
  MalformedBody,
  NotRepresentable,
  type Value,
} from '@cache-system/cache-engine';
import { type Source, type SourceContent, SourceRefused } from './source.js';

/** A value as it is cached, with the media type of one that is kept as it came. */
export interface CachedValue {
  readonly value: Value;
  readonly contentType?: string;
}

/** What a source has answered, as a value. @throws SourceRefused where it is not what its media type says */
export function fromSource({ name }: Source, { contentType, bytes }: SourceContent): CachedValue {
  const format = formatOfMediaType(contentType);
  if (format === undefined) return { value: { format: 'raw', payload: bytes, ascii: false }, contentType };
  try {
    decodeValue(format, bytes);
  } catch (cause) {
    if (!(cause instanceof MalformedBody)) throw cause;
    throw new SourceRefused(name, 'content_type', `the answer is not valid ${format}: ${cause.message}`, { cause });
  }
  return { value: { format, payload: bytes, ascii: format === 'json' && isAscii(bytes) } };
}

/** A value in the media type of a source. @throws SourceRefused where that cannot say it */
export function toSource({ name, contentType }: Source, { format, payload }: Value): Buffer {
  const wanted = formatOfMediaType(contentType);
  if (wanted === undefined && format === 'raw') return payload;
  if (wanted === undefined || format === 'raw') {
    throw new SourceRefused(name, 'value', `it takes ${contentType}, and the value is of another kind`);
  }
  try {
    return convertValue(format, wanted, payload);
  } catch (cause) {
    if (!(cause instanceof NotRepresentable)) throw cause;
    throw new SourceRefused(name, 'value', cause.message, { cause });
  }
}
