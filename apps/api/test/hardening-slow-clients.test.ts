import { once } from 'node:events';
import type { Socket } from 'node:net';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { entryPath } from './support/client.js';
import { exchange, openSocket, request } from './support/raw-http.js';
import { type Service, startService } from './support/service.js';
import { remember } from './support/unharmed.js';

const MAX_CONNECTIONS = 30;

let service: Service;
beforeAll(async () => {
  service = await startService({
    SERVER__HEADERS_TIMEOUT: '1',
    SERVER__REQUEST_TIMEOUT: '3',
    SERVER__MAX_CONNECTIONS: String(MAX_CONNECTIONS),
  });
});
afterAll(() => service.stop());

const put = (...headers: string[]) =>
  request('PUT /v1/cache/slow HTTP/1.1', 'Host: x', `X-API-Key: ${service.api.apiKey}`, ...headers);

/** Goes on sending one byte and then another until the server has had enough. */
function drip(socket: Socket, byte: string): void {
  const timer = setInterval(() => (socket.writable ? socket.write(byte) : undefined), 100);
  socket.once('close', () => clearInterval(timer));
}

test.each([
  ['nothing after the first line', 'GET / HTTP/1.1\r\n', 'X'],
  ['a header that never ends', 'GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ', 'a'],
])('who sends %s is told 408 and cut off', async (_name, start, byte) => {
  const socket = openSocket(service);
  const answer = exchange(service, start, socket);
  drip(socket, byte);
  expect(await answer).toMatch(/^HTTP\/1\.1 408 [^]*"code":"REQUEST_TIMEOUT"/);
});

test.each([
  ['a body of a known length', ['Content-Type: application/json', 'Content-Length: 100000'], ' '],
  ['chunks', ['Content-Type: application/json', 'Transfer-Encoding: chunked'], '1\r\n \r\n'],
])('who never ends %s is told 408 and cut off, and nothing is stored', async (_name, headers, piece) => {
  const socket = openSocket(service);
  const answer = exchange(service, put(...headers), socket);
  drip(socket, piece);
  expect(await answer).toMatch(/^HTTP\/1\.1 408 [^]*"code":"REQUEST_TIMEOUT"/);
  expect((await service.client.get(entryPath('slow'))).status).toBe(404);
});

test('who hangs up in the middle of a body is no failure of the service, and nothing is stored', async () => {
  for (const headers of [['Content-Length: 100000'], ['Transfer-Encoding: chunked']]) {
    const socket = openSocket(service);
    socket.write(put('Content-Type: application/json', 'Expect: 100-continue', ...headers));
    await once(socket, 'data');
    socket.write('5\r\n{"val');
    socket.destroy();
    await once(socket, 'close');
    for (let round = 0; round < 5; round++) expect((await service.client.get('/health/live')).status).toBe(200);
  }
  const { json } = await service.client.get('/v1/monitor/health');
  expect(json).toMatchObject({ overall_performance: { error_rate: 0 } });
  expect(service.api.output()).not.toContain('"level":50');
  expect((await service.client.get(entryPath('slow'))).status).toBe(404);
});

test('connections beyond the cap are closed at once; with room again, so are none', async () => {
  service.client.close();
  let closed = 0;
  const crowd = Array.from({ length: MAX_CONNECTIONS + 10 }, () => openSocket(service).on('close', () => closed++));
  await eventually('those beyond the cap are closed', () => closed >= 10);
  for (const socket of crowd) socket.destroy();
  await eventually('health answers', () =>
    service.client.get('/health/live').then(
      ({ status }) => status === 200,
      () => false,
    ),
  );
});

test('a chunked body of a gigabyte is 413 as soon as it is too large, and cut off long before its end', async () => {
  const note = await remember(service);
  const socket = openSocket(service);
  let received = '';
  socket.setEncoding('latin1').on('data', (text: string) => (received += text));
  const isClosed = new Promise((resolve) => socket.on('close', resolve));
  socket.write(put('Content-Type: application/json', 'Transfer-Encoding: chunked'));
  const piece = Buffer.alloc(65_536, 'x');
  const frame = Buffer.concat([Buffer.from('10000\r\n'), piece, Buffer.from('\r\n')]);
  let sentBytes = 0;
  const send = () => {
    while (socket.writable && sentBytes < 1024 ** 3) {
      sentBytes += piece.length;
      if (!socket.write(frame)) return void socket.once('drain', send);
    }
  };
  send();
  await isClosed;
  expect(received).toMatch(/^HTTP\/1\.1 413 [^]*"code":"PAYLOAD_TOO_LARGE"/);
  // What is read away so that the answer arrives, and what lay in buffers on the way.
  expect(sentBytes).toBeLessThan(64 * 1024 * 1024);
  await note.expectUnharmed();
});

test('a length that says a gigabyte is 413 before any of it has come', async () => {
  const answer = exchange(service, put('Content-Type: application/json', 'Content-Length: 1073741824'));
  expect(await answer).toMatch(/^HTTP\/1\.1 413 [^]*"code":"PAYLOAD_TOO_LARGE"/);
});
