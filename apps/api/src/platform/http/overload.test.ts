import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { configSchema } from '@cache-system/contracts';
import { eventually } from '../../../../../tools/harness/eventually.mjs';
import { LiveConfig } from '../live-config.js';
import { Traffic } from '../traffic.js';
import { Overload } from './overload.js';

/** Longer than requests may begin in a turn of the event loop. */
const BUSY_MS = 15;

let server: Server;
let arrived: string[];
let begun: string[];
beforeEach(async () => {
  [arrived, begun] = [[], []];
  server = createServer(({ url = '' }, response) => {
    begun.push(url);
    const startedAt = performance.now();
    while (url === '/busy' && performance.now() - startedAt < BUSY_MS);
    response.end();
  });
  const overload = { max_event_loop_delay_ms: 60_000 };
  new Overload(new LiveConfig(configSchema.parse({ server: { overload } })), new Traffic()).open(server);
  server.on('request', ({ url = '' }) => arrived.push(url));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

function send(...paths: string[]): Socket {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').resume();
  client.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
  return client;
}

test('requests of one connection begin in their order, whatever they are for', async () => {
  const paths = ['/busy', '/v1/cache/a', '/v1/admin/nodes', '/health/live', '/v1/cache/b'];
  send(...paths);
  await eventually('all have begun', () => begun.length === paths.length);
  expect(begun).toEqual(paths);
});

test('one whose connection ends while it waits is not begun', async () => {
  const busy = Array.from({ length: 20 }, () => '/busy');
  send(...busy);
  await eventually('they wait', () => arrived.length === busy.length);
  const client = send('/gone');
  await eventually('it waits behind them', () => arrived.includes('/gone'));
  client.destroy();
  await eventually('all others are done', () => begun.length >= busy.length);
  send('/last');
  await eventually('the last has begun', () => begun.includes('/last'));
  expect(begun).toEqual([...busy, '/last']);
});
