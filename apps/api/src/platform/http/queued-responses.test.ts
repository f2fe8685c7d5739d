import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { InFlight } from './in-flight.js';
import { closeWithConnection } from './queued-responses.js';
import { eventually } from '../../../../../tools/harness/eventually.mjs';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}';
const COUNT = 300;

let server: Server;
let inFlight: InFlight;
let responses: ServerResponse[];
let closed: number;
beforeEach(async () => {
  inFlight = new InFlight();
  responses = [];
  closed = 0;
  server = createServer((request, response) => {
    closeWithConnection(request, response);
    inFlight.add(request, response);
    response.on('close', () => closed++);
    responses.push(response);
    request.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

async function pipeline(text: string): Promise<Socket> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.write(text);
  await eventually('all requests are there', () => inFlight.count === COUNT);
  return socket;
}

test.each([
  ['without a body', GET.repeat(COUNT)],
  ['with a body', POST.repeat(COUNT)],
])('pipelined requests %s are in flight no longer when their connection has died', async (_name, text) => {
  (await pipeline(text)).destroy();
  await eventually('nothing is in flight', () => inFlight.count === 0);
  expect(inFlight.bodyBytes()).toBe(0);
  expect(closed).toBe(COUNT);
});

test('of pipelined requests that are answered in part, each ends once', async () => {
  const socket = await pipeline(GET.repeat(COUNT));
  for (const response of responses.slice(0, 100)) response.end('done');
  await eventually('the answered ones have ended', () => inFlight.count === COUNT - 100);
  socket.destroy();
  await eventually('nothing is in flight', () => inFlight.count === 0);
  expect(closed).toBe(COUNT);
});

test('pipelined requests that are answered in the wrong order end once', async () => {
  const socket = await pipeline(POST.repeat(COUNT));
  for (const response of responses.slice(1)) response.end('done');
  expect(inFlight.count).toBe(COUNT);
  socket.resume();
  responses[0]?.end('done');
  await eventually('nothing is in flight', () => inFlight.count === 0);
  socket.destroy();
  await eventually('the connection is closed', () => responses[0]?.req.socket.destroyed === true);
  expect(closed).toBe(COUNT);
});
