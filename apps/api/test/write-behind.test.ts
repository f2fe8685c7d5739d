import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeBehindRecordsSchema, writeBehindSchema } from '@cache-system/contracts';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { Client, entryPath } from './support/client.js';
import { expectError, expectExactly, expectWritten } from './support/expectations.js';
import { type Service, startService } from './support/service.js';

interface Call {
  readonly method: string;
  readonly key: string;
  readonly body: string;
  readonly turn: number;
}

/** A source that takes down all that it is asked, and has what it was last told. */
class RecordingSource {
  calls: Call[] = [];
  readonly values = new Map<string, string>();
  /** What it answers to writes with. */
  status = 204;
  private held: (() => void)[] | undefined;
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      void (async () => {
        let body = '';
        for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
        const { method = '', url = '', headers } = request;
        const key = decodeURIComponent(url.slice(1));
        if (method === 'GET') {
          const value = this.values.get(key);
          response.writeHead(value === undefined ? 404 : 200, { 'content-type': 'application/json' }).end(value);
          return;
        }
        if (this.held) await new Promise<void>((resolve) => this.held?.push(resolve));
        this.calls.push({ method, key, body, turn: Number(headers['x-cache-version']) });
        if (this.status < 300 && method === 'PUT') this.values.set(key, body);
        if (this.status < 300 && method === 'DELETE') this.values.delete(key);
        response.writeHead(this.status).end();
      })();
    });
  }

  async start(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Writes are answered only once `release` is called. */
  hold(): void {
    this.held ??= [];
  }

  /** Resolves once a write is held up. */
  isAsked(): Promise<void> {
    return eventually('the source is asked', () => (this.held?.length ?? 0) > 0);
  }

  release(): void {
    const waiting = this.held ?? [];
    this.held = undefined;
    for (const go of waiting) go();
  }

  of(key: string): Call[] {
    return this.calls.filter((call) => call.key === key);
  }

  async stop(): Promise<void> {
    this.release();
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

const BEHIND = '?strategy=write-behind';
let source: RecordingSource;
let sourceUrl: string;
let service: Service;
let client: Client;
let names = 0;
let key: string;

function settings(more: Record<string, string> = {}): Record<string, string> {
  const definition = {
    name: 'stock',
    prefix: 'stock:',
    type: 'http',
    hard_timeout_ms: 2000,
    retries: { max: 0 },
    breaker: { failures: 1000, open_ms: 100 },
    http: { url: `${sourceUrl}/{key}`, store: {}, remove: {} },
  };
  return {
    CACHE__SOURCES: JSON.stringify({ allowed_hosts: ['127.0.0.1'], definitions: [definition] }),
    CACHE__STRATEGIES__WRITE_BEHIND: JSON.stringify({ max_attempts: 3, backoff_ms: 10, max_backoff_ms: 20 }),
    ...more,
  };
}

beforeAll(async () => {
  source = new RecordingSource();
  sourceUrl = await source.start();
  service = await startService(settings());
  client = service.client;
});
afterAll(async () => {
  source.release();
  await service.stop();
  await source.stop();
});
beforeEach(() => {
  source.release();
  source.status = 204;
  source.calls = [];
  key = `stock:${++names}`;
});

const put = (value: unknown, query = BEHIND, by = client, name = key) =>
  by.put(`${entryPath(name)}${query}`, { value });
const valueOf = async (by = client, name = key) => (await by.get(entryPath(name))).json as { value: unknown };
const figures = async (by = client) => expectExactly(writeBehindSchema, (await by.get('/v1/admin/write-behind')).json);
const records = async (state: string, by = client) =>
  expectExactly(writeBehindRecordsSchema, (await by.get(`/v1/admin/write-behind/records?state=${state}`)).json).records;
const isDrained = async (by = client) => (await figures(by)).depth === 0;
const drained = (by = client) => eventually('the source has all there is', () => isDrained(by), 60_000);

describe('a write with write-behind', () => {
  test('is answered before the source has it, is read at once, and reaches the source', async () => {
    source.hold();
    const written = expectWritten(await put({ count: 1 }), 'created');
    expect(written.cache_layers).not.toContain('SOURCE');
    expect(await valueOf()).toMatchObject({ value: { count: 1 } });
    expect(source.calls).toEqual([]);
    const waiting = await figures();
    expect(waiting).toMatchObject({ depth: 1, dead_letters: 0 });
    expect(waiting.oldest_age_seconds).toBeGreaterThanOrEqual(0);
    expect(await records('waiting')).toMatchObject([{ namespace: 'default', key, state: 'waiting', attempts: 0 }]);
    source.release();
    await drained();
    expect(source.of(key)).toMatchObject([{ method: 'PUT', body: '{"count":1}' }]);
    expect(await figures()).toMatchObject({ depth: 0, oldest_age_seconds: null });
  });

  test('is followed by the newest alone of those that came while the source took its time', async () => {
    source.hold();
    for (let count = 1; count <= 20; count++) await put(count);
    source.release();
    await drained();
    const bodies = source.of(key).map(({ body }) => Number(body));
    expect(bodies.at(-1)).toBe(20);
    expect(bodies.length).toBeLessThanOrEqual(2);
  });

  test.each([
    ['was invalidated', () => client.post('/v1/cache/invalidate', { keys: [key] })],
    ['has expired', () => client.post(`${entryPath(key)}/touch`, { ttl: 1 })],
  ])('is what is read also where the entry %s before the source has it', async (_, end) => {
    source.values.set(key, '"old"');
    source.hold();
    await put('new');
    expect((await end()).status).toBe(200);
    const asked = { headers: { 'cache-control': 'only-if-cached' } };
    await eventually('it is gone', async () => (await client.get(entryPath(key), asked)).status === 404);
    const { json } = await client.get(`${entryPath(key)}?explain=true`);
    expect(json).toMatchObject({
      value: 'new',
      explain: {
        source: { name: 'stock', outcome: 'not_asked', reason: expect.stringMatching(/is behind/) as string },
      },
    });
    source.release();
    await drained();
    expect(source.values.get(key)).toBe('"new"');
  });

  test('is not brought there any more once the key is deleted', async () => {
    source.hold();
    await put(1);
    await put(2);
    const deleted = client.delete(entryPath(key));
    source.release();
    expect((await deleted).status).toBe(204);
    await drained();
    expect(source.of(key).at(-1)).toMatchObject({ method: 'DELETE' });
    expect((await client.get(entryPath(key))).status).toBe(404);
  });

  test('is settled by a write through that comes after it', async () => {
    source.hold();
    await put('behind');
    const through = put('through', '?strategy=write-through');
    source.release();
    expectWritten(await through, 'updated');
    await drained();
    expect(source.values.get(key)).toBe('"through"');
    expect(source.of(key).at(-1)).toMatchObject({ body: '"through"' });
    const turns = source.of(key).map(({ turn }) => turn);
    expect(turns).toEqual([...new Set(turns)].sort((one, other) => one - other));
  });

  test('is not undone by a write through that was under way', async () => {
    await put({ a: 0 }, '');
    source.hold();
    const patched = client.patch(entryPath(key), { value: { patched: true } });
    await source.isAsked();
    expectWritten(await put({ a: 1 }), 'updated');
    source.release();
    expect((await patched).status).toBe(200);
    await drained();
    // The patch was made of what was written behind, or came before it.
    expect(['{"a":1,"patched":true}', '{"a":1}']).toContain(source.values.get(key));
    expect(JSON.stringify((await valueOf()).value)).toBe(source.values.get(key));

    source.hold();
    const through = put('through', '');
    await source.isAsked();
    expectWritten(await put('behind'), 'updated');
    source.release();
    expectWritten(await through, 'updated');
    await drained();
    expect(source.values.get(key)).toBe('"behind"');
    expect(await valueOf()).toMatchObject({ value: 'behind' });
  });

  test('is not undone by a deletion that was under way', async () => {
    await put(1, '');
    source.hold();
    const deleted = client.delete(entryPath(key));
    await source.isAsked();
    expectWritten(await put(2), 'updated');
    source.release();
    expect((await deleted).status).toBe(204);
    await drained();
    expect(source.values.get(key)).toBe('2');
    expect(await valueOf()).toMatchObject({ value: 2 });
  });

  test('stays under its tags where it has to be read from the outbox', async () => {
    source.hold();
    const answer = await client.put(`${entryPath(key)}${BEHIND}`, {
      value: 'secret',
      options: { tags: ['of-it'] },
    });
    expectWritten(answer, 'created');
    await client.post('/v1/cache/invalidate', { keys: [key] });
    expect(await valueOf()).toMatchObject({ value: 'secret' });
    const { keys } = (await client.get('/v1/cache?tag=of-it')).json as { keys: { key: string }[] };
    expect(keys.map((each) => each.key)).toContain(key);
    source.release();
    await drained();
  });

  test('is measured by what there is, also at the source', async () => {
    source.values.set(key, '"there"');
    const place = `${entryPath(key)}${BEHIND}`;
    const absent = { headers: { 'if-none-match': '*' } };
    expectError(await client.put(place, { value: 1 }, absent), 412, 'PRECONDITION_FAILED');
    expectWritten(await client.post(place, { value: 2 }), 'updated');
    const { headers } = await client.get(entryPath(key));
    const held = { headers: { 'if-match': String(headers['etag']) } };
    expectWritten(await client.put(place, { value: 3 }, held), 'updated');
    expectError(await client.put(place, { value: 3 }, held), 412, 'PRECONDITION_FAILED');
    await drained();
    expect(source.values.get(key)).toBe('3');
  });

  test('goes for each entry of a bulk request', async () => {
    const entries = Array.from({ length: 200 }, (_, index) => ({ key: `${key}:${index}`, value: index }));
    const answer = await client.post('/v1/cache/bulk/set', { entries, options: { strategy: 'write-behind' } });
    expect(answer.json).toMatchObject({ summary: { created: 200, errors: 0 } });
    await drained();
    for (const { key: name, value } of entries) expect(source.values.get(name)).toBe(String(value));
  });
});

describe('a source that does not take a write', () => {
  test('is asked again, until the write is a dead letter that can be replayed', async () => {
    source.status = 503;
    await put('kept');
    await eventually('it is given up', async () => (await figures()).dead_letters === 1, 60_000);
    expect(source.of(key)).toHaveLength(3);
    const [letter] = await records('dead');
    expect(letter).toMatchObject({ namespace: 'default', key, state: 'dead', attempts: 3, next_attempt_at: null });
    expect(letter?.reason).toMatch(/stock/);
    expect(await valueOf()).toMatchObject({ value: 'kept' });
    source.status = 204;
    expect((await client.post('/v1/admin/write-behind/replay', { all: true })).json).toEqual({ replayed: 1 });
    await drained();
    expect(source.values.get(key)).toBe('"kept"');
    expect(await figures()).toMatchObject({ dead_letters: 0, node: { given_up: 1, replayed: 1 } });
    expect((await client.post('/v1/admin/write-behind/replay', { all: true })).json).toEqual({ replayed: 0 });
  });

  test('keeps what it has where the dead letter is discarded, and is asked by the next read', async () => {
    source.values.set(key, '"old"');
    source.status = 422;
    await put('refused');
    await eventually('it is given up', async () => (await figures()).dead_letters === 1, 60_000);
    const discard = { records: [{ namespace: 'default', key }] };
    expect((await client.post('/v1/admin/write-behind/discard', discard)).json).toEqual({ discarded: 1 });
    expect((await client.post('/v1/admin/write-behind/discard', discard)).json).toEqual({ discarded: 0 });
    expect(await valueOf()).toMatchObject({ value: 'old' });
    expect(await figures()).toMatchObject({ depth: 0, dead_letters: 0 });
  });

  test.each([
    ['/replay', {}],
    ['/replay', { all: false }],
    ['/replay', { records: [] }],
    ['/discard', { all: true }],
  ])('POST %s with %j is refused', async (ending, body) => {
    expect((await client.post(`/v1/admin/write-behind${ending}`, body)).status).toBe(400);
  });

  test('a cursor that no page came with is refused', async () => {
    expectError(await client.get('/v1/admin/write-behind/records?cursor=e30'), 400, 'INVALID_REQUEST');
  });
});

describe('with write-behind as the default', () => {
  let node: Service;

  beforeAll(async () => {
    node = await startService(settings({ CACHE__STRATEGIES__DEFAULT_STRATEGY: 'write-behind' }));
  });
  afterAll(() => node.stop());

  test('a value that the source cannot take is refused at once', async () => {
    const type = { headers: { 'content-type': 'image/png' } };
    for (const by of [node.client, client]) {
      const answer = await by.put(`/object/${encodeURIComponent(key)}`, Buffer.from([1, 2, 3]), type);
      expectError(answer, 400, 'INVALID_REQUEST');
      expectError(await by.get(entryPath(key)), 404, 'CACHE_KEY_NOT_FOUND');
    }
    expect(await isDrained(node.client)).toBe(true);
    expect(source.calls).toEqual([]);
  });

  test('patches and increments are made of what there is, and reach the source', async () => {
    source.values.set(key, '{"name":"a","sold":1}');
    expect((await node.client.patch(entryPath(key), { value: { sold: 2 } })).status).toBe(200);
    const counter = `${key}:count`;
    const add = () => node.client.post(`${entryPath(counter)}/increment`, { by: 2 });
    const sums = (await Promise.all(Array.from({ length: 25 }, add))).map(
      ({ json }) => (json as { value: number }).value,
    );
    expect(sums.sort((one, other) => one - other)).toEqual(Array.from({ length: 25 }, (_, index) => (index + 1) * 2));
    await drained(node.client);
    expect(source.values.get(key)).toBe('{"name":"a","sold":2}');
    expect(source.values.get(counter)).toBe('50');
  });
});

describe('two nodes, one of which is killed', () => {
  test('bring every write that was answered to the source, in order, at 500 writes a second', async () => {
    const folder = createTemporaryFolder('write-behind');
    const DATA_DIR = path.join(folder.path, 'data');
    const first = await startService(settings({ DATA_DIR }));
    // On the embedded stores there is one process at a time: the next one finds what the killed one has left.
    const isShared = Object.keys(first.stores).length > 0;
    const data: Record<string, string> = isShared ? first.stores : { DATA_DIR };
    const env = settings({ ...data, LOG_LEVEL: 'error', BOOTSTRAP_API_KEY: first.api.apiKey });
    let second = isShared ? await startApi({ env }) : undefined;
    const answered = new Map<string, number>();
    const names = Array.from({ length: 100 }, (_, index) => `${key}:${index}`);
    let isKilled = false;
    let count = 0;
    const writer = async (mine: readonly string[]) => {
      while (!isKilled) {
        for (const name of mine) {
          const value = ++count;
          try {
            const { status } = await put(value, BEHIND, first.client, name);
            if (status === 200 || status === 201) answered.set(name, value);
          } catch {
            return;
          }
          await sleep(Math.random() * 20);
        }
      }
    };
    try {
      const writers = Array.from({ length: 20 }, (_, index) => writer(names.slice(index * 5, index * 5 + 5)));
      await eventually('writes go on', () => count >= 2000, 60_000);
      await first.api.kill9();
      isKilled = true;
      await Promise.all(writers);
      second ??= await startApi({ env });
      const other = new Client(second.url, { 'x-api-key': first.api.apiKey });
      await eventually('the other node has brought the rest', () => isDrained(other), 120_000);
      other.close();
      for (const [name, value] of answered) {
        const bodies = source.of(name).map(({ body }) => Number(body));
        expect(bodies).toEqual([...bodies].sort((one, another) => one - another));
        // A write that was under way when the node was killed may have come after the last that was answered.
        expect(bodies.at(-1)).toBeGreaterThanOrEqual(value);
        const turns = source.of(name).map(({ turn }) => turn);
        expect(turns).toEqual([...turns].sort((one, another) => one - another));
      }
    } finally {
      await second?.stop();
      first.client.close();
      await first.api.kill9();
      folder.remove();
    }
  });

  test('a node that is stopped brings what it has taken before it ends', async () => {
    const node = await startService(settings());
    source.hold();
    for (let index = 0; index < 50; index++) await put(index, BEHIND, node.client, `${key}:${index}`);
    const stopped = node.stop();
    source.release();
    await stopped;
    for (let index = 0; index < 50; index++) expect(source.values.get(`${key}:${index}`)).toBe(String(index));
  });
});
