import type { IncomingMessage, Server, ServerResponse } from 'node:http';

type RequestListener = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * Asks `takes` first, about each request that comes to a server; those that it does not take go on to whatever listened
 * before.
 */
export function handOn(server: Server, takes: (request: IncomingMessage, response: ServerResponse) => boolean): void {
  const ordinary = server.listeners('request') as RequestListener[];
  server.removeAllListeners('request');
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (takes(request, response)) return;
    for (const listener of ordinary) listener.call(server, request, response);
  });
}
