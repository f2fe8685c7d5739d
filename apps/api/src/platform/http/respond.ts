import { writeDocument } from '@cache-system/cache-engine';
import type { ErrorEnvelope } from '@cache-system/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { discardRest } from './discard-rest.js';
import { CONTENT_TYPES, errorFormat } from './formats.js';
import type { HeaderList } from './header-list.js';
import type { RateLimitState } from './rate-limit-state.js';
import { compressBody, isCompressible, wantsGzip } from './response-compression.js';
import { takesWhole, writeWhole } from './whole-response.js';
import type { ApiError } from './api-error.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** `performance.now()` when the request arrived. */
    startedAt: number;
    /** `performance.now()` when a response began that goes on as a stream; 0 for every other. */
    answeredAt: number;
    /** Where the caller stands against its rate limit; undefined before it is known who calls. */
    rateLimit: RateLimitState | undefined;
  }
}

/** What every response tells of its request. */
export type Exchange = Pick<FastifyRequest, 'id' | 'startedAt' | 'rateLimit'>;

/**
 * Writes a response past Fastify's serialisation and send hooks, which this service has no use for: half the cost of
 * a read would be there. With `ascii` each character of the body is one byte, which spares a count and an encoding.
 */
export function respond(
  request: FastifyRequest,
  reply: FastifyReply,
  status: number,
  headers: HeaderList,
  body: string | Buffer = '',
  ascii = false,
): void {
  pushCommonHeaders(request, headers);
  reply.hijack();
  if (request.method !== 'HEAD' && wantsGzip(request.headers, body.length) && isCompressible(contentTypeOf(headers))) {
    compressBody(body).then(
      (compressed) => {
        headers.push('Content-Encoding', 'gzip', 'Content-Length', compressed.length);
        reply.raw.writeHead(status, headers);
        reply.raw.end(compressed);
      },
      (error: unknown) => reply.raw.destroy(error as Error),
    );
    return;
  }
  if (typeof body === 'string' && status <= 201 && request.method !== 'HEAD' && takesWhole(request.raw, reply.raw)) {
    writeWhole(reply.raw, status, headers, body, ascii);
    return;
  }
  if (status !== 204 && status !== 304) {
    headers.push('Content-Length', ascii || typeof body !== 'string' ? body.length : Buffer.byteLength(body));
  }
  reply.raw.writeHead(status, headers);
  reply.raw.end(body, ascii ? 'latin1' : 'utf8');
}

function contentTypeOf(headers: HeaderList): string {
  return String(headers[headers.indexOf('Content-Type') + 1]);
}

/** Writes an error in the envelope that every error has. */
export function respondError(request: FastifyRequest, reply: FastifyReply, error: ApiError): void {
  const envelope: ErrorEnvelope = {
    error: {
      code: error.code,
      message: error.message,
      details: { ...error.details },
      metadata: {
        request_id: request.id,
        timestamp: new Date().toISOString(),
        api_version: 'v1',
        response_time_ms: elapsedMs(request),
      },
    },
  };
  if (error.code === 'PAYLOAD_TOO_LARGE' && !request.raw.complete) discardRest(request.raw, reply.raw);
  const format = errorFormat(request);
  const headers: HeaderList = ['Content-Type', CONTENT_TYPES[format], 'Cache-Control', 'no-store'];
  for (const [name, value] of Object.entries(error.headers)) headers.push(name, value);
  const body = format === 'json' ? JSON.stringify(envelope) : writeDocument(format, envelope, 'Error');
  respond(request, reply, error.status, headers, body);
}

/** Whole milliseconds since the request arrived. */
export function elapsedMs({ startedAt }: Pick<Exchange, 'startedAt'>): number {
  return Math.round(performance.now() - startedAt);
}

/** Headers of every response, for those that Fastify writes. */
export function commonHeaders(request: FastifyRequest): Record<string, string> {
  const list: HeaderList = [];
  pushCommonHeaders(request, list);
  const headers: Record<string, string> = {};
  for (let i = 0; i < list.length; i += 2) headers[String(list[i])] = String(list[i + 1]);
  return headers;
}

/** Adds what every response carries. */
export function pushCommonHeaders(exchange: Exchange, headers: HeaderList): void {
  const { id, rateLimit } = exchange;
  headers.push('X-Request-Id', id, 'X-Response-Time', `${elapsedMs(exchange)}ms`, 'X-Content-Type-Options', 'nosniff');
  if (rateLimit === undefined) return;
  const limit = rateLimit.tell();
  const remaining = String(limit.remaining);
  headers.push(
    'X-RateLimit-Limit',
    limit.limitText,
    'X-RateLimit-Remaining',
    remaining,
    'X-RateLimit-Reset',
    Math.floor(Date.now() / 1000) + limit.resetInSeconds,
    'X-RateLimit-Window',
    limit.windowText,
    'X-RateLimit-Policy',
    limit.strategy,
    'X-Rate-Limit-Remaining',
    remaining,
    'RateLimit-Policy',
    limit.policyText,
    'RateLimit',
    limit.stateText,
  );
}
