import { type BodyFormat, formatOfMediaType, MEDIA_TYPES, negotiateFormat } from '@cache-system/cache-engine';
import type { FastifyRequest } from 'fastify';
import { ApiError } from './api-error.js';

const SUPPORTED = Object.values(MEDIA_TYPES);

/** Where all formats are spoken; JSON alone elsewhere. */
const SPEAKS_ALL = /^\/v1\/cache(?=[/?]|$)/;

/** The `Content-Type` of a response. */
export const CONTENT_TYPES: Readonly<Record<BodyFormat, string>> = {
  ...MEDIA_TYPES,
  json: 'application/json; charset=utf-8',
};

/** The format that a caller wants its response in: `?format=`, or what `Accept` says. @throws ApiError NOT_ACCEPTABLE */
export function responseFormat(request: FastifyRequest): BodyFormat {
  const { accept } = request.headers;
  const format = askedFormat(request) ?? negotiateFormat(accept);
  if (format === undefined) throw new ApiError('NOT_ACCEPTABLE', { supported: SUPPORTED });
  return format;
}

/** The format of an error. Who takes none of ours gets JSON: better than nothing. */
export function errorFormat(request: FastifyRequest): BodyFormat {
  if (!SPEAKS_ALL.test(request.url)) return 'json';
  return askedFormat(request) ?? negotiateFormat(request.headers.accept) ?? 'json';
}

/** The format of the body of a request, by its `Content-Type`. */
export function requestFormat(request: FastifyRequest): BodyFormat {
  return formatOfMediaType(request.headers['content-type'] ?? '') ?? 'json';
}

/** Another name than those of the formats is for the schema of the query to refuse. */
function askedFormat(request: FastifyRequest): BodyFormat | undefined {
  if (!request.url.includes('?')) return undefined;
  // A path that the router could not read has no query.
  const { format } = (request.query ?? {}) as { format?: unknown };
  return typeof format === 'string' && Object.hasOwn(MEDIA_TYPES, format) ? (format as BodyFormat) : undefined;
}
