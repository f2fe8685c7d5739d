import type { IncomingMessage, Server, ServerResponse } from 'node:http';

export type RequestListener = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * Asks `takes` first, about each request that comes to a server; those that it does not take go on to whatever listened
 * before. Returns what hands a request on that was taken.
 */
export function handOn(
  server: Server,
  takes: (request: IncomingMessage, response: ServerResponse) => boolean,
): RequestListener {
  const ordinary = server.listeners('request') as RequestListener[];
  const goOn = (request: IncomingMessage, response: ServerResponse) => {
    for (const listener of ordinary) listener.call(server, request, response);
  };
  server.removeAllListeners('request');
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!takes(request, response)) goOn(request, response);
  });
  return goOn;
}
