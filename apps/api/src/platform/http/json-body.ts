import { isUtf8 } from 'node:buffer';
import { InvalidRequest } from './api-error.js';

export interface ParsedJson {
  readonly text: string;
  readonly value: unknown;
}

/** Names that would reach the prototype of an object: no schema of ours has them, and Nest drops them without a word. */
const PROTOTYPE_NAMES = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * Reads the JSON body of a route that takes fields which it knows.
 * @throws InvalidRequest
 */
export function parseFields(bytes: Buffer): unknown {
  const { value } = parseJsonBody(bytes);
  const left: unknown[] = [value];
  while (left.length > 0) {
    const node = left.pop();
    if (typeof node !== 'object' || node === null) continue;
    for (const [name, child] of Object.entries(node)) {
      if (PROTOTYPE_NAMES.has(name)) throw new InvalidRequest([{ path: name, reason: 'is not a field' }]);
      left.push(child);
    }
  }
  return value;
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
