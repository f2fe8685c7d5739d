import { isUtf8 } from 'node:buffer';
import { InvalidRequest } from './api-error.js';

export interface ParsedJson {
  readonly text: string;
  readonly value: unknown;
}

/**
 * Reads a JSON body strictly: RFC 8259, UTF-8 without a byte order mark.
 * @throws InvalidRequest
 */
export function parseJsonBody(bytes: Buffer | undefined): ParsedJson {
  if (bytes === undefined || bytes.length === 0)
    throw new InvalidRequest([{ path: '', reason: 'a JSON body is required' }]);
  if (!isUtf8(bytes)) throw new InvalidRequest([{ path: '', reason: 'the body is not valid UTF-8' }]);
  const text = bytes.toString('utf8');
  try {
    return { text, value: JSON.parse(text) };
  } catch (cause) {
    // V8 quotes the text around the mistake; only the place is passed on.
    const place = /position \d+/.exec((cause as Error).message)?.[0];
    throw new InvalidRequest([{ path: '', reason: `the body is not valid JSON${place ? ` at ${place}` : ''}` }], {
      cause,
    });
  }
}
