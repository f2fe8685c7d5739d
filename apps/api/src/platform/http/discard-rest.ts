import type { IncomingMessage, ServerResponse } from 'node:http';

/** What is still read of a body that nobody wants. */
const PATIENCE_BYTES = 8 * 1024 * 1024;
const PATIENCE_MS = 5000;

/**
 * To be called before a request is answered whose body has not come as a whole. Closed at once, the connection would often take
 * the answer with it (RFC 9112, section 9.6), so the rest is read away. Of a body that is too long for that, or does not say
 * how long it is, only the first part is: then this side of the connection ends with the answer, and later all of it.
 */
export function discardRest(request: IncomingMessage, response: ServerResponse): void {
  const { socket, headers } = request;
  const timer = setTimeout(() => socket.destroy(), PATIENCE_MS).unref();
  let left = PATIENCE_BYTES;
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.pause();
  });
  if (Number(headers['content-length'] ?? Infinity) <= PATIENCE_BYTES) {
    request.once('close', () => clearTimeout(timer));
    return;
  }
  response.setHeader('Connection', 'close');
  // Node calls this after such a response, and would cut off who is still sending.
  socket.destroySoon = () => socket.end();
  socket.once('close', () => clearTimeout(timer));
}
