import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { log } from '../logging.js';
import { databaseError } from '../postgres/failures.js';
import { ApiError, InvalidRequest, UnsupportedMediaType } from './api-error.js';
import { bodyTypes } from './request-body.js';
import { respondError } from './respond.js';
import type { RouteTable } from './route-table.js';

/** The one place where failures become responses. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  /** @param onError is told of each before it is answered */
  constructor(
    private readonly routes: RouteTable,
    private readonly onError: (request: FastifyRequest, error: ApiError) => void,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const apiError = this.unrouted(error, request) ?? translateError(error, request);
    if (apiError.status >= 500) {
      log.error({ err: error, request_id: request.id, method: request.method, code: apiError.code }, apiError.message);
    }
    this.onError(request, apiError);
    if (reply.raw.headersSent) return void reply.raw.destroy();
    respondError(request, reply, apiError);
  }

  /** Nest answers with this exception where no route matches. */
  private unrouted(error: unknown, request: FastifyRequest): ApiError | undefined {
    if (!request.is404 || !(error instanceof HttpException)) return undefined;
    const path = request.url.split('?', 1)[0] ?? '';
    const allowed = this.routes.methodsFor(path);
    return allowed.length === 0
      ? new ApiError('ROUTE_NOT_FOUND', { method: request.method, path })
      : new ApiError(
          'METHOD_NOT_ALLOWED',
          { method: request.method, allowed },
          { headers: { Allow: allowed.join(', ') } },
        );
  }
}

/** What the caller gets to see of any error. */
export function translateError(error: unknown, request: FastifyRequest): ApiError {
  if (error instanceof ApiError) return error;
  const cause = error;
  // Nest wraps what Fastify throws.
  const thrown = error instanceof HttpException ? error.cause : error;
  // The connection has ended before all of the body was there; nobody hears the answer.
  if (request.raw.errored && thrown === request.raw.errored) {
    return new InvalidRequest([{ path: '', reason: 'the body ended before it was complete' }], { cause });
  }
  switch ((thrown as Partial<FastifyError> | undefined)?.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ApiError(
        'PAYLOAD_TOO_LARGE',
        { part: 'body', limit_bytes: request.routeOptions.bodyLimit },
        { cause },
      );
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_EMPTY_TYPE':
      return new UnsupportedMediaType('Content-Type', bodyTypes(request), { cause });
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new InvalidRequest([{ path: 'Content-Length', reason: 'does not match the body' }], { cause });
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new ApiError('INVALID_KEY_FORMAT', { rule: 'the path must be valid percent-encoded UTF-8' }, { cause });
    default:
  }
  if (error instanceof HttpException && error.getStatus() < 500) {
    return new InvalidRequest([{ path: '', reason: error.message }], { cause });
  }
  return databaseError(error) ?? new ApiError('INTERNAL_SERVER_ERROR', {}, { cause });
}
