import { randomBytes } from 'node:crypto';
import type { Config } from '@cache-system/contracts';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Socket } from 'node:net';
import type { Traffic } from '../traffic.js';
import { ApiError, InvalidRequest } from './api-error.js';
import { arrivedAt } from './arrival.js';
import { translateError } from './error-filter.js';
import { addBodyParsers } from './request-body.js';
import { requestId } from './request-id.js';
import { commonHeaders, respondError } from './respond.js';
import { KEEP_ALIVE_SECONDS } from './whole-response.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body holds many values. */
    bulkBody?: boolean;
  }
}

/** Room in a body for what is not the value: the envelope, options, whitespace. */
/** What is answered there is for the caller alone: tokens, keys and what is known of people. */
const CONFIDENTIAL = /^\/v1\/(?:auth|admin|config|monitor)\//;
const ENVELOPE_BYTES = 64 * 1024;
/** For many values at once. It is held in memory as a whole, with what is made of it. */
const BULK_BYTES = 8 * 1024 * 1024;
const MAX_URL_PARAM_LENGTH = 16 * 1024;

/** The HTTP server below Nest: limits, body parsers, request ids and what is counted of each response. */
export function createFastify(config: Config, traffic: Traffic): FastifyInstance {
  const { server, cache } = config;
  const fastify = Fastify({
    logger: false,
    bodyLimit: cache.limits.max_value_bytes + ENVELOPE_BYTES,
    requestTimeout: server.request_timeout * 1000,
    keepAliveTimeout: KEEP_ALIVE_SECONDS * 1000,
    // Of others `X-Forwarded-For` says nothing: everybody can send one.
    trustProxy: server.trusted_proxies.length > 0 && [...server.trusted_proxies],
    requestIdHeader: false,
    genReqId: requestId,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: MAX_URL_PARAM_LENGTH },
    // Node would refuse such a request itself, with an answer that has no body.
    http: {
      requireHostHeader: false,
      headersTimeout: server.headers_timeout * 1000,
      connectionsCheckingInterval: 1000,
    },
    frameworkErrors: (error, request, reply) => {
      request.startedAt = arrivedAt(request.raw);
      respondError(request, reply, translateError(error, request));
    },
    clientErrorHandler: answerMalformedHttp,
  });
  fastify.server.maxConnections = server.max_connections;
  // An expectation that nobody knows may be ignored (RFC 9110, section 10.1.1); Node's own 417 would have no body.
  fastify.server.on('checkExpectation', (request, response) => fastify.server.emit('request', request, response));

  fastify.decorateRequest('startedAt', 0);
  fastify.decorateRequest('answeredAt', 0);
  fastify.decorateRequest('rateLimit', undefined);
  fastify.addHook('onRequest', (request, _reply, done) => {
    request.startedAt = arrivedAt(request.raw);
    if (request.headers.host !== undefined || request.raw.httpVersion === '1.0') done();
    else done(new InvalidRequest([{ path: 'Host', reason: 'is required' }]));
  });
  fastify.addHook('onSend', (request, reply, _payload, done) => {
    reply.headers(commonHeaders(request));
    if (CONFIDENTIAL.test(request.routeOptions.url ?? '') && !reply.hasHeader('cache-control')) {
      reply.header('Cache-Control', 'no-store');
    }
    done();
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    traffic.record(reply.raw.statusCode, (request.answeredAt || performance.now()) - request.startedAt);
    done();
  });

  fastify.addHook('onRoute', (route) => {
    if (route.config?.bulkBody) route.bodyLimit = Math.max(BULK_BYTES, cache.limits.max_value_bytes + ENVELOPE_BYTES);
  });
  addBodyParsers(fastify);
  return fastify;
}

/** What does not parse as HTTP never becomes a request, so the answer is written by hand. */
function answerMalformedHttp(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  const apiError =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new ApiError('PAYLOAD_TOO_LARGE', { part: 'request line and headers', limit_bytes: 16_384 })
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new ApiError('REQUEST_TIMEOUT')
        : new ApiError('INVALID_REQUEST', { reason: 'not a well-formed HTTP/1.1 request' });
  const id = `req_${randomBytes(8).toString('hex')}`;
  const body = JSON.stringify({
    error: {
      code: apiError.code,
      message: apiError.message,
      details: apiError.details,
      metadata: { request_id: id, timestamp: new Date().toISOString(), api_version: 'v1', response_time_ms: 0 },
    },
  });
  socket.end(
    `HTTP/1.1 ${apiError.status} Error\r\nContent-Type: application/json; charset=utf-8\r\nX-Request-Id: ${id}\r\n` +
      `X-Response-Time: 0ms\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
