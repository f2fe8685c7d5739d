import { DuplicateMember, jsonValue, MAX_DEPTH, memberTexts, TooDeep, type Value } from '@cache-system/cache-engine';
import {
  incrementRequestSchema,
  type MergeStrategy,
  patchRequestSchema,
  type TouchRequest,
  touchRequestSchema,
  type WriteOptions,
  writeRequestSchema,
} from '@cache-system/contracts';
import type { z } from 'zod';
import { ApiError, InvalidRequest } from '../platform/http/api-error.js';
import { parseJsonBody } from '../platform/http/json-body.js';
import { validate } from '../platform/http/validation.js';

/** A body of which the members are texts, exactly as they came. */
type Members = ReadonlyMap<string, string>;

export interface WriteBody {
  readonly valueText: string;
  readonly options: WriteOptions;
}

export interface PatchBody extends WriteBody {
  readonly mergeStrategy: MergeStrategy;
}

const NO_OPTIONS: WriteOptions = Object.freeze({});
const writeRest = writeRequestSchema.omit({ value: true });
const patchRest = patchRequestSchema.omit({ value: true });

/** Body of PUT and POST. @throws InvalidRequest */
export function readWriteBody(bytes: Buffer | undefined): WriteBody {
  const members = readMembers(bytes);
  const valueText = readValue(members);
  if (members.size === 1) return { valueText, options: NO_OPTIONS };
  return { valueText, options: readRest(writeRest, members).options ?? NO_OPTIONS };
}

/** Body of PATCH as `application/json`. @throws InvalidRequest */
export function readPatchBody(bytes: Buffer | undefined): PatchBody {
  const members = readMembers(bytes);
  const valueText = readValue(members);
  const { options = NO_OPTIONS, merge_strategy: mergeStrategy = 'deep' } = readRest(patchRest, members);
  return { valueText, options, mergeStrategy };
}

export interface IncrementBody {
  readonly byText: string;
  readonly initialText: string;
  readonly ttl: number | undefined;
}

/** Body of an increment; none at all means "by 1". The numbers stay texts, so that no digit is lost. */
export function readIncrementBody(bytes: Buffer | undefined): IncrementBody {
  const members = bytes === undefined || bytes.length === 0 ? new Map<string, string>() : readMembers(bytes);
  const { ttl } = validate(incrementRequestSchema, plain(members));
  return { byText: members.get('by') ?? '1', initialText: members.get('initial') ?? '0', ttl };
}

/** Body of a touch. @throws InvalidRequest */
export function readTouchBody(bytes: Buffer | undefined): TouchRequest {
  return validate(touchRequestSchema, plain(readMembers(bytes)));
}

/** A body that is a value itself, as in the two patch formats. @throws InvalidRequest */
export function readJsonText(bytes: Buffer | undefined): string {
  const { text } = parseJsonBody(bytes);
  return refusing(() => {
    memberTexts(`{"value":${text}}`, MAX_DEPTH + 1);
    return text.trim();
  });
}

/** A value that may be stored. @throws ApiError PAYLOAD_TOO_LARGE */
export function storableValue(text: string, maxValueBytes: number): Value {
  const value = jsonValue(text);
  if (value.payload.length > maxValueBytes) {
    throw new ApiError('PAYLOAD_TOO_LARGE', {
      part: 'value',
      size_bytes: value.payload.length,
      limit_bytes: maxValueBytes,
    });
  }
  return value;
}

function readMembers(bytes: Buffer | undefined): Members {
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
