import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Injectable } from '@nestjs/common';
import { LiveConfig } from '../live-config.js';
import { requestId } from './request-id.js';
import { handOn } from './request-listeners.js';

const METHODS = 'GET, HEAD, PUT, POST, PATCH, DELETE';
/** The asterisk leaves out `Authorization` (Fetch, section 3.3.3). */
const HEADERS = 'Authorization, *';
const PREFLIGHT_SECONDS = '600';

/**
 * Lets pages of other sites call the API where the configuration names their origin (WHATWG Fetch, section 3.3). Origins
 * are compared as a whole, and `Access-Control-Allow-Credentials` is never sent: a browser adds no credentials of its own.
 */
@Injectable()
export class Cors {
  private origins: ReadonlySet<string> = new Set();

  constructor(config: LiveConfig) {
    config.follow(({ server }) => {
      this.origins = new Set(server.cors.allowed_origins);
    });
  }

  /** Puts the check before whatever listens for the requests of a server. */
  open(server: Server): void {
    handOn(server, (request, response) => this.origins.size > 0 && this.answersPreflight(request, response));
  }

  private answersPreflight(request: IncomingMessage, response: ServerResponse): boolean {
    const { method, headers } = request;
    const { origin } = headers;
    if (origin === undefined) return false;
    response.setHeader('Vary', 'Origin');
    if (!this.origins.has(origin)) return false;
    response.setHeader('Access-Control-Allow-Origin', origin);
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) {
      response.setHeader('Access-Control-Expose-Headers', '*');
      return false;
    }
    response.setHeader('Access-Control-Allow-Methods', METHODS);
    response.setHeader('Access-Control-Allow-Headers', HEADERS);
    response.setHeader('Access-Control-Max-Age', PREFLIGHT_SECONDS);
    response.setHeader('X-Request-Id', requestId(request));
    response.setHeader('X-Response-Time', '0ms');
    response.writeHead(204).end();
    return true;
  }
}
