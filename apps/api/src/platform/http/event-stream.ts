import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { countsNoMore } from './in-flight.js';
import { commonHeaders } from './respond.js';

/** Begins a response of server-sent events (WHATWG HTML, section 9.2), written past Fastify. */
export function beginEventStream(request: FastifyRequest, reply: FastifyReply): ServerResponse {
  const { raw } = reply;
  reply.hijack();
  raw.writeHead(200, {
    ...commonHeaders(request),
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
  });
  request.answeredAt = performance.now();
  countsNoMore(raw);
  return raw;
}

/** @param id from which a reader that comes again can go on */
export function eventText(event: string, data: object, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Ends a stream, and does not wait for long until its reader has taken the rest. */
export function endEventStream(raw: ServerResponse, lastText: string, patienceMs: number): void {
  raw.end(lastText);
  const timer = setTimeout(() => raw.destroy(), patienceMs);
  raw.once('close', () => clearTimeout(timer));
}
