import {
  BODY_MEDIA_TYPES,
  DamagedPayload,
  inflateRequestBody,
  InflatesTooLarge,
  REQUEST_ENCODINGS,
  type RequestEncoding,
} from '@cache-system/cache-engine';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError, InvalidRequest, UnsupportedMediaType } from './api-error.js';
import { parseFields } from './json-body.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The handler takes the body as the bytes that came, in any of the formats. */
    rawBody?: boolean;
  }
}

const JSON_TYPE = 'application/json';
const PATCH_TYPES = ['application/merge-patch+json', 'application/json-patch+json'];
/** RFC 9110, section 8.4.1.3: the older name. */
const OTHER_NAMES: Readonly<Record<string, RequestEncoding>> = { 'x-gzip': 'gzip' };

/** The media types in which a route takes a body. */
export function bodyTypes({ method, routeOptions }: FastifyRequest): readonly string[] {
  const types = routeOptions.config.rawBody ? BODY_MEDIA_TYPES : [JSON_TYPE];
  return method === 'PATCH' ? [...types, ...PATCH_TYPES] : types;
}

/** Reads bodies for all routes. */
export function addBodyParsers(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser([...BODY_MEDIA_TYPES, ...PATCH_TYPES], { parseAs: 'buffer' }, readBody);
}

/** The body as the route takes it: the bytes, or what they say as JSON. @throws ApiError */
async function readBody(request: FastifyRequest, body: string | Buffer): Promise<unknown> {
  const types = bodyTypes(request);
  const [type = ''] = (request.headers['content-type'] ?? '').split(';', 1);
  if (!types.includes(type.trim().toLowerCase())) throw new UnsupportedMediaType('Content-Type', types);
  const bytes = await withoutCoding(request, body as Buffer);
  if (request.routeOptions.config.rawBody) return bytes;
  return bytes.length === 0 ? undefined : parseFields(bytes);
}

/** One coding at most: nobody compresses twice but to make a small body expensive. */
async function withoutCoding(request: FastifyRequest, bytes: Buffer): Promise<Buffer> {
  const coding = request.headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (coding === 'identity') return bytes;
  const encoding = OTHER_NAMES[coding] ?? REQUEST_ENCODINGS.find((each) => each === coding);
  if (encoding === undefined) throw new UnsupportedMediaType('Content-Encoding', [...REQUEST_ENCODINGS, 'identity']);
  const limitBytes = request.routeOptions.bodyLimit;
  try {
    return await inflateRequestBody(bytes, encoding, limitBytes);
  } catch (cause) {
    if (cause instanceof InflatesTooLarge) {
      throw new ApiError('PAYLOAD_TOO_LARGE', { part: 'body', limit_bytes: limitBytes }, { cause });
    }
    if (!(cause instanceof DamagedPayload)) throw cause;
    throw new InvalidRequest([{ path: 'Content-Encoding', reason: `the body is not valid ${encoding}` }], { cause });
  }
}
