import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { type Answer, Client, entryPath } from './support/client.js';
import { expectError, expectWritten } from './support/expectations.js';
import { LAYERS, type Service, startService, STORES } from './support/service.js';

/** What the origin is asked for; tests say what it answers. */
type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

let origin: Server;
let handler: Handler;
let asked: string[];
let service: Service;
let client: Client;
let sourcesConfig: string;

beforeAll(async () => {
  origin = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      asked.push(`${request.method ?? ''} ${request.url ?? ''}${body && ` ${body}`}`);
      handler(request, response, body);
    });
  });
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  const url = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
  const source = (name: string, more: object = {}, http: object = {}) => ({
    name,
    prefix: `${name}:`,
    type: 'http',
    hard_timeout_ms: 1500,
    soft_timeout_ms: 100,
    retries: { max: 0 },
    breaker: { failures: 1000 },
    ...more,
    http: { url: `${url}/${name}/{suffix}`, ...http },
  });
  sourcesConfig = JSON.stringify({
    allowed_hosts: ['127.0.0.1'],
    definitions: [
      source('book', { negative_ttl: 60 }),
      source('brief', { ttl: 1, negative_ttl: 1 }),
      source('swr', { ttl: 1, stale_while_revalidate: 60 }),
      source('sie', { ttl: 1, stale_if_error: 60 }),
      source('stock', {}, { store: {}, remove: {} }),
      source('text', {}, { content_type: 'text/html' }),
      source('private', {}, { url: 'http://169.254.169.254/latest/{suffix}' }),
      source('slow', { hard_timeout_ms: 200 }),
    ],
  });
  service = await startService({ CACHE__SOURCES: sourcesConfig });
  client = service.client;
});
afterAll(async () => {
  await service.stop();
  origin.closeAllConnections();
  origin.close();
});
beforeEach(() => {
  asked = [];
  handler = json({ title: 'A book' });
});

const json =
  (value: unknown, headers: Record<string, string> = {}): Handler =>
  (_request, response) =>
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
const status =
  (code: number): Handler =>
  (_request, response) =>
    response.writeHead(code).end();
const seen = ({ status: code, headers, json: body }: Answer) => ({
  status: code,
  from: headers['x-cache-layer'],
  as: headers['x-cache-status'],
  value: (body as { value?: unknown } | undefined)?.value,
});
const get = async (key: string, headers: Record<string, string> = {}) =>
  seen(await client.get(entryPath(key), { headers }));

describe('reading through', () => {
  test('fetches what is missing from the source, once, and has it then', async () => {
    expect(await get('book:1')).toEqual({ status: 200, from: 'SOURCE', as: 'MISS', value: { title: 'A book' } });
    expect(await get('book:1')).toEqual({ status: 200, from: 'L1', as: 'HIT', value: { title: 'A book' } });
    expect(asked).toEqual(['GET /book/1']);
    expect(await get('other:1')).toMatchObject({ status: 404 });
  });

  test('asks once for a thousand that miss together on three processes', async () => {
    const others = await Promise.all(
      STORES !== 'embedded'
        ? [1, 2].map(() => startApi({ env: { LOG_LEVEL: 'warn', ...service.stores, CACHE__SOURCES: sourcesConfig } }))
        : [],
    );
    const clients = [client, ...others.map((api) => new Client(api.url, { 'x-api-key': service.api.apiKey }))];
    try {
      await client.put(entryPath('settled'), { value: 1 });
      for (const each of clients) {
        await eventually('the node has heard of the others', async () => {
          return (await each.get(entryPath('settled'))).headers['x-cache-layer'] === 'L1';
        });
      }
      let release: () => void = () => undefined;
      const held = new Promise<void>((resolve) => (release = resolve));
      handler = (request, response, body) => void held.then(() => json({ cold: true })(request, response, body));
      const answers = Array.from({ length: 999 }, (_, index) =>
        clients[index % clients.length]!.get(entryPath('book:cold')),
      );
      await eventually('the source is asked', () => asked.length > 0);
      release();
      const all = (await Promise.all(answers)).map(seen);
      expect(new Set(all.map(({ status: code, value }) => JSON.stringify([code, value])))).toEqual(
        new Set(['[200,{"cold":true}]']),
      );
      expect(asked).toEqual(['GET /book/cold']);
    } finally {
      for (const each of clients.slice(1)) each.close();
      await Promise.all(others.map((api) => api.stop()));
    }
  });

  test('keeps an entry for as long as the source says', async () => {
    handler = json(1, { 'cache-control': 'max-age=100', age: '40' });
    const { headers } = await client.get(entryPath('book:lives'));
    expect(headers['cache-status']).toMatch(/^cache-system; fwd=miss; stored; ttl=60;/);
    handler = json(2, { 'cache-control': 'no-store' });
    expect((await get('book:not kept')).value).toBe(2);
    expect(await get('book:not kept')).toMatchObject({ from: 'SOURCE' });
    expect(asked).toEqual(['GET /book/lives', 'GET /book/not%20kept', 'GET /book/not%20kept']);
  });

  test('remembers that the source has no such key, until somebody writes it', async () => {
    handler = status(404);
    expect(await get('book:none')).toMatchObject({ status: 404, as: 'MISS' });
    expect(await get('book:none')).toMatchObject({ status: 404 });
    expect(asked).toEqual(['GET /book/none']);
    await client.put(entryPath('book:none'), { value: 'written' });
    expect((await get('book:none')).value).toBe('written');
    await client.delete(entryPath('book:none'));
    handler = json('there by now');
    expect((await get('book:none')).value).toBe('there by now');
    handler = status(404);
    expect(await get('brief:none')).toMatchObject({ status: 404 });
    handler = json('later');
    await eventually('it is asked again', async () => (await get('brief:none')).value === 'later');
  });

  test('answers several keys at once, each from where it is', async () => {
    handler = (request, response, body) =>
      (request.url === '/book/b2' ? status(404) : json(request.url))(request, response, body);
    const answer = await client.post('/v1/cache/bulk/get', { keys: ['book:b1', 'book:b2', 'nowhere'] });
    expect(answer.json).toMatchObject({
      results: {
        'book:b1': { status: 'hit', value: '/book/b1', cache_layer: 'SOURCE' },
        'book:b2': { status: 'miss' },
        nowhere: { status: 'miss' },
      },
    });
  });

  test('keeps what is no structured data as it came', async () => {
    handler = (_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>ü</h1>');
    const value = { $binary: Buffer.from('<h1>ü</h1>').toString('base64') };
    expect((await get('text:1')).value).toEqual(value);
    // Not at once where this node has just missed what others did: then nothing is kept that was on its way.
    await eventually('it is kept', async () => (await get('text:1')).from === 'L1');
    expect((await get('text:1')).value).toEqual(value);
  });

  test('keeps nothing that was read before the key was invalidated, by whichever way', async () => {
    const ways: [string, (key: string) => object][] = [
      ['key', (key) => ({ keys: [key] })],
      ['prefix', (key) => ({ prefix: key })],
      ['pattern', (key) => ({ pattern: `${key}*` })],
    ];
    for (const [way, body] of ways) {
      const key = `book:race ${way}`;
      let release: () => void = () => undefined;
      const held = new Promise<void>((resolve) => (release = resolve));
      const first = json('old');
      let calls = 0;
      handler = (...exchange) => void (++calls === 1 ? held.then(() => first(...exchange)) : json('new')(...exchange));
      const reading = get(key);
      await eventually('the source is asked', () => calls === 1);
      await client.post('/v1/cache/invalidate', body(key));
      release();
      await reading;
      expect([way, (await get(key)).value]).toEqual([way, 'new']);
    }
  });

  test('only-if-cached asks no source', async () => {
    expect(await get('book:uncached', { 'cache-control': 'only-if-cached' })).toMatchObject({ status: 404 });
    expect(asked).toEqual([]);
  });

  test('says what is wrong with the source, and keeps nothing of it', async () => {
    handler = status(503);
    const details = expectError(await client.get(entryPath('book:broken')), 502, 'CACHE_UNAVAILABLE');
    expect(details).toEqual({ key: 'book:broken', source: 'book' });
    handler = (_request, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"not": json}');
    expect(expectError(await client.get(entryPath('book:broken')), 502, 'CACHE_UNAVAILABLE')).toMatchObject({
      reason: 'content_type',
    });
    handler = () => undefined;
    expect(expectError(await client.get(entryPath('slow:1')), 504, 'CACHE_TIMEOUT')).toEqual({
      key: 'slow:1',
      source: 'slow',
      timeout_ms: 200,
    });
    expect(expectError(await client.get(entryPath('private:meta-data')), 502, 'CACHE_UNAVAILABLE')).toMatchObject({
      reason: 'forbidden_address',
    });
    handler = json('back');
    expect((await get('book:broken')).value).toBe('back');
  });
});

describe('a stale entry', () => {
  const expired = async (key: string) => {
    handler = json('old', { etag: '"v1"' });
    expect((await get(key)).value).toBe('old');
    await eventually(
      'it has expired',
      async () => (await get(key, { 'cache-control': 'only-if-cached' })).status === 404,
    );
    asked = [];
  };

  test('is served while it is fetched anew', async () => {
    await expired('swr:1');
    handler = json('new');
    expect(await get('swr:1')).toMatchObject({ status: 200, as: 'STALE', value: 'old' });
    await eventually('the new one is there', async () => (await get('swr:1')).value === 'new');
    expect(asked).toEqual(['GET /swr/1']);
  });

  test('is served where the source fails or is slow, and not where it says that there is none', async () => {
    await expired('sie:1');
    handler = status(500);
    expect(await get('sie:1')).toMatchObject({ status: 200, as: 'STALE', value: 'old' });
    handler = () => undefined;
    expect(await get('sie:1')).toMatchObject({ status: 200, as: 'STALE', value: 'old' });
    await eventually('that call has ended', async () => {
      handler = json('new');
      return (await get('sie:1')).value === 'new';
    });
    await expired('sie:2');
    handler = status(404);
    expect(await get('sie:2')).toMatchObject({ status: 404 });
  });

  test('is asked for by its ETag, and kept where that is still the one', async () => {
    await expired('sie:etag');
    let tag: string | undefined;
    handler = (request, response) => {
      tag = request.headers['if-none-match'];
      response.writeHead(304).end();
    };
    expect(await get('sie:etag')).toMatchObject({ status: 200, from: 'SOURCE', value: 'old' });
    expect(tag).toBe('"v1"');
    expect(await get('sie:etag')).toMatchObject({ from: 'L1', as: 'HIT', value: 'old' });
  });

  test('that is fetched anew keeps its tags, and goes with them where one is invalidated meanwhile', async () => {
    const options = { ttl: 1, stale_while_revalidate: 60, tags: ['renewed'] };
    await client.put(entryPath('swr:tagged'), { value: 'old', options });
    const expire = () =>
      eventually('it has expired', async () => {
        return (await get('swr:tagged', { 'cache-control': 'only-if-cached' })).status === 404;
      });
    await expire();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    asked = [];
    handler = (...exchange) => void held.then(() => json('read before')(...exchange));
    expect(await get('swr:tagged')).toMatchObject({ as: 'STALE', value: 'old' });
    await eventually('the source is asked', () => asked.length === 1);
    await client.post('/v1/cache/invalidate', { tags: ['renewed'] });
    release();
    handler = json('read after');
    await eventually('what was read before is gone', async () => (await get('swr:tagged')).value === 'read after');
    expect((await get('swr:tagged')).value).toBe('read after');
  });

  test('gives way to what the source does not want to be kept', async () => {
    await expired('swr:no-store');
    handler = json('new', { 'cache-control': 'no-store' });
    await eventually('the old one is gone', async () => (await get('swr:no-store')).value === 'new');
    expect(await get('swr:no-store')).toMatchObject({ from: 'SOURCE', value: 'new' });
  });

  test('is as good as gone for everything else, but for who takes it nevertheless', async () => {
    await client.put(entryPath('plain'), { value: 1, options: { ttl: 1, stale_if_error: 60, tags: ['t'] } });
    await eventually('it has expired', async () => (await get('plain')).status === 404);
    expect(await get('plain', { 'cache-control': 'max-stale=50' })).toMatchObject({ as: 'STALE', value: 1 });
    expect(await get('plain', { 'cache-control': 'max-stale' })).toMatchObject({ as: 'STALE', value: 1 });
    expect((await client.get('/v1/cache?prefix=plain')).json).toMatchObject({ keys: [] });
    expect((await client.post(entryPath('plain'), { value: 2 })).status).toBe(404);
    expect((await client.patch(entryPath('plain'), { value: 2 })).status).toBe(404);
    expectWritten(await client.put(entryPath('plain'), { value: 3 }), 'created');
  });
});

describe('writing through', () => {
  test('brings a value to the source before it is in any layer', async () => {
    handler = status(204);
    const { cache_layers: layers } = expectWritten(
      await client.put(entryPath('stock:1'), { value: { n: 5 } }),
      'created',
    );
    expect(layers).toEqual([...LAYERS, 'SOURCE']);
    expect(asked).toEqual(['PUT /stock/1 {"n":5}']);
    handler = status(422);
    expectError(await client.put(entryPath('stock:1'), { value: { n: 6 } }), 502, 'CACHE_UNAVAILABLE');
    expect(await get('stock:1')).toMatchObject({ from: 'L1', value: { n: 5 } });
    // Whether it has the value, nobody knows: it is asked.
    handler = status(500);
    expectError(await client.put(entryPath('stock:1'), { value: { n: 6 } }), 502, 'CACHE_UNAVAILABLE');
    handler = json({ n: 6 });
    expect(await get('stock:1')).toMatchObject({ from: 'SOURCE', value: { n: 6 } });
  });

  test('patches and counts up what the source has', async () => {
    handler = json({ n: 1, kept: true });
    await client.patch(entryPath('stock:2'), { value: { n: 2 } });
    expect(asked).toEqual(['GET /stock/2', 'PUT /stock/2 {"n":2,"kept":true}']);
    handler = json(41);
    asked = [];
    expect((await client.post(entryPath('stock:n', '/increment'), {})).json).toMatchObject({ value: 42 });
    expect(asked).toEqual(['GET /stock/n', 'PUT /stock/n 42']);
  });

  test('around the layers leaves the value in the source alone', async () => {
    handler = status(204);
    await client.put(entryPath('stock:3'), { value: 1 });
    const answer = await client.put(`${entryPath('stock:3')}?strategy=write-around`, { value: 2 });
    expect(answer.json).toMatchObject({ cache_layers: ['SOURCE'] });
    handler = json(2);
    expect(await get('stock:3')).toMatchObject({ from: 'SOURCE', value: 2 });
    expect(asked).toEqual(['PUT /stock/3 1', 'PUT /stock/3 2', 'GET /stock/3']);
  });

  test('removes from the source and from the layers', async () => {
    handler = status(204);
    await client.put(entryPath('stock:4'), { value: 1 });
    const answer = await client.delete(entryPath('stock:4'));
    expect(answer).toMatchObject({ status: 204, headers: { 'x-deleted-from': [...LAYERS, 'SOURCE'].join() } });
    expect(asked.at(-1)).toBe('DELETE /stock/4');
  });

  test('changes nothing in the source where a condition does not hold, also for what only the source has', async () => {
    handler = status(204);
    await client.put(entryPath('stock:5'), { value: 1 });
    asked = [];
    const ifNone = { headers: { 'if-none-match': '*' } };
    expectError(await client.put(entryPath('stock:5'), { value: 2 }, ifNone), 412, 'PRECONDITION_FAILED');
    const other = { headers: { 'if-match': '"1"' } };
    expectError(await client.delete(entryPath('stock:5'), other), 412, 'PRECONDITION_FAILED');
    expect(asked).toEqual([]);
    handler = json('there');
    expectError(await client.put(entryPath('stock:6'), { value: 2 }, ifNone), 412, 'PRECONDITION_FAILED');
    expect(asked).toEqual(['GET /stock/6']);
  });

  test('makes a new value of what the source has now, kept or not, stale or remembered as missing', async () => {
    const count = async (key: string) => (await client.post(entryPath(key, '/increment'), {})).json;
    handler = json(41, { 'cache-control': 'no-store' });
    expect(await count('stock:kept by nobody')).toMatchObject({ value: 42 });
    expect(asked.at(-1)).toBe('PUT /stock/kept%20by%20nobody 42');
    handler = json({ a: 1 }, { 'cache-control': 'no-store' });
    expect((await client.patch(entryPath('stock:patched'), { value: { b: 2 } })).status).toBeLessThan(300);
    expect(asked.at(-1)).toBe('PUT /stock/patched {"a":1,"b":2}');
    handler = status(404);
    expect((await get('stock:missing')).status).toBe(404);
    handler = json(100);
    expect(await count('stock:missing')).toMatchObject({ value: 101 });
    handler = status(204);
    await client.put(entryPath('stock:stale'), { value: 1, options: { ttl: 1, stale_while_revalidate: 60 } });
    await eventually('it has expired', async () => {
      return (await get('stock:stale', { 'cache-control': 'only-if-cached' })).status === 404;
    });
    handler = json(7);
    expect(await count('stock:stale')).toMatchObject({ value: 8 });
  });

  test('of one key by many is seen in the same order by the source and the layers', async () => {
    let atSource = '';
    handler = (_request, response, body) => {
      setTimeout(() => {
        atSource = body;
        response.writeHead(204).end();
      }, Math.random() * 5);
    };
    const writes = Array.from({ length: 40 }, (_, index) => client.put(entryPath('stock:hot'), { value: index }));
    for (const answer of await Promise.all(writes)) expect(answer.status).toBeLessThan(300);
    expect(JSON.stringify((await get('stock:hot')).value)).toBe(atSource);
  });
});
