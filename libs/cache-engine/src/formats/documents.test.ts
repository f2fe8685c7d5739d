import { deserialize, serialize } from 'bson';
import { pack, Unpackr } from 'msgpackr';
import protobuf from 'protobufjs';
import { MAX_DEPTH } from '../json/scan.js';
import { CACHE_PROTO } from './cache-proto.js';
import { readDocument, writeDocument } from './documents.js';
import { encodeValue } from './encode.js';
import { MalformedBody } from './errors.js';
import type { BodyFormat } from './format.js';
import type { Tree } from './tree.js';
import { decodeValue, Encoded } from './values.js';

const FORMATS: BodyFormat[] = ['json', 'msgpack', 'protobuf', 'bson'];
const WRITE = { rawMembers: 'value', messageName: 'WriteRequest' } as const;
const BULK = { rawMembers: 'entries[].value', messageName: 'BulkSetRequest' } as const;

const value: Tree = new Map<string, Tree>([
  ['id', 12345],
  ['__proto__', [true, null, Buffer.from('bytes')]],
]);

const root = protobuf.parse(CACHE_PROTO, { keepCase: true }).root;
root.addJSON((protobuf.common.get('google/protobuf/struct.proto') as protobuf.INamespace).nested!);
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });

/** What a client of the format gets to see. */
function asClient(format: BodyFormat, bytes: Buffer, messageName: string): Record<string, unknown> {
  if (format === 'json') return JSON.parse(bytes.toString()) as Record<string, unknown>;
  if (format === 'msgpack') return unpackr.unpack(bytes) as Record<string, unknown>;
  if (format === 'bson') return deserialize(bytes, { promoteBuffers: true });
  const type = root.lookupType(`cache.v1.${messageName}`);
  return type.toObject(type.decode(bytes), { longs: Number });
}

describe.each(FORMATS)('a request in %s', (format) => {
  test('gives plain members and the value as the bytes that it is', () => {
    const stored = encodeValue(format, value);
    const options = { ttl: 60, tags: ['a', 'b'], compress: 'lz4', ttl_jitter: 0.5, sliding: false };
    const body = writeDocument(format, { value: new Encoded(format, stored), options }, 'WriteRequest');
    const document = readDocument(format, body, WRITE);
    expect({ ...document, options: { ...(document['options'] as object) } }).toEqual({
      value: new Encoded(format, stored),
      options,
    });
  });

  test('is written from a value in any other format, too', () => {
    for (const from of FORMATS) {
      const body = writeDocument(format, { value: new Encoded(from, encodeValue(from, value)) }, 'WriteRequest');
      const read = readDocument(format, body, WRITE)['value'] as Encoded;
      expect(decodeValue(format, read.bytes)).toEqual(value);
    }
  });

  test.each<[string, Tree]>([
    ['null', null],
    ['false', false],
    ['a number', -1.5],
    ['text', 'é'],
    ['binary', Buffer.of(0, 255)],
    ['an empty object', new Map()],
    ['an empty array', []],
  ])('takes %s as a value', (_, tree) => {
    const body = writeDocument(format, { value: tree }, 'WriteRequest');
    expect(decodeValue(format, (readDocument(format, body, WRITE)['value'] as Encoded).bytes)).toEqual(tree);
  });

  test('gives the values of bulk entries as they are', () => {
    const entries = ['one', '__proto__'].map((key) => ({
      key,
      value: new Encoded(format, encodeValue(format, value)),
    }));
    const options = { strategy: 'write-behind', max_concurrent: 5 };
    const document = readDocument(format, writeDocument(format, { entries, options }, 'BulkSetRequest'), BULK);
    expect(document).toEqual({ entries, options });
  });

  test('may nest each value as deep as a value may be, and no deeper', () => {
    const nested = (levels: number): Tree => (levels === 1 ? [] : [nested(levels - 1)]);
    const write = (levels: number) => writeDocument(format, { value: nested(levels) }, 'WriteRequest');
    const bulk = (levels: number) =>
      writeDocument(format, { entries: [{ key: 'a', value: nested(levels) }] }, 'BulkSetRequest');
    expect(() => readDocument(format, write(MAX_DEPTH), WRITE)).not.toThrow();
    expect(() => readDocument(format, write(MAX_DEPTH + 1), WRITE)).toThrow(MalformedBody);
    expect(() => readDocument(format, bulk(MAX_DEPTH), BULK)).not.toThrow();
    expect(() => readDocument(format, bulk(MAX_DEPTH + 1), BULK)).toThrow(MalformedBody);
  });

  test('is refused where it is no object', () => {
    const body = encodeValue(format, [1]).subarray(format === 'bson' ? 1 : 0);
    const read = () => readDocument(format, body, { rawMembers: 'none', messageName: 'TouchRequest' });
    if (format === 'bson') expect(read()).toEqual({ 0: 1 });
    else expect(read).toThrow(MalformedBody);
  });
});

test('a name that occurs twice is refused outside of values, and inside of them the last one counts', () => {
  const twice: [BodyFormat, Buffer][] = [
    ['json', Buffer.from(String.raw`{"value":1,"\u0076alue":2}`)],
    ['msgpack', Buffer.concat([Buffer.of(0x82), ...['value', 'value'].flatMap((name) => [pack(name), pack(1)])])],
    ['protobuf', Buffer.from('0a0208000a020800', 'hex')],
    ['bson', Buffer.from('150000000876616c756500010876616c7565000100', 'hex')],
  ];
  for (const [format, body] of twice) {
    expect(() => readDocument(format, body, WRITE)).toThrow(/occurs twice/);
  }
  const inside = Buffer.from('82a16101a16102', 'hex');
  expect(decodeValue('msgpack', inside)).toEqual(new Map([['a', 2]]));
});

test('bodies of other implementations are read', () => {
  const plainBody = { value: { a: [1, 'x'] }, options: { ttl: 5 } };
  const Message = root.lookupType('cache.v1.WriteRequest');
  const list = { listValue: { values: [{ numberValue: 1 }, { stringValue: 'x' }] } };
  const message = { value: { structValue: { fields: { a: list } } }, options: { ttl: 5 } };
  const bodies: [BodyFormat, Buffer][] = [
    ['msgpack', pack(plainBody)],
    ['bson', Buffer.from(serialize(plainBody))],
    ['protobuf', Buffer.from(Message.encode(Message.fromObject(message)).finish())],
  ];
  for (const [format, body] of bodies) {
    const document = readDocument(format, body, WRITE);
    expect(document['options']).toEqual({ ttl: 5 });
    expect(decodeValue(format, (document['value'] as Encoded).bytes)).toEqual(new Map([['a', [1, 'x']]]));
  }
});

test('the value of a MessagePack or protobuf body is a view of the body and no copy', () => {
  for (const format of ['msgpack', 'protobuf'] as const) {
    const body = writeDocument(format, { value }, 'WriteRequest');
    expect((readDocument(format, body, WRITE)['value'] as Encoded).bytes.buffer).toBe(body.buffer);
  }
});

test('names that reach a prototype are plain members', () => {
  const body = Buffer.from('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}');
  const document = readDocument('json', body, { rawMembers: 'none', messageName: 'TouchRequest' });
  expect(Object.keys(document)).toEqual(['__proto__', 'constructor']);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});

test('an unknown field of a protobuf request is refused', () => {
  const touch = { rawMembers: 'none', messageName: 'TouchRequest' } as const;
  expect(() => readDocument('protobuf', Buffer.from('1001', 'hex'), touch)).toThrow(
    'protobuf: field 2, which TouchRequest does not have, at byte 0',
  );
  expect(readDocument('protobuf', Buffer.from('08ffffffffffffffffff01', 'hex'), touch)).toEqual({ ttl: -1 });
});

test('a response is what clients of each format expect', () => {
  const metadata = { created_at: 't', updated_at: 't', expires_at: null, hit_count: 2 ** 40, size_bytes: 1 };
  const document = {
    results: new Map<string, unknown>([
      [
        'user:1',
        { status: 'hit', value: new Encoded('json', Buffer.from('[1,{"a":"é"}]')), cache_layer: 'L1', metadata },
      ],
      ['k', { status: 'miss', value: undefined, error: 'Key not found' }],
    ]),
    summary: { total_keys: 2, hits: 1, misses: 1, hit_ratio: 0.5 },
  };
  const hit = { status: 'hit', value: [1, { a: 'é' }], cache_layer: 'L1', metadata };
  const expected = {
    results: { 'user:1': hit, k: { status: 'miss', error: 'Key not found' } },
    summary: document.summary,
  };
  for (const format of ['json', 'msgpack', 'bson'] as const) {
    const seen = asClient(format, writeDocument(format, document, 'BulkGetResponse'), 'BulkGetResponse');
    expect(
      JSON.parse(JSON.stringify(seen, (_, each: unknown) => (typeof each === 'bigint' ? Number(each) : each))),
    ).toEqual(expected);
  }
  const { expires_at: _, ...present } = metadata;
  const list = {
    listValue: { values: [{ numberValue: 1 }, { structValue: { fields: { a: { stringValue: 'é' } } } }] },
  };
  expect(asClient('protobuf', writeDocument('protobuf', document, 'BulkGetResponse'), 'BulkGetResponse')).toEqual({
    ...expected,
    results: { ...expected.results, 'user:1': { ...hit, value: list, metadata: present } },
  });
});

test('an error is written with its free details', () => {
  const error = {
    code: 'INVALID_REQUEST',
    message: 'm',
    details: { errors: [{ path: 'ttl', reason: 'r' }], limit: 3 },
  };
  const seen = asClient('protobuf', writeDocument('protobuf', { error }, 'Error'), 'Error');
  expect(seen).toMatchObject({ error: { details: { fields: { limit: { numberValue: 3 } } } } });
});

test('a member that the schema lacks is a mistake of ours', () => {
  expect(() => writeDocument('protobuf', { nobody: 1 }, 'Error')).toThrow('Error in cache.proto has no field nobody');
});
