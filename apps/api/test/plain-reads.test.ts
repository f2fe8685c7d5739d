import { connect } from 'node:net';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type Answer, type Client, entryPath } from './support/client.js';
import { expectError } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { type Service, startService } from './support/service.js';

// A plain read of what L1 has is answered before the router (docs/adr/0006). Nobody may notice.

let service: Service;
let client: Client;
beforeAll(async () => {
  service = await startService();
  client = service.client;
});
afterAll(() => service.stop());

/** A header that differs from one answer to the next: the counters, the time and the id. */
const VOLATILE = /^(date|age|x-request-id|x-response-time|ratelimit|x-rate-?limit-(remaining|reset))$/;
const steady = ({ status, headers, text }: Answer) => ({
  status,
  text,
  headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !VOLATILE.test(name))),
  names: Object.keys(headers).sort(),
});

test.each(['"plain"', '"grün 🎈"', '{"a":[1,2.50,-0]}', 'null'])(
  'a plain read and one that takes the ordinary way answer the same for %s',
  async (text) => {
    await client.put(entryPath('same'), `{"value":${text}}`);
    const plain = await client.get('/v1/cache/same');
    const ordinary = await client.get('/v1/cache/same?include_metadata=false');
    expect(plain.headers['x-cache-layer']).toBe('L1');
    expect(steady(plain)).toEqual(steady(ordinary));
  },
);

test('requests that are sent together on one connection are answered in their order', async () => {
  for (const key of ['p1', 'p2', 'p3']) await client.put(entryPath(key), { value: key });
  const { hostname, port } = new URL(client.url);
  const socket = connect(Number(port), hostname);
  const paths = ['p1', 'absent', 'p2', 'p1?include_metadata=true', 'p3', 'p2'];
  const head = `Host: ${hostname}\r\nX-API-Key: ${service.api.apiKey}\r\n`;
  socket.write(paths.map((path) => `GET /v1/cache/${path} HTTP/1.1\r\n${head}\r\n`).join(''));
  let received = '';
  socket.on('data', (bytes: Buffer) => (received += bytes.toString()));
  await eventually(
    'all are answered',
    () => (received.match(/HTTP\/1\.1 /g) ?? []).length === paths.length && received.trimEnd().endsWith('}'),
  );
  socket.destroy();
  const order = [...received.matchAll(/"key":"(\w+)"/g)].map(([, key]) => key);
  expect(order).toEqual(['p1', 'absent', 'p2', 'p1', 'p3', 'p2']);
});

test.each(['close', 'Close'])('a connection that the caller wants closed is closed: %s', async (connection) => {
  await client.put(entryPath('closing'), { value: 1 });
  const answer = await client.get('/v1/cache/closing', { headers: { connection } });
  expect([answer.status, answer.headers['connection']]).toEqual([200, 'close']);
});

test('a caller who may not read is refused, also where L1 has the entry', async () => {
  await client.put(entryPath('guarded'), { value: 1 });
  const { api_key: writer } = await mintKey(client, { permissions: ['cache:write'] });
  const { api_key: elsewhere } = await mintKey(service.client, { key_prefixes: ['other:'] });
  for (let i = 0; i < 3; i++) {
    const asWriter = await client.get('/v1/cache/guarded', { headers: { 'x-api-key': writer } });
    expectError(asWriter, 403, 'INSUFFICIENT_PERMISSIONS');
    const outside = await client.get('/v1/cache/guarded', { headers: { 'x-api-key': elsewhere } });
    expectError(outside, 403, 'INSUFFICIENT_PERMISSIONS');
    expectError(await client.with({}).get('/v1/cache/guarded'), 401, 'AUTHENTICATION_FAILED');
  }
});

test('a limit counts plain reads as it counts all others', async () => {
  await client.put(entryPath('limited'), { value: 1 });
  const { api_key: key } = await mintKey(client, { rate_limit: { requests_per_minute: 1, burst_size: 4 } });
  const read = () => client.get('/v1/cache/limited', { headers: { 'x-api-key': key } });
  const remaining = [await read(), await read(), await read(), await read()].map(
    ({ headers }) => headers['x-ratelimit-remaining'],
  );
  expect(remaining).toEqual(['3', '2', '1', '0']);
  expectError(await read(), 429, 'RATE_LIMIT_EXCEEDED');
});
