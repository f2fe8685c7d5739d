import {
  BODY_MEDIA_TYPES,
  DamagedPayload,
  inflateRequestBody,
  InflatesTooLarge,
  REQUEST_ENCODINGS,
  type RequestEncoding,
} from '@cache-system/cache-engine';
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { bulkhead } from 'cockatiel';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError, InvalidRequest, UnsupportedMediaType } from './api-error.js';
import { parseFields } from './json-body.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** How the body is compressed, until `InflateBody` has seen to it. */
    coding: RequestEncoding | undefined;
  }
  interface FastifyContextConfig {
    /** The handler takes the body as the bytes that came, in any of the formats. */
    rawBody?: boolean;
    /** The handler takes bytes of whatever type. */
    anyBody?: boolean;
  }
}

const INFLATED_AT_ONCE = 4;
const JSON_TYPE = 'application/json';
const PATCH_TYPES = ['application/merge-patch+json', 'application/json-patch+json'];
/** RFC 9110, section 8.4.1.3: the older name. */
const OTHER_NAMES: ReadonlyMap<string, RequestEncoding> = new Map([['x-gzip', 'gzip']]);

/** The media types in which a route takes a body. */
export function bodyTypes({ method, routeOptions }: FastifyRequest): readonly string[] {
  const types = routeOptions.config.rawBody ? BODY_MEDIA_TYPES : [JSON_TYPE];
  return method === 'PATCH' ? [...types, ...PATCH_TYPES] : types;
}

/** Reads bodies for all routes. */
export function addBodyParsers(fastify: FastifyInstance): void {
  fastify.decorateRequest('coding', undefined);
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', { parseAs: 'buffer' }, readBody);
}

/** The body as the route takes it: the bytes, or what they say as JSON. */
function readBody(
  request: FastifyRequest,
  body: string | Buffer,
  done: (error: Error | null, body?: unknown) => void,
): void {
  try {
    done(null, bodyOf(request, body as Buffer));
  } catch (error) {
    done(error as Error);
  }
}

/** @throws ApiError */
function bodyOf(request: FastifyRequest, bytes: Buffer): unknown {
  const { rawBody, anyBody } = request.routeOptions.config;
  const types = bodyTypes(request);
  const [type = ''] = (request.headers['content-type'] ?? '').split(';', 1);
  if (!anyBody && !types.includes(type.trim().toLowerCase())) throw new UnsupportedMediaType('Content-Type', types);
  const encoding = codingOf(request, rawBody ? REQUEST_ENCODINGS : []);
  // It is inflated once it is known who sends it.
  if (rawBody) request.coding = encoding;
  if (rawBody) return bytes;
  return bytes.length === 0 ? undefined : parseFields(bytes);
}

/** One coding at most: nobody compresses twice but to make a small body expensive. @throws UnsupportedMediaType */
function codingOf(request: FastifyRequest, supported: readonly RequestEncoding[]): RequestEncoding | undefined {
  const coding = request.headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (coding === 'identity') return undefined;
  const encoding = OTHER_NAMES.get(coding) ?? supported.find((each) => each === coding);
  if (encoding !== undefined && supported.includes(encoding)) return encoding;
  throw new UnsupportedMediaType('Content-Encoding', [...supported, 'identity']);
}

/** Takes the coding off the body of a request whose caller is known. Few at a time: each may take the whole limit. */
@Injectable()
export class InflateBody implements CanActivate {
  private readonly fewAtATime = bulkhead(INFLATED_AT_ONCE, Infinity);

  canActivate(context: ExecutionContext): true | Promise<true> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const { coding } = request;
    return coding === undefined ? true : this.fewAtATime.execute(() => inflate(request, coding));
  }
}

async function inflate(request: FastifyRequest, encoding: RequestEncoding): Promise<true> {
  const limitBytes = request.routeOptions.bodyLimit;
  try {
    request.body = await inflateRequestBody(request.body as Buffer, encoding, limitBytes);
    return true;
  } catch (cause) {
    if (cause instanceof InflatesTooLarge) {
      throw new ApiError('PAYLOAD_TOO_LARGE', { part: 'body', limit_bytes: limitBytes }, { cause });
    }
    if (!(cause instanceof DamagedPayload)) throw cause;
    throw new InvalidRequest([{ path: 'Content-Encoding', reason: `the body is not valid ${encoding}` }], { cause });
  }
}
