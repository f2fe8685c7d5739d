import { isAscii } from 'node:buffer';
import {
  type BodyFormat,
  convertValue,
  Encoded,
  type Format,
  jsonText,
  jsonValue,
  MalformedBody,
  MergeNotPossible,
  NotRepresentable,
  readDocument,
  type Value,
  writeDocument,
} from '@cache-system/cache-engine';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { ApiError, InvalidRequest } from '../platform/http/api-error.js';
import { CONTENT_TYPES, requestFormat } from '../platform/http/formats.js';
import type { HeaderList } from '../platform/http/header-list.js';
import { parseFields } from '../platform/http/json-body.js';
import { respond } from '../platform/http/respond.js';
import { validate } from '../platform/http/validation.js';

type Shape = Parameters<typeof readDocument>[2];

/** The body of a request, whatever its format, under a schema. @throws InvalidRequest */
export function readFields<T>(request: FastifyRequest, schema: z.ZodType<T>, messageName: string): T {
  const bytes = rawBody(request) ?? Buffer.alloc(0);
  const format = requestFormat(request);
  if (format === 'json') return validate(schema, parseFields(bytes));
  return validate(schema, readMembers(format, bytes, { rawMembers: 'none', messageName }));
}

/** A body with values in it, which stay as they came: `Encoded`. @throws InvalidRequest */
export function readMembers(format: BodyFormat, bytes: Buffer, shape: Shape): Readonly<Record<string, unknown>> {
  try {
    return readDocument(format, bytes, shape);
  } catch (cause) {
    if (!(cause instanceof MalformedBody)) throw cause;
    throw new InvalidRequest([{ path: '', reason: cause.message }], { cause });
  }
}

/** Writes a response in the format that its caller wants. @throws ApiError NOT_ACCEPTABLE where that cannot say it */
export function respondDocument(
  request: FastifyRequest,
  reply: FastifyReply,
  format: BodyFormat,
  status: number,
  headers: HeaderList,
  document: object,
  messageName: string,
): void {
  const body = inFormat(format, () => writeDocument(format, document, messageName));
  headers.push('Content-Type', CONTENT_TYPES[format]);
  respond(request, reply, status, headers, body);
}

function inFormat<T>(format: BodyFormat, write: () => T): T {
  try {
    return write();
  } catch (cause) {
    if (!(cause instanceof NotRepresentable)) throw cause;
    throw new ApiError('NOT_ACCEPTABLE', { format, reason: cause.reason }, { cause });
  }
}

/** A stored value as a leaf of a document. What is kept as raw bytes is binary there. */
export function leaf({ format, payload }: Pick<Value, 'format' | 'payload'>): Encoded | Buffer {
  return format === 'raw' ? payload : new Encoded(format, payload);
}

/** A value that came in a body, to be stored as it came. The bytes may be a view of all of the body. */
export function valueOf({ format, bytes }: Encoded): Value {
  return { format, payload: bytes, ascii: format === 'json' && isAscii(bytes) };
}

/** A value as JSON. @throws MergeNotPossible for raw bytes, which have no structure */
export function asJsonText(value: Value): string {
  const { format, payload } = value;
  if (format === 'json') return jsonText(value);
  if (format === 'raw') throw new MergeNotPossible('the stored value is not structured data');
  return convertValue(format, 'json', payload).toString();
}

/** JSON as a value in another format, where that can say it. */
export function fromJsonText(text: string, format: Format): Value {
  const value = jsonValue(text);
  if (format === 'json' || format === 'raw') return value;
  try {
    return { format, payload: convertValue('json', format, value.payload), ascii: false };
  } catch (error) {
    if (error instanceof NotRepresentable) return value;
    throw error;
  }
}

/** The body of a route that takes it as it came. */
export function rawBody(request: FastifyRequest): Buffer | undefined {
  return request.body as Buffer | undefined;
}
