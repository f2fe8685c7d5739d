import type { IncomingMessage, ServerResponse } from 'node:http';
import { ERROR_CODES } from '@cache-system/contracts';
import { discardRest } from './discard-rest.js';
import type { HeaderList } from './header-list.js';
import { hasBody } from './in-flight.js';
import { requestId } from './request-id.js';
import { takesWhole, writeWhole } from './whole-response.js';

const LONGEST_WAIT_SECONDS = 3;
const { status, message } = ERROR_CODES.SERVICE_OVERLOADED;

/**
 * 503 with as little work as can be, in JSON whatever was asked for. Those who are refused at the same moment are told
 * different times to come again.
 */
export function refuse(request: IncomingMessage, response: ServerResponse): void {
  const id = requestId(request);
  const waitSeconds = 1 + Math.floor(Math.random() * LONGEST_WAIT_SECONDS);
  const headers: HeaderList = [
    'Content-Type',
    'application/json; charset=utf-8',
    'Cache-Control',
    'no-store',
    'Retry-After',
    waitSeconds,
    'X-Request-Id',
    id,
    'X-Response-Time',
    '0ms',
    'X-Content-Type-Options',
    'nosniff',
  ];
  const body = `{"error":{"code":"SERVICE_OVERLOADED","message":"${message}","details":{"retry_after":${waitSeconds}},"metadata":{"request_id":"${id}","timestamp":"${new Date().toISOString()}","api_version":"v1","response_time_ms":0}}}`;
  if (hasBody(request)) discardRest(request, response);
  if (request.method !== 'HEAD' && takesWhole(request, response)) {
    writeWhole(response, status, headers, body, true);
  } else {
    response.writeHead(status, [...headers, 'Content-Length', body.length]);
    response.end(body);
  }
}
