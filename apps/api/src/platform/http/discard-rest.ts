import type { IncomingMessage } from 'node:http';

/** What is still read of a body that nobody wants. */
const PATIENCE_BYTES = 8 * 1024 * 1024;
const PATIENCE_MS = 5000;

/**
 * To be called before a request is answered whose body has not come as a whole. Closed at once, the connection would often take
 * the answer with it (RFC 9112, section 9.6), so the rest is read away; but not for long.
 */
export function discardRest(request: IncomingMessage): void {
  const { socket } = request;
  const end = () => socket.destroy();
  const timer = setTimeout(end, PATIENCE_MS).unref();
  let left = PATIENCE_BYTES;
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) end();
  });
  request.once('close', () => clearTimeout(timer));
}
