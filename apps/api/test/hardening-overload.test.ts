import { once } from 'node:events';
import type { Socket } from 'node:net';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type Answer, entryPath } from './support/client.js';
import { expectError } from './support/expectations.js';
import { type HttpOrigin, startHttpOrigin } from './support/http-origin.js';
import { exchange, openSocket, request } from './support/raw-http.js';
import { type Service, startService } from './support/service.js';

let service: Service;
let origin: HttpOrigin | undefined;
afterEach(async () => {
  await service.stop();
  await origin?.stop();
  origin = undefined;
});

/** Refused before anything was done, and told when to come again. */
function expectRefused(answer: Answer): void {
  const { retry_after: waitSeconds } = expectError(answer, 503, 'SERVICE_OVERLOADED');
  expect([1, 2, 3]).toContain(waitSeconds);
  expect(answer.headers['retry-after']).toBe(String(waitSeconds));
}

/** Keys of a source that never answers. */
async function startBeforeSilence(env: Readonly<Record<string, string>>): Promise<void> {
  origin = await startHttpOrigin();
  origin.answer(...Array.from({ length: 10 }, () => ({ never: 'headers' as const })));
  const source = { name: 'mute', prefix: 'mute:', type: 'http', hard_timeout_ms: 60_000, retries: { max: 0 } };
  const definition = { ...source, http: { url: `${origin.url}/{suffix}` } };
  service = await startService({
    CACHE__SOURCES: JSON.stringify({ allowed_hosts: ['127.0.0.1'], definitions: [definition] }),
    ...env,
  });
}

test('beyond what may be in flight requests are refused at once; memory, operators and health are still there', async () => {
  await startBeforeSilence({ SERVER__OVERLOAD__MAX_IN_FLIGHT: '2' });
  const { client } = service;
  await client.put(entryPath('known'), { value: 1 });
  await client.get(entryPath('known'));
  // On connections of their own, to be cut later.
  const get = (key: string) => `GET ${entryPath(key)} HTTP/1.1`;
  const waiting = ['mute:1', 'mute:2'].map((key) => {
    const socket = openSocket(service);
    socket.write(request(get(key), 'Host: x', `X-API-Key: ${service.api.apiKey}`));
    return socket;
  });
  await origin?.received(2);

  for (let round = 0; round < 3; round++) {
    expectRefused(await client.get(entryPath('other')));
    expectRefused(await client.put(entryPath('other'), { value: 1 }));
    expectRefused(await client.with({}).get('/v1/nowhere'));
  }
  expect((await client.send('HEAD', entryPath('other'))).status).toBe(503);
  expect((await client.get(entryPath('known'))).json).toMatchObject({ value: 1 });
  for (const path of ['/health/live', '/health/ready', '/v1/monitor/health', '/v1/admin/nodes']) {
    expect({ path, status: (await client.get(path)).status }).toEqual({ path, status: 200 });
  }

  for (const socket of waiting) socket.destroy();
  await eventually('the places are free', async () => (await client.get(entryPath('other'))).status === 404);
  expect((await client.put(entryPath('other'), { value: 1 })).status).toBe(201);
});

test('a crowd that keeps the event loop longer than it may is refused in part; health is answered, and all is well after', async () => {
  service = await startService({ SERVER__OVERLOAD__MAX_EVENT_LOOP_DELAY_MS: '5' });
  const { client, api } = service;
  const keys = Array.from({ length: 500 }, (_, i) => `k${i}`);
  await client.post('/v1/cache/bulk/set', { entries: keys.map((key) => ({ key, value: key })) });
  const body = JSON.stringify({ keys });
  const ask = request(
    'POST /v1/cache/bulk/get HTTP/1.1',
    'Host: x',
    `X-API-Key: ${api.apiKey}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    'Connection: close',
  );
  const probe = request('GET /health/live HTTP/1.1', 'Host: x', 'Connection: close');
  const crowd = await Promise.all(Array.from({ length: 200 }, connected));
  const watchers = await Promise.all(Array.from({ length: 5 }, connected));
  // All of it waits for the process when that goes on.
  api.process.kill('SIGSTOP');
  const stoppedAt = performance.now();
  const answers = crowd.map((socket) => exchange(service, ask + body, socket));
  const signs = watchers.map((socket) => exchange(service, probe, socket));
  await eventually('the event loop is late', () => performance.now() - stoppedAt > 500);
  api.process.kill('SIGCONT');

  const statuses = (await Promise.all(answers)).map((answer) => answer.slice(9, 12));
  expect(new Set(statuses)).toEqual(new Set(['200', '503']));
  for (const answer of await Promise.all(signs)) expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  for (const answer of (await Promise.all(answers)).filter((each) => each.startsWith('HTTP/1.1 503'))) {
    expect(answer).toMatch(/^Retry-After: [123]\r$/m);
    expect(answer).toMatch(/^X-Request-Id: \S+\r$/m);
    expect(answer).toContain('"code":"SERVICE_OVERLOADED"');
  }
  expect((await client.post('/v1/cache/bulk/get', { keys })).status).toBe(200);

  /** A connection that the server has taken. */
  async function connected(): Promise<Socket> {
    const socket = openSocket(service);
    socket.write(request('GET /health/live HTTP/1.1', 'Host: x'));
    await once(socket, 'data');
    return socket;
  }
});

test('bodies that are held up take no more memory than they may, and keep out nothing else', async () => {
  service = await startService({ SERVER__OVERLOAD__MAX_BODY_MB: '1', SERVER__OVERLOAD__MAX_IN_FLIGHT: '4' });
  const { client, api } = service;
  const part = Buffer.alloc(150_000, 'x');
  const head = request(
    'PUT /v1/cache/slow HTTP/1.1',
    'Host: x',
    `X-API-Key: ${api.apiKey}`,
    'Content-Type: application/json',
    'Content-Length: 1000000',
  );
  const stalled: Socket[] = [];
  await eventually('bodies are refused', async () => {
    if (stalled.length < 12) {
      const socket = openSocket(service);
      stalled.push(socket);
      await new Promise((resolve) => socket.write(Buffer.concat([Buffer.from(head), part]), resolve));
    }
    const answer = await client.put(entryPath('other'), { value: 1 });
    if (answer.status === 503) expectRefused(answer);
    return answer.status === 503;
  });
  expectError(await client.get(entryPath('absent')), 404, 'CACHE_KEY_NOT_FOUND');
  for (const path of ['/health/live', '/health/ready', '/v1/admin/nodes']) {
    expect({ path, status: (await client.get(path)).status }).toEqual({ path, status: 200 });
  }
  for (const path of ['/health/live', '/v1/admin/write-behind/discard', '/v1/config']) {
    expectRefused(await client.post(path, { records: [] }));
  }
  for (const socket of stalled) socket.destroy();
  await eventually('bodies are taken', async () => (await client.put(entryPath('other'), { value: 2 })).status < 300);
});

/** A connection that is about to send a body, which the server has agreed to. */
async function admitted(...headers: string[]): Promise<Socket> {
  const socket = openSocket(service);
  const put = ['Host: x', `X-API-Key: ${service.api.apiKey}`, 'Content-Type: application/json'];
  socket.write(request('PUT /v1/cache/slow HTTP/1.1', ...put, 'Expect: 100-continue', ...headers));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 100 /);
  return socket;
}

test.each([
  ['of a known length', 'Content-Length: 1000000', ''],
  ['in chunks', 'Transfer-Encoding: chunked', 'f0000\r\n'],
])(
  'bodies %s that were let in while there was room are cut off when they take too much',
  async (_name, header, frame) => {
    service = await startService({ SERVER__OVERLOAD__MAX_BODY_MB: '1' });
    const crowd = await Promise.all(Array.from({ length: 20 }, () => admitted(header)));
    const piece = Buffer.concat([Buffer.from(frame), Buffer.alloc(900_000, 'x')]);
    for (const socket of crowd) socket.write(piece);
    await eventually('most are cut off', () => crowd.filter(({ destroyed }) => !destroyed).length <= 1);
    const { client } = service;
    await eventually('bodies are taken', async () => (await client.put(entryPath('other'), { value: 1 })).status < 300);
    expect((await client.get(entryPath('slow'))).status).toBe(404);
    for (const socket of crowd) socket.destroy();
  },
);

test('no more bodies are let in than a few times the requests in flight, and heads alone take no memory', async () => {
  service = await startService({ SERVER__OVERLOAD__MAX_BODY_MB: '1', SERVER__OVERLOAD__MAX_IN_FLIGHT: '2' });
  const { client } = service;
  const crowd = await Promise.all(Array.from({ length: 7 }, () => admitted('Content-Length: 1000000')));
  expect((await client.put(entryPath('other'), { value: 1 })).status).toBe(201);
  crowd.push(await admitted('Content-Length: 1000000'));
  expectRefused(await client.put(entryPath('other'), { value: 1 }));
  expect((await client.get(entryPath('absent'))).status).toBe(404);
  for (const socket of crowd) socket.destroy();
  await eventually('bodies are taken', async () => (await client.put(entryPath('other'), { value: 2 })).status < 300);
});

test('requests that were pipelined on a connection that died keep no place of work', async () => {
  await startBeforeSilence({ SERVER__OVERLOAD__MAX_IN_FLIGHT: '10' });
  const { client, api } = service;
  const socket = openSocket(service);
  const get = (key: string) => request(`GET ${entryPath(key)} HTTP/1.1`, 'Host: x', `X-API-Key: ${api.apiKey}`);
  socket.write(Array.from({ length: 10 }, (_, i) => get(`mute:${i}`)).join(''));
  await eventually('the places are taken', async () => (await client.get(entryPath('absent'))).status === 503);
  socket.destroy();
  await eventually('the places are free', async () => (await client.get(entryPath('absent'))).status === 404);
  expect((await client.put(entryPath('other'), { value: 1 })).status).toBe(201);
});

test('streams of events, and requests whose body has not come, take no place of work', async () => {
  service = await startService({ SERVER__OVERLOAD__MAX_IN_FLIGHT: '1' });
  const { api, client } = service;
  const held = [
    request('GET /v1/cache/events HTTP/1.1', 'Host: x', `X-API-Key: ${api.apiKey}`),
    request('PUT /v1/cache/k HTTP/1.1', 'Host: x', `X-API-Key: ${api.apiKey}`, 'Content-Length: 10'),
    request('PUT /v1/cache/k HTTP/1.1', 'Host: x', `X-API-Key: ${api.apiKey}`, 'Transfer-Encoding: chunked'),
  ].map((text) => {
    const socket = openSocket(service);
    socket.write(text);
    return socket;
  });
  await once(held[0]!, 'data');
  for (let round = 0; round < 5; round++) expect((await client.get(entryPath('absent'))).status).toBe(404);
  for (const socket of held) socket.destroy();
});
