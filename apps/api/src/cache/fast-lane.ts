import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import { Cache } from '@cache-system/cache-engine';
import { Injectable } from '@nestjs/common';
import { AccessGuard } from '../auth/access.guard.js';
import { RateLimiter } from '../auth/rate-limiter.js';
import { Drain } from '../platform/drain.js';
import { CONTENT_TYPES } from '../platform/http/formats.js';
import { requestId } from '../platform/http/request-id.js';
import { handOn } from '../platform/http/request-listeners.js';
import { wantsGzip } from '../platform/http/response-compression.js';
import { type Exchange, pushCommonHeaders } from '../platform/http/respond.js';
import { takesWhole, writeWhole } from '../platform/http/whole-response.js';
import { Traffic } from '../platform/traffic.js';
import { hitHeaders } from './entry-text.js';

/**
 * The path of a read with a key that is spelled the same with and without percent-encoding, and nothing after it. At
 * `events` there is something else to read.
 */
const PLAIN_READ = /^\/v1\/cache\/(?!events$)([A-Za-z0-9._~:@!$&'()*+,;=-]{1,512})$/;
/** As the limits of endpoints name what a plain read asks for. */
const ROUTE = 'GET /v1/cache/:key';
/**
 * Answers the plain read of what L1 has, by a caller whom this node knows, before the request reaches Fastify and Nest:
 * their routing would cost as much as all the rest. It decides nothing of its own. What it asks (guard, limiter, cache)
 * and what it writes with are what the ordinary way uses, and whatever is not plain takes that way from the start.
 */
@Injectable()
export class FastLane {
  constructor(
    private readonly cache: Cache,
    private readonly guard: AccessGuard,
    private readonly limiter: RateLimiter,
    private readonly traffic: Traffic,
    private readonly drain: Drain,
  ) {}

  /** Puts the lane before whatever listens for the requests of a server. */
  open(server: Server): void {
    handOn(server, (request, response) => this.answer(request, response));
  }

  /** False: nothing has happened, and the request takes the ordinary way. */
  private answer(request: IncomingMessage, response: ServerResponse): boolean {
    const { method, url = '', headers } = request;
    if (method !== 'GET' || this.drain.draining || headers.host === undefined) return false;
    const name = PLAIN_READ.exec(url)?.[1];
    if (name === undefined || !isPlain(headers) || !takesWhole(request, response)) return false;

    const startedAt = performance.now();
    const principal = this.guard.recall(headers, 'cache:read');
    if (principal === undefined || principal.namespace === null || principal.keyPrefixes.length > 0) return false;
    const slot = this.cache.peek(`${principal.namespace}:${name}`);
    if (slot?.format !== 'json' || wantsGzip(headers, slot.payloadBytes)) return false;
    const rateLimit = this.limiter.countAtOnce(principal, ROUTE, request.socket);
    if (rateLimit === false) return false;
    const exchange: Exchange = { id: requestId(request), startedAt, rateLimit };

    this.cache.countHit(slot);
    const answer = hitHeaders(slot, 'L1');
    answer.push('Content-Type', CONTENT_TYPES.json);
    pushCommonHeaders(exchange, answer);
    writeWhole(response, 200, answer, `{"key":"${name}","value":${slot.text()}}`, slot.ascii);
    this.traffic.record(200, performance.now() - startedAt);
    return true;
  }
}

/** No header asks for what only the ordinary way knows. */
function isPlain(headers: IncomingHttpHeaders): boolean {
  const { accept } = headers;
  return (
    (accept === undefined || accept === '*/*' || accept === 'application/json') &&
    headers['cache-control'] === undefined &&
    headers['if-none-match'] === undefined &&
    headers['if-match'] === undefined &&
    headers['x-cache-namespace'] === undefined &&
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined
  );
}
