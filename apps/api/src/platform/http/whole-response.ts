import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { HeaderList } from './header-list.js';

/** So long a connection is kept that carries no request. */
export const KEEP_ALIVE_SECONDS = 72;

let dateAtSecond = 0;
let dateText = '';

/** Whether `writeWhole` may answer: the connection stays open, and no earlier response of it is still under way. */
export function takesWhole({ httpVersion, headers }: IncomingMessage, response: ServerResponse): boolean {
  const { connection } = headers;
  const { socket } = response;
  return (
    // Fastify puts `Connection: close` there while it closes.
    !response.hasHeader('connection') &&
    // Set for a page of another site; such headers are written by Node.
    !response.hasHeader('vary') &&
    httpVersion === '1.1' &&
    (connection === undefined || connection === 'keep-alive') &&
    socket !== null &&
    socket.writable
  );
}

/**
 * Answers with one write to the socket. `ServerResponse` checks and joins each header by itself and sends head and
 * body as two pieces, which takes a third of a read from L1. Here names are constants, and the values are numbers, ids
 * that were checked and texts of ours: nothing can break out of a line.
 *
 * The server learns of the end of a response by the event `finish`, on which it reads the next request of the
 * connection and starts its idle timer; so that is what this emits.
 */
export function writeWhole(
  response: ServerResponse,
  status: number,
  headers: HeaderList,
  body: string,
  ascii: boolean,
): void {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  const length = ascii ? body.length : Buffer.byteLength(body);
  head += `Date: ${httpDate()}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=${KEEP_ALIVE_SECONDS}\r\nContent-Length: ${length}\r\n\r\n`;
  response.socket?.write(head + body, ascii ? 'latin1' : 'utf8');
  response.emit('finish');
}

/** Now, as HTTP writes it (RFC 9110, section 5.6.7); made once a second. */
function httpDate(): string {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second !== dateAtSecond) {
    dateAtSecond = second;
    dateText = new Date(now).toUTCString();
  }
  return dateText;
}
