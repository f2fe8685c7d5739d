import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { eventually } from '../../../../../tools/harness/eventually.mjs';
import { refuse } from './refusal.js';
import { RefusalPace } from './refusal-pace.js';

const refused = 'GET /refused HTTP/1.1\r\nHost: x\r\n\r\n';
const taken = 'GET /taken HTTP/1.1\r\nHost: x\r\n\r\n';

let server: Server;
let pace: RefusalPace;
let requests: IncomingMessage[];
let waiting: ServerResponse[];
beforeEach(async () => {
  pace = new RefusalPace();
  requests = [];
  waiting = [];
  server = createServer((request, response) => {
    requests.push(request);
    if (request.url === '/taken') {
      pace.taken(request.socket);
      waiting.push(response);
    } else {
      pace.refusing(request.socket, response);
      refuse(request, response);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** The server's side of a connection on which all of this came. */
async function sent(...texts: string[]): Promise<{ client: Socket; socket: Socket }> {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').resume();
  client.write(texts.join(''));
  await eventually('all requests are there', () => requests.length === texts.length);
  await nextTurn();
  return { client, socket: requests[0]!.socket };
}

// More answers than these would fill the connection, which Node itself pauses then.
const many = Array.from({ length: 28 }, () => refused);

test('a connection with nothing but refusals is not read from for a while', async () => {
  const { socket } = await sent(...many);
  expect(socket.isPaused()).toBe(true);
  await eventually('it is read from again', () => !socket.isPaused());
});

test.each([
  ['before', [taken, ...many]],
  ['after', [...many, taken]],
])('one that carries a request that was taken %s is left alone', async (_name, texts) => {
  const { socket } = await sent(...texts);
  expect(socket.isPaused()).toBe(false);
  expect(waiting).toHaveLength(1);
});

test('one that was refused a hundred times is closed with the answer', async () => {
  const { client, socket } = await sent(...many, ...many, ...many, ...many.slice(0, 16));
  await eventually('it is closed', () => client.closed && socket.closed);
});
