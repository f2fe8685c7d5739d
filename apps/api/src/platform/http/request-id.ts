import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

const VALID_REQUEST_ID = /^[\w.-]{1,128}$/;
const processPart = randomBytes(5).toString('hex');
let count = 0;

/** An id for a request. Keeps a usable one that the caller sends, so that its logs and ours can be joined. */
export function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  if (typeof given === 'string' && VALID_REQUEST_ID.test(given)) return given;
  count = (count + 1) % Number.MAX_SAFE_INTEGER;
  return `req_${processPart}${count}`;
}
