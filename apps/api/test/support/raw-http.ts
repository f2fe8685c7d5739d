import { connect, type Socket } from 'node:net';
import type { Service } from './service.js';

/** A request as it is on the line: its first line and its headers. */
export const request = (line: string, ...headers: string[]): string => [line, ...headers, '', ''].join('\r\n');

/** A connection of its own, on which nothing is improved. */
export function openSocket({ api }: Service): Socket {
  const { hostname, port } = new URL(api.url);
  // A connection that is cut is an end like another.
  const socket = connect(Number(port), hostname).on('error', () => socket.destroy());
  return socket;
}

/** What comes back on a connection, one of its own where none is given, until the server ends it. */
export function exchange(service: Service, sent: string | Buffer, socket = openSocket(service)): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    socket.setEncoding('latin1').on('data', (text: string) => (received += text));
    socket.on('close', () => resolve(received));
    socket.write(sent);
  });
}
