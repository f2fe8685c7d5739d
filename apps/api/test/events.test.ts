import { cacheEventSchema } from '@cache-system/contracts';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { Client, entryPath } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { EventReader } from './support/event-reader.js';
import { expectError, expectExactly, expectViolation } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { DEEPEST_LAYER, type Service, startService, STORES } from './support/service.js';

/** By how much clocks may differ without a gap where a reader goes on at another node. */
const OVERLAP_MS = 1000;
const SETTINGS = {
  CACHE__EVENTS__HEARTBEAT: '1',
  CACHE__EVENTS__MAX_STREAMS: '20',
  // Of copies of entries without a ttl of their own.
  ...(STORES === 'cluster' && { CACHE__LAYERS__L2__TTL_DEFAULT: '1' }),
};

let service: Service;
let second: Awaited<ReturnType<typeof startApi>> | undefined;
let admin: Client;
let client: Client;
/** Of another node than `client`; on the embedded stores there is only one. */
let other: Client;
const readers: EventReader[] = [];

beforeAll(async () => {
  service = await startService(SETTINGS);
  if (STORES === 'real') second = await startApi({ env: { LOG_LEVEL: 'warn', ...service.stores, ...SETTINGS } });
  client = service.client;
  other = second ? new Client(second.url, client.headers) : client;
  admin = await adminClient(service);
});
afterEach(() => {
  for (const reader of readers.splice(0)) reader.close();
});
afterAll(async () => {
  admin.close();
  other.close();
  await second?.stop();
  await service.stop();
});

async function open(by: Client, path?: string, lastId?: string): Promise<EventReader> {
  const reader = await EventReader.open(by, path, lastId);
  readers.push(reader);
  return reader;
}
const put = (key: string, options: object = {}) => client.put(entryPath(key), { value: 1, options });
const invalidate = (what: object) => client.post('/v1/cache/invalidate', what);
/** Everything that was changed before has been told once these are: in a cluster each server has some of them. */
async function toldBefore(reader: EventReader, marker: string, by = client): Promise<string[]> {
  const markers = Array.from({ length: STORES === 'cluster' ? 16 : 1 }, (_, index) => `${marker}${index}`);
  for (const each of markers) await by.put(entryPath(each), { value: 1 });
  const ends = markers.map((each) => `set ${each}`);
  await reader.hasTold(...ends);
  return reader.told.filter((each) => !ends.includes(each) && !each.startsWith('reset'));
}
/** Told each as often, and in the order that is promised: in a cluster that is the order of each key. */
function expectTold(told: readonly string[], expected: readonly string[]): void {
  // An invalidation is not of a key, but of all whose names begin so.
  const keyIn = (each: string) => (each.startsWith('invalidate') ? each : each.slice(each.indexOf(' ')));
  const byKey = (one: string, next: string) => (keyIn(one) === keyIn(next) ? 0 : keyIn(one) < keyIn(next) ? -1 : 1);
  if (STORES === 'cluster') expect([...told].sort(byKey)).toEqual([...expected].sort(byKey));
  else expect(told).toEqual(expected);
}
const keyOf = async (fields: object) => {
  const { api_key: key, key_id: id } = await mintKey(admin, fields);
  return { id, headers: { 'x-api-key': key } };
};

describe('a stream on another node', () => {
  test('tells of every way to write and to remove an entry, under its name', async () => {
    const reader = await open(other, '?prefix=w%3A');
    await put('w:put/ä b');
    await put('w:n');
    await client.patch(entryPath('w:n'), { value: 2, merge_strategy: 'replace' });
    await client.post(entryPath('w:n', '/increment'), { by: 1 });
    await client.post(entryPath('w:n', '/touch'), { ttl: 60 });
    await client.get(entryPath('w:n'));
    await client.post('/v1/cache/bulk/set', { entries: [{ key: 'w:bulk', value: 1 }] });
    await client.delete(entryPath('w:n'));
    await client.delete(entryPath('w:n'));
    await client.post('/v1/cache/bulk/delete', { keys: ['w:bulk'] });
    expectTold(await toldBefore(reader, 'w:end'), [
      'set w:put/ä b',
      'set w:n',
      'set w:n',
      'set w:n',
      'set w:bulk',
      'delete w:n',
      'delete w:bulk',
    ]);
    for (const { data } of reader.events) expectExactly(cacheEventSchema, data);
  });

  test('gives the version that was written, and no value', async () => {
    const reader = await open(other);
    const { headers } = await client.put(entryPath('versioned'), { value: 'secret' });
    await reader.hasTold('set versioned');
    const { data } = reader.events.find(({ data: { key } }) => key === 'versioned')!;
    expect(`"${data['version']}"`).toBe(headers['etag']);
    expect(JSON.stringify(reader.events)).not.toContain('secret');
  });

  test('tells of invalidations by tag, pattern and prefix', async () => {
    await put('i:tagged', { tags: ['shelf'] });
    await put('i:1');
    const reader = await open(other);
    await invalidate({ tags: ['shelf', 'nobody has it'] });
    await client.delete(`/v1/cache?pattern=${encodeURIComponent('i:?')}`);
    await invalidate({ prefix: 'i:' });
    await reader.hasTold('invalidate  shelf', 'invalidate i: i:?', 'delete i:1', 'invalidate i:');
    expect(reader.told.filter((each) => each.includes('nobody'))).toEqual([]);
  });

  test('tells once of an entry that ends with its ttl', async () => {
    const reader = await open(other, '?prefix=short');
    await put('short', { ttl: 1 });
    await reader.hasTold('expire short');
    expectTold(await toldBefore(reader, 'short:end'), ['set short', 'expire short']);
  });

  test('tells nothing of a copy that ends before its entry', async () => {
    const reader = await open(other, '?prefix=copied');
    await put('copied');
    await eventually('no layer above the deepest has a copy', async () => {
      await client.delete(`${entryPath('copied')}?cascade=false`);
      return (await client.get(entryPath('copied'))).headers['x-cache-layer'] === DEEPEST_LAYER;
    });
    await put('copied:short', { ttl: 1 });
    await reader.hasTold('expire copied:short');
    expectTold(await toldBefore(reader, 'copied:end'), ['set copied', 'set copied:short', 'expire copied:short']);
  });

  test('tells nothing of what the cache keeps for itself', async () => {
    const reader = await open(other);
    await client.get(`${entryPath('self:leased')}?lease=1`);
    await put('self:tagged', { tags: ['of its own'] });
    expectTold(await toldBefore(reader, 'self:end'), ['set self:tagged']);
  });
});

describe('who reads', () => {
  test('hears of its namespace and of no other', async () => {
    const { headers } = await keyOf({ namespace: 'elsewhere' });
    const elsewhere = client.with(headers);
    const reader = await open(other.with(headers));
    await put('same');
    await put('same:tagged', { tags: ['t'] });
    await invalidate({ tags: ['t'], prefix: 'same' });
    expectTold(await toldBefore(reader, 'end', elsewhere), []);
    elsewhere.close();
  });

  test('hears of the keys that it may read, and of what others look for only how that concerns them', async () => {
    const { headers } = await keyOf({ key_prefixes: ['mine:', 'ours:'] });
    const reader = await open(other.with(headers));
    const narrow = await open(other.with(headers), '?prefix=ours%3A1');
    const outside = await open(other.with(headers), '?prefix=theirs');
    await put('mine:1', { tags: ['of a secret'] });
    await put('theirs:1', { tags: ['of a secret'] });
    await invalidate({ tags: ['of a secret'] });
    await client.delete(`/v1/cache?pattern=${encodeURIComponent('*secret*')}`);
    await invalidate({ prefix: 'theirs:' });
    await invalidate({ pattern: 'mine:2*' });
    await put('ours:1');
    await put('ours:2');
    expectTold(await toldBefore(reader, 'mine:end'), [
      'set mine:1',
      'invalidate mine:',
      'invalidate ours:',
      'invalidate mine:',
      'invalidate ours:',
      'invalidate mine:2 mine:2*',
      'set ours:1',
      'set ours:2',
    ]);
    const toldNarrowly = () => narrow.told.filter((each) => !each.startsWith('reset'));
    await eventually('that is told to another stream', () => toldNarrowly().length >= 3);
    expectTold(toldNarrowly(), ['invalidate ours:1', 'invalidate ours:1', 'set ours:1']);
    expect(outside.told.filter((each) => !each.startsWith('reset'))).toEqual([]);
    expect(JSON.stringify([...reader.events, ...narrow.events])).not.toContain('secret');
  });

  test('needs credentials, the right to read, and a query that is known', async () => {
    const path = '/v1/cache/events';
    expectError(await client.with({}).get(path), 401, 'AUTHENTICATION_FAILED');
    const { headers } = await keyOf({ permissions: ['cache:write'] });
    expectError(await client.with(headers).get(path), 403, 'INSUFFICIENT_PERMISSIONS');
    expectViolation(await client.get(`${path}?prefix=`), 'prefix', /./);
    expectError(await client.get(`${path}?what=1`), 400, 'INVALID_REQUEST');
  });

  test('has so many streams at a time and not one more, and one for each that it has closed', async () => {
    const { headers } = await keyOf({});
    const own = client.with(headers);
    const all = await Promise.all(Array.from({ length: 20 }, () => open(own)));
    expect(expectError(await own.get('/v1/cache/events'), 429, 'RATE_LIMIT_EXCEEDED')).toEqual({ max_streams: 20 });
    all[0]!.close();
    await eventually('there is room', () => open(own).then(Boolean, () => false));
    own.close();
  });

  test('is told that the stream ends when its key is revoked, on every node', async () => {
    const { id, headers } = await keyOf({});
    const streams = [await open(client.with(headers)), await open(other.with(headers))];
    const stays = await open(client);
    await admin.delete(`/v1/auth/api-keys/${id}`);
    for (const stream of streams) {
      expect(await stream.ends()).toMatchObject({ event: 'end', data: { reason: 'not_authorized' } });
    }
    await toldBefore(stays, 'after');
    expect(stays.hasEnded).toBe(false);
  });

  test('HEAD has no stream', async () => {
    const { status, headers } = await client.send('HEAD', '/v1/cache/events');
    expect([status, headers['content-type']]).toEqual([200, 'text/event-stream; charset=utf-8']);
  });

  test('gets events and not the entry of that name, also where L1 has that', async () => {
    await put('events');
    await client.post('/v1/cache/bulk/get', { keys: ['events'] });
    const { response } = await open(client);
    expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
  });
});

describe('a reader that comes again', () => {
  /** Writes one key after the other until it is told to stop. */
  function writing(prefix: string) {
    const over = new AbortController();
    const written: string[] = [];
    const loop = (async () => {
      while (!over.signal.aborted) {
        await put(`${prefix}:${written.length}`);
        written.push(`set ${prefix}:${written.length}`);
      }
    })();
    return {
      stop: async () => {
        over.abort();
        await loop;
        return written;
      },
    };
  }

  test.each([
    ['the same node', () => client],
    ['another node', () => other],
  ])('to %s goes on without a gap while others write', async (name, next) => {
    const prefix = name.replaceAll(' ', '-');
    const reader = await open(client, `?prefix=${prefix}`);
    const openedAtMs = Date.now();
    const writer = writing(prefix);
    await eventually('much is told', () => reader.events.length > 20 && Date.now() - openedAtMs > 2 * OVERLAP_MS);
    reader.close();
    const resumed = await open(next(), `?prefix=${prefix}`, reader.lastId);
    await eventually('much is told again', () => resumed.events.length > 20);
    const written = await writer.stop();
    await toldBefore(resumed, `${prefix}-end`);
    const sets = [...reader.told, ...resumed.told].filter((each) => each.startsWith(`set ${prefix}:`));
    expect(resumed.events.filter(({ data: { reason } }) => reason === 'position_unknown')).toEqual([]);
    expectTold([...new Set(sets)], written);
    if (next() === client) expect(sets.length).toBe(written.length);
  });

  test('where it was is not known is told to check everything, and hears what happens from then on', async () => {
    const reader = await open(client, '', '1768472100000042-abc');
    await put('fresh');
    await reader.hasTold('set fresh');
    expect(reader.events[0]).toMatchObject({ event: 'reset', data: { reason: 'position_unknown' } });
    expect(reader.events[0]!.id).toMatch(/^\d+$/);
  });

  test('goes on where a heartbeat was, though nothing had happened', async () => {
    const reader = await open(client, '?prefix=quiet');
    await eventually('hearts beat', () => reader.heartbeats >= 2);
    reader.close();
    await put('quiet:1');
    const resumed = await open(client, '?prefix=quiet', reader.lastId);
    await resumed.hasTold('set quiet:1');
    expect(resumed.told.filter((each) => each.startsWith('reset'))).toEqual([]);
  });
});

describe('a stream of its own service', () => {
  let own: Service;
  beforeEach(async () => {
    own = await startService({ CACHE__EVENTS__BUFFER_MB: '1', CACHE__EVENTS__MAX_STREAMS: '100', LOG_LEVEL: 'info' });
  });
  afterEach(() => own.stop());

  /** Entries with long names, which are longer yet in JSON: much is to be told of them. */
  const fill = async (round: number) => {
    const entries = Array.from({ length: 1000 }, (_, index) => ({
      key: `${round}:${index}:`.padEnd(500, '"'),
      value: 1,
    }));
    await own.client.post('/v1/cache/bulk/set', { entries });
  };

  test('ends with a word for who reads too slowly, and lets nobody else wait', async () => {
    const slow = await open(own.client);
    const quick = await open(own.client, '?prefix=quick');
    slow.response.pause();
    // More than the buffers of both ends of a connection take.
    for (let round = 0; round < 8; round++) await fill(round);
    await own.client.put(entryPath('quick'), { value: 1 });
    await quick.hasTold('set quick');
    slow.response.resume();
    expect(await slow.ends()).toMatchObject({ event: 'overflow', data: { reason: 'too_slow' } });
    expect(slow.events.length).toBeLessThan(8000);
    const again = await open(own.client, '', slow.lastId);
    await eventually('it is told', () => again.events.length > 0);
    expect(again.events[0]).toMatchObject({ event: 'reset', data: { reason: 'position_unknown' } });
  });

  test('ends with a word when the node stops, and does not hold that up', async () => {
    const reader = await open(own.client, '?prefix=quick');
    const slow = await open(own.client);
    slow.response.pause();
    for (let round = 0; round < 8; round++) await fill(round);
    own.api.process.kill('SIGTERM');
    expect(await reader.ends()).toMatchObject({ event: 'end', data: { reason: 'node_stopping' } });
    await eventually('the process has ended', () => own.api.process.exitCode !== null);
    expect(own.api.process.exitCode).toBe(0);
  });
});
