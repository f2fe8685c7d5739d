import { explainSchema } from '@cache-system/contracts';
import { gunzipSync, gzipSync, brotliCompressSync, deflateSync, deflateRawSync } from 'node:zlib';
import { BSON } from 'bson';
import { Packr } from 'msgpackr';
import { parse, type Root, type Type } from 'protobufjs';
import { type Answer, type Client, entryPath, valueText } from './support/client.js';
import { expectError, expectViolation } from './support/expectations.js';
import { type Service, startService } from './support/service.js';
import { remember } from './support/unharmed.js';

const packr = new Packr({ useRecords: false });
const TYPES = {
  json: 'application/json',
  msgpack: 'application/msgpack',
  protobuf: 'application/protobuf',
  bson: 'application/bson',
};
type Name = keyof typeof TYPES;
const NAMES = Object.keys(TYPES) as Name[];

let service: Service;
let client: Client;
let root: Root;
beforeAll(async () => {
  service = await startService();
  client = service.client;
  const schema = await client.with({}).get('/v1/schema/cache.proto');
  expect(schema).toMatchObject({ status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' } });
  ({ root } = parse(schema.text.replace(/import .*;/, ''), { keepCase: true }));
  root.add(parse(STRUCT_PROTO, { keepCase: true }).root.lookup('google')!);
  root.resolveAll();
});
afterAll(() => service.stop());

/** As published with Protocol Buffers. */
const STRUCT_PROTO = `syntax = "proto3"; package google.protobuf;
message Struct { map<string, Value> fields = 1; }
message Value { oneof kind { NullValue null_value = 1; double number_value = 2; string string_value = 3; bool bool_value = 4; Struct struct_value = 5; ListValue list_value = 6; } }
enum NullValue { NULL_VALUE = 0; }
message ListValue { repeated Value values = 1; }`;

const message = (name: string): Type => root.lookupType(`cache.v1.${name}`);

/** Bodies as other people's libraries make and read them. */
const PEERS: Record<
  Name,
  { write(body: object, messageName: string): Buffer; read(bytes: Buffer, messageName: string): unknown }
> = {
  json: {
    write: (body) => Buffer.from(JSON.stringify(body)),
    read: (bytes) => JSON.parse(bytes.toString()) as unknown,
  },
  msgpack: { write: (body) => packr.pack(body), read: (bytes) => packr.unpack(bytes) as unknown },
  bson: { write: (body) => Buffer.from(BSON.serialize(body)), read: (bytes) => BSON.deserialize(bytes) },
  protobuf: {
    write: (body, name) =>
      Buffer.from(
        message(name)
          .encode(message(name).fromObject(forProtobuf(body) as object))
          .finish(),
      ),
    read: (bytes, name) =>
      fromProtobuf(message(name).toObject(message(name).decode(bytes), { longs: Number, oneofs: true })),
  },
};

function forProtobuf(body: unknown): unknown {
  if (Array.isArray(body)) return body.map(forProtobuf);
  if (typeof body !== 'object' || body === null) return body;
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => [name, name === 'value' ? toValue(value) : forProtobuf(value)]),
  );
}
function toValue(value: unknown): object {
  if (value === null) return { null_value: 0 };
  if (typeof value === 'number') return { number_value: value };
  if (typeof value === 'string') return { string_value: value };
  if (typeof value === 'boolean') return { bool_value: value };
  if (Array.isArray(value)) return { list_value: { values: value.map(toValue) } };
  const fields = Object.fromEntries(Object.entries(value as object).map(([name, child]) => [name, toValue(child)]));
  return { struct_value: { fields } };
}
function fromProtobuf(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(fromProtobuf);
  if (typeof node !== 'object' || node === null) return node;
  const { kind } = node as { kind?: string };
  const inner = kind === undefined ? undefined : (node as Record<string, unknown>)[kind];
  if (kind === 'null_value') return null;
  if (kind === 'list_value') return ((inner as { values?: unknown[] }).values ?? []).map(fromProtobuf);
  if (kind === 'struct_value') return fromProtobuf((inner as { fields?: object }).fields ?? {});
  if (kind !== undefined) return inner;
  return Object.fromEntries(
    Object.entries(node)
      .filter(([name]) => !name.startsWith('_'))
      .map(([name, value]) => [name, fromProtobuf(value)]),
  );
}

const send = (
  method: string,
  path: string,
  format: Name,
  messageName: string,
  body?: object,
  accept: Name = format,
): Promise<Answer> =>
  client.send(method, path, {
    headers: { accept: TYPES[accept], ...(body && { 'content-type': TYPES[format] }) },
    ...(body && { body: PEERS[format].write(body, messageName) }),
  });
function read(answer: Answer, format: Name, messageName: string): Record<string, unknown> {
  expect(answer.headers['content-type']).toBe(format === 'json' ? 'application/json; charset=utf-8' : TYPES[format]);
  return PEERS[format].read(answer.bytes, messageName) as Record<string, unknown>;
}

const VALUE = {
  id: 12345,
  name: 'Jöhn 😀',
  tags: ['a', 'b', null, true, 1.5],
  nested: { 'a b': { '': [] } },
  empty: {},
};

describe.each(NAMES)('in %s', (format) => {
  test.each(NAMES)('a value is stored and read again in %s', async (other) => {
    const at = entryPath(`${format}>${other}`);
    const stored = await send('PUT', at, format, 'WriteRequest', { value: VALUE, options: { ttl: 60 } });
    expect(stored.status).toBe(201);
    expect(read(stored, format, 'WriteResponse')).toMatchObject({
      status: 'created',
      metadata: { compression_ratio: 1 },
    });
    for (const drop of [false, true]) {
      if (drop) await client.delete(`${at}?cascade=false`);
      expect(read(await send('GET', at, other, ''), other, 'ReadResponse')).toEqual({
        key: `${format}>${other}`,
        value: VALUE,
      });
      const asked = await client.get(`${at}?format=${other}&include_metadata=true`, {
        headers: { accept: 'text/html' },
      });
      expect(read(asked, other, 'ReadResponse')).toMatchObject({
        value: VALUE,
        metadata: { size_bytes: expect.any(Number) as number },
      });
    }
  });

  test('a read is explained, found or not', async () => {
    const at = entryPath(`explained:${format}`);
    await client.put(at, { value: VALUE, options: { tags: ['ü'] } });
    const found = read(await send('GET', `${at}?explain=true`, format, ''), format, 'ReadResponse');
    expect(found).toMatchObject({ value: VALUE });
    const explain = explainSchema.parse(found['explain']);
    expect(explain).toMatchObject({ status: 'hit', layers: [{ layer: 'L1', outcome: 'hit', reason: null }] });
    const missed = read(await send('GET', `${entryPath('absent')}?explain=true`, format, ''), format, 'Error');
    const { details } = (missed as { error: { details: { explain?: unknown; fields?: { explain?: unknown } } } }).error;
    // A Struct has its members in a field.
    expect(explainSchema.parse((details.fields ?? details).explain)).toMatchObject({ status: 'miss', layer: null });
  });

  test('every call of the group is answered', async () => {
    const at = entryPath(`all:${format}`);
    const ask = async (method: string, path: string, request: string, response: string, body?: object) => {
      const answer = await send(method, path, format, request, body);
      expect({ path, status: answer.status }).toEqual({ path, status: 200 });
      return read(answer, format, response);
    };
    await send('PUT', at, format, 'WriteRequest', {
      value: VALUE,
      options: { tags: [`tag:${format}`], ttl_jitter: 0.1 },
    });
    expect(await ask('PATCH', at, 'PatchRequest', 'WriteResponse', { value: { id: 2, more: 'x' } })).toMatchObject({
      status: 'updated',
    });
    expect(await ask('GET', at, '', 'ReadResponse')).toMatchObject({ value: { ...VALUE, id: 2, more: 'x' } });
    expect(await ask('POST', `${at}/touch`, 'TouchRequest', 'TouchResponse', { ttl: 60 })).toMatchObject({
      status: 'touched',
    });
    await send('PUT', entryPath(`n:${format}`), format, 'WriteRequest', { value: 40 });
    expect(
      await ask('POST', `${entryPath(`n:${format}`)}/increment`, 'IncrementRequest', 'IncrementResponse', { by: 2 }),
    ).toMatchObject({ value: 42 });
    expect(await ask('GET', `/v1/cache?prefix=all:${format}`, '', 'ListResponse')).toMatchObject({
      keys: [{ key: `all:${format}`, tags: [`tag:${format}`] }],
    });
    const entries = [
      { key: `b1:${format}`, value: VALUE, ttl: 60 },
      { key: `b2:${format}`, value: null },
    ];
    const set = await ask('POST', '/v1/cache/bulk/set', 'BulkSetRequest', 'BulkSetResponse', {
      entries,
      options: { max_concurrent: 2 },
    });
    expect(set).toMatchObject({ summary: { total_keys: 2, created: 2 } });
    const keys = entries.map(({ key }) => key);
    const got = await ask('POST', '/v1/cache/bulk/get', 'BulkGetRequest', 'BulkGetResponse', {
      keys: [...keys, 'none'],
    });
    expect(got).toMatchObject({
      results: {
        [keys[0]!]: { status: 'hit', value: VALUE },
        [keys[1]!]: { status: 'hit', value: null },
        none: { status: 'miss' },
      },
      summary: { hit_ratio: 0.67 },
    });
    expect(
      await ask('POST', '/v1/cache/bulk/delete', 'BulkDeleteRequest', 'BulkDeleteResponse', { keys }),
    ).toMatchObject({ summary: { deleted: 2 } });
    expect(
      await ask('POST', '/v1/cache/invalidate', 'InvalidateRequest', 'InvalidateResponse', { tags: [`tag:${format}`] }),
    ).toMatchObject({ invalidated: { tags: 1 } });
    expect(await ask('DELETE', `/v1/cache?pattern=n:${format}`, '', 'DeleteResponse')).toMatchObject({ deleted: 1 });
  });

  test('an error is one in the same format', async () => {
    for (const answer of [
      await send('GET', entryPath('missing'), format, ''),
      await client.get(`${entryPath('missing')}?format=${format}`),
    ]) {
      expect(answer.status).toBe(404);
      expect(read(answer, format, 'Error')).toMatchObject({
        error: { code: 'CACHE_KEY_NOT_FOUND', metadata: { request_id: answer.headers['x-request-id'] } },
      });
    }
    const bad = await send('PUT', entryPath('bad'), format, 'WriteRequest', { value: 1, options: { ttl: -1 } });
    expect(bad.status).toBe(400);
    expect(read(bad, format, 'Error')).toMatchObject({ error: { code: 'INVALID_REQUEST' } });
    const anyone = await client
      .with({})
      .get(entryPath('missing'), { headers: { accept: TYPES[format], 'x-api-key': '' } });
    expect(anyone.status).toBe(401);
    expect(read(anyone, format, 'Error')).toMatchObject({ error: { code: 'AUTHENTICATION_FAILED' } });
  });

  test('a body that is cut short, or none at all, stores nothing', async () => {
    const body = PEERS[format].write({ value: VALUE }, 'WriteRequest');
    const headers = { 'content-type': TYPES[format] };
    for (const length of [0, 1, 5, body.length - 1]) {
      expectError(await client.put(entryPath('cut'), body.subarray(0, length), { headers }), 400, 'INVALID_REQUEST');
    }
    expect((await client.get(entryPath('cut'))).status).toBe(404);
  });
});

describe('binary', () => {
  const bytes = Buffer.from([0, 1, 254, 255]);

  test.each(['msgpack', 'bson'] as const)('in %s is kept, and shown as base64 where there is none', async (format) => {
    const at = entryPath(`binary:${format}`);
    await send('PUT', at, format, 'WriteRequest', { value: { data: bytes, n: 1 } });
    expect((await client.get(at)).json).toMatchObject({ value: { data: { $binary: bytes.toString('base64') }, n: 1 } });
    await client.patch(at, { value: { n: 2 } });
    const { value } = read(await send('GET', at, format, ''), format, '') as {
      value: { data: { buffer?: Uint8Array } & Uint8Array; n: number };
    };
    expect(value.n).toBe(2);
    expect(Buffer.from(format === 'bson' ? value.data.buffer : value.data)).toEqual(bytes);
  });
});

test('integers beyond 2^53 keep their digits from JSON to MessagePack and back', async () => {
  const at = entryPath('large');
  await client.put(at, '{"value":[9007199254740993,-9223372036854775808,18446744073709551615]}');
  const answer = await send('GET', at, 'msgpack', '');
  const large = new Packr({ useRecords: false, int64AsType: 'bigint' }).unpack(answer.bytes) as { value: bigint[] };
  expect(large.value.map(String)).toEqual(['9007199254740993', '-9223372036854775808', '18446744073709551615']);
  await client.put(entryPath('large2'), answer.bytes.subarray(0), { headers: { 'content-type': TYPES.msgpack } });
  expect((await client.get(entryPath('large2'))).status).toBe(404);
  await client.put(
    entryPath('large2'),
    Buffer.concat([Buffer.from([0x81, 0xa5]), Buffer.from('value'), packr.pack(large.value)]),
    { headers: { 'content-type': TYPES.msgpack } },
  );
  expect(valueText(await client.get(entryPath('large2')), 'large2')).toBe(
    '[9007199254740993,-9223372036854775808,18446744073709551615]',
  );
});

describe('the media type', () => {
  test.each(['application/x-msgpack', 'application/vnd.msgpack', 'Application/MSGPACK; charset=utf-8'])(
    '%s is MessagePack',
    async (type) => {
      const answer = await client.put(entryPath('type'), packr.pack({ value: 1 }), {
        headers: { 'content-type': type },
      });
      expect(answer.status).toBeLessThan(300);
      expect((await client.get(entryPath('type'), { headers: { accept: type } })).headers['content-type']).toBe(
        'application/msgpack',
      );
    },
  );

  test.each(['text/plain', 'application/cbor', 'application/jsonp'])('%s is refused', async (type) => {
    const answer = await client.put(entryPath('type'), 'x', { headers: { 'content-type': type } });
    expect(expectError(answer, 415, 'UNSUPPORTED_MEDIA_TYPE')['supported']).toContain('application/bson');
    expect(
      expectError(await client.get(entryPath('type'), { headers: { accept: type } }), 406, 'NOT_ACCEPTABLE')[
        'supported'
      ],
    ).toContain('application/protobuf');
  });

  test('of another format is refused outside of the cache', async () => {
    const answer = await client.post('/v1/auth/login', packr.pack({}), { headers: { 'content-type': TYPES.msgpack } });
    expectError(answer, 415, 'UNSUPPORTED_MEDIA_TYPE');
  });

  test('that is preferred wins, and an unknown format is refused', async () => {
    await client.put(entryPath('q'), { value: 1 });
    const answer = await client.get(entryPath('q'), {
      headers: { accept: 'application/json;q=0.5, application/bson' },
    });
    expect(answer.headers['content-type']).toBe('application/bson');
    expectViolation(await client.get(`${entryPath('q')}?format=xml`), 'format', /json, msgpack, protobuf, bson/);
  });

  test('of BSON cannot say a name with a NUL, which is a 406', async () => {
    await client.put(entryPath('nul'), String.raw`{"value":{"a\u0000b":1}}`);
    const answer = await client.get(entryPath('nul'), { headers: { accept: TYPES.bson } });
    expect(answer.status).toBe(406);
    expect((await client.get(entryPath('nul'), { headers: { accept: TYPES.msgpack } })).status).toBe(200);
  });
});

describe('hostile bodies', () => {
  const nested = (open: number[], depth: number) => Buffer.from(Array.from({ length: depth }, () => open).flat());
  const hostile: [string, Name, Buffer][] = [
    [
      'MessagePack arrays 100,000 deep',
      'msgpack',
      Buffer.concat([Buffer.from([0x81, 0xa5]), Buffer.from('value'), nested([0x91], 100_000), Buffer.from([1])]),
    ],
    [
      'an array of four billion',
      'msgpack',
      Buffer.concat([Buffer.from([0x81, 0xa5]), Buffer.from('value'), Buffer.from([0xdd, 255, 255, 255, 255])]),
    ],
    [
      'a string of four gigabytes',
      'msgpack',
      Buffer.concat([Buffer.from([0x81, 0xa5]), Buffer.from('value'), Buffer.from([0xdb, 255, 255, 255, 255])]),
    ],
    ['trailing bytes', 'msgpack', Buffer.concat([packr.pack({ value: 1 }), Buffer.from([0xc0])])],
    [
      'bad UTF-8',
      'msgpack',
      Buffer.concat([Buffer.from([0x81, 0xa5]), Buffer.from('value'), Buffer.from([0xa2, 0xc3, 0x28])]),
    ],
    ['a BSON document of two gigabytes', 'bson', Buffer.from([255, 255, 255, 127, 3, 0])],
    ['a negative length', 'bson', Buffer.from([254, 255, 255, 255, 0])],
    ['Protocol Buffers groups', 'protobuf', nested([0x0b], 100_000)],
    ['a field of four gigabytes', 'protobuf', Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])],
    ['a varint without an end', 'protobuf', Buffer.alloc(1000, 0xff)],
    ['JSON 100,000 deep', 'json', Buffer.from(`{"value":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)],
  ];

  test.each(hostile)('%s are refused and harm nobody', async (_, format, body) => {
    const witness = await remember(service);
    for (const path of [entryPath('hostile'), '/v1/cache/bulk/set']) {
      const method = path.endsWith('set') ? 'POST' : 'PUT';
      expectError(
        await client.send(method, path, { body, headers: { 'content-type': TYPES[format] } }),
        400,
        'INVALID_REQUEST',
      );
    }
    await witness.expectUnharmed();
  });
});

describe('a compressed body', () => {
  const body = Buffer.from(JSON.stringify({ value: 'x'.repeat(5000) }));
  test.each([
    ['gzip', gzipSync(body)],
    ['x-gzip', gzipSync(body)],
    ['deflate', deflateSync(body)],
    ['deflate', deflateRawSync(body)],
    ['br', brotliCompressSync(body)],
    ['identity', body],
  ])('with %s is read', async (coding, bytes) => {
    const answer = await client.put(entryPath('coded'), bytes, { headers: { 'content-encoding': coding } });
    expect(answer.status).toBeLessThan(300);
    expect((await client.get(entryPath('coded'))).json).toMatchObject({ value: 'x'.repeat(5000) });
  });

  test('that is a bomb is refused before it is inflated', async () => {
    const witness = await remember(service);
    const bomb = gzipSync(Buffer.alloc(500 * 1024 * 1024));
    for (let round = 0; round < 3; round++) {
      expectError(
        await client.put(entryPath('bomb'), bomb, { headers: { 'content-encoding': 'gzip' } }),
        413,
        'PAYLOAD_TOO_LARGE',
      );
    }
    await witness.expectUnharmed();
  });

  test.each([
    ['zip', 415],
    ['gzip, gzip', 415],
    ['gzip', 400],
    ['br', 400],
  ])('with %s that is not is a %i', async (coding, status) => {
    const answer = await client.put(entryPath('broken'), body, { headers: { 'content-encoding': coding } });
    expect(answer.status).toBe(status);
    expect((await client.get(entryPath('broken'))).status).toBe(404);
  });
});

describe('a response', () => {
  const value = 'the same again, '.repeat(1000);
  const get = (path: string, coding?: string) =>
    client.get(path, { headers: coding === undefined ? {} : { 'accept-encoding': coding } });
  beforeAll(async () => {
    await client.put(entryPath('large'), { value });
    await client.put('/object/large.txt', value, { headers: { 'content-type': 'text/plain' } });
    await client.put('/object/large.png', value, { headers: { 'content-type': 'image/png' } });
  });

  test.each(['gzip', 'deflate, gzip;q=0.5', '*', 'GZIP'])('is compressed for who accepts %s', async (coding) => {
    for (const path of [entryPath('large'), `${entryPath('large')}?format=msgpack`, '/object/large.txt']) {
      const answer = await get(path, coding);
      expect(answer).toMatchObject({
        status: 200,
        headers: {
          'content-encoding': 'gzip',
          vary: 'Accept, Accept-Encoding, Origin',
          etag: expect.any(String) as string,
        },
      });
      expect(answer.headers['content-length']).toBe(String(answer.bytes.length));
      expect(answer.bytes.length).toBeLessThan(1000);
      expect(gunzipSync(answer.bytes)).toEqual((await get(path)).bytes);
    }
  });

  test.each([undefined, 'identity', 'br', 'gzip;q=0', 'gzip;q=0.0', 'gzipped'])(
    'is not for who accepts %s',
    async (coding) => {
      expect((await get(entryPath('large'), coding)).headers['content-encoding']).toBeUndefined();
    },
  );

  test('is not where it is small or would not get smaller', async () => {
    await client.put(entryPath('small'), { value: 'aaaaaaaaaa'.repeat(100) });
    for (const path of [entryPath('small'), '/object/large.png']) {
      expect((await get(path, 'gzip')).headers['content-encoding']).toBeUndefined();
    }
  });
});
