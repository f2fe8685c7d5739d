import {
  DuplicateMember,
  Encoded,
  jsonValue,
  MAX_DEPTH,
  memberTexts,
  TooDeep,
  type Value,
} from '@cache-system/cache-engine';
import {
  bulkSetEntrySchema,
  bulkSetRequestSchema,
  incrementRequestSchema,
  MAX_BULK_KEYS,
  type MergeStrategy,
  patchRequestSchema,
  type TouchRequest,
  touchRequestSchema,
  type WriteOptions,
  writeRequestSchema,
} from '@cache-system/contracts';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ApiError, InvalidRequest } from '../platform/http/api-error.js';
import { requestFormat } from '../platform/http/formats.js';
import { parseJsonBody } from '../platform/http/json-body.js';
import { validate } from '../platform/http/validation.js';
import { asJsonText, rawBody, readMembers, valueOf } from './documents.js';

/** A JSON body of which the members are texts, exactly as they came. */
type Members = ReadonlyMap<string, string>;

export interface WriteBody {
  readonly value: Value;
  readonly options: WriteOptions;
}

export interface PatchBody {
  readonly valueText: string;
  readonly mergeStrategy: MergeStrategy;
  readonly options: WriteOptions;
}

const NO_OPTIONS: WriteOptions = Object.freeze({});
const writeRest = writeRequestSchema.omit({ value: true });
const patchRest = patchRequestSchema.omit({ value: true });
const encodedSchema = z.instanceof(Encoded, { error: 'is required' });
const encodedEntries = z
  .array(bulkSetEntrySchema.extend({ value: encodedSchema }))
  .min(1)
  .max(MAX_BULK_KEYS);
const bulkSetSchema = bulkSetRequestSchema.extend({ entries: encodedEntries });

/** Body of PUT and POST. @throws InvalidRequest */
export function readWriteBody(request: FastifyRequest): WriteBody {
  if (requestFormat(request) !== 'json') {
    const { value, rest } = readEncoded(request, 'WriteRequest');
    return { value: valueOf(value), options: validate(writeRest, rest).options ?? NO_OPTIONS };
  }
  const members = readJsonMembers(rawBody(request));
  const value = jsonValue(readValue(members));
  if (members.size === 1) return { value, options: NO_OPTIONS };
  return { value, options: readRest(writeRest, members).options ?? NO_OPTIONS };
}

/** Body of PATCH that says how to merge. @throws InvalidRequest */
export function readPatchBody(request: FastifyRequest): PatchBody {
  if (requestFormat(request) !== 'json') {
    const { value, rest } = readEncoded(request, 'PatchRequest');
    return { valueText: asJsonText(valueOf(value)), ...patchOptions(validate(patchRest, rest)) };
  }
  const members = readJsonMembers(rawBody(request));
  return { valueText: readValue(members), ...patchOptions(readRest(patchRest, members)) };
}

/** Body of a bulk set. @throws InvalidRequest */
export function readBulkSet(request: FastifyRequest): z.infer<typeof bulkSetSchema> {
  const shape = { rawMembers: 'entries[].value', messageName: 'BulkSetRequest' } as const;
  return validate(bulkSetSchema, readMembers(requestFormat(request), rawBody(request) ?? Buffer.alloc(0), shape));
}

export interface IncrementBody {
  readonly byText: string;
  readonly initialText: string;
  readonly ttl: number | undefined;
}

/** Body of an increment; none at all means "by 1". JSON numbers stay texts, so that no digit is lost. */
export function readIncrementBody(request: FastifyRequest): IncrementBody {
  const bytes = rawBody(request);
  const isEmpty = bytes === undefined || bytes.length === 0;
  const format = requestFormat(request);
  if (!isEmpty && format !== 'json') {
    const document = readMembers(format, bytes, { rawMembers: 'none', messageName: 'IncrementRequest' });
    const { by, initial, ttl } = validate(incrementRequestSchema, document);
    return { byText: String(by), initialText: String(initial), ttl };
  }
  const members = isEmpty ? new Map<string, string>() : readJsonMembers(bytes);
  const { ttl } = validate(incrementRequestSchema, plain(members));
  return { byText: members.get('by') ?? '1', initialText: members.get('initial') ?? '0', ttl };
}

/** Body of a touch. @throws InvalidRequest */
export function readTouchBody(request: FastifyRequest): TouchRequest {
  const format = requestFormat(request);
  const bytes = rawBody(request);
  if (format === 'json') return validate(touchRequestSchema, plain(readJsonMembers(bytes)));
  const shape = { rawMembers: 'none', messageName: 'TouchRequest' } as const;
  return validate(touchRequestSchema, readMembers(format, bytes ?? Buffer.alloc(0), shape));
}

/** A JSON body that is a value itself, as in the two patch formats. @throws InvalidRequest */
export function readJsonText(bytes: Buffer | undefined): string {
  const { text } = parseJsonBody(bytes);
  return refusing(() => {
    memberTexts(`{"value":${text}}`, MAX_DEPTH + 1);
    return text.trim();
  });
}

/** @throws ApiError PAYLOAD_TOO_LARGE */
export function requireStorable({ payload }: Value, maxValueBytes: number): void {
  if (payload.length <= maxValueBytes) return;
  throw new ApiError('PAYLOAD_TOO_LARGE', { part: 'value', size_bytes: payload.length, limit_bytes: maxValueBytes });
}

/** A body in one of the other formats, with its value as it came. */
function readEncoded(request: FastifyRequest, messageName: string): { value: Encoded; rest: object } {
  const shape = { rawMembers: 'value', messageName } as const;
  const { value, ...rest } = readMembers(requestFormat(request), rawBody(request) ?? Buffer.alloc(0), shape);
  if (!(value instanceof Encoded)) throw new InvalidRequest([{ path: 'value', reason: 'is required' }]);
  return { value, rest };
}

function patchOptions({ options = NO_OPTIONS, merge_strategy: mergeStrategy = 'deep' }: z.infer<typeof patchRest>) {
  return { options, mergeStrategy };
}

function readJsonMembers(bytes: Buffer | undefined): Members {
  const { text, value } = parseJsonBody(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidRequest([{ path: '', reason: 'the body must be a JSON object' }]);
  }
  return refusing(() => memberTexts(text, MAX_DEPTH + 1));
}

function refusing<T>(read: () => T, within = ''): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof DuplicateMember) {
      throw new InvalidRequest([{ path: within + cause.member, reason: 'is there twice' }], { cause });
    }
    if (cause instanceof TooDeep) {
      throw new InvalidRequest([{ path: 'value', reason: `is nested deeper than ${MAX_DEPTH} levels` }], { cause });
    }
    throw cause;
  }
}

function readValue(members: Members): string {
  const valueText = members.get('value');
  if (valueText === undefined) throw new InvalidRequest([{ path: 'value', reason: 'is required' }]);
  return valueText;
}

/** Everything but the value goes through the schema. */
function readRest<T>(schema: z.ZodType<T>, members: Members): T {
  const rest = new Map(members);
  rest.delete('value');
  const options = rest.get('options');
  if (options?.startsWith('{')) refusing(() => memberTexts(options), 'options.');
  return validate(schema, plain(rest));
}

function plain(members: Members): Record<string, unknown> {
  return Object.fromEntries([...members].map(([name, text]) => [name, JSON.parse(text) as unknown]));
}
