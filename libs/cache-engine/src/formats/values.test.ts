import { Decimal128, Long, ObjectId, Binary, deserialize, serialize } from 'bson';
import fc from 'fast-check';
import { pack, Unpackr } from 'msgpackr';
import protobuf from 'protobufjs';
import { convertValue, encodeValue } from './encode.js';
import { NotRepresentable } from './errors.js';
import type { BodyFormat } from './format.js';
import { base64, type Tree } from './tree.js';
import { decodeValue } from './values.js';

const FORMATS: BodyFormat[] = ['json', 'msgpack', 'protobuf', 'bson'];
const PAIRS = FORMATS.flatMap((from) => FORMATS.map((to) => [from, to] as const));

const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(-0, 2 ** 53, -(2 ** 53), 2 ** 60, 1e21, 1e300, 5e-324, 255, 256, 65535, 65536, 2 ** 31, 2 ** 32),
);
const name = fc.oneof(
  fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
  fc.constantFrom('__proto__', 'constructor', '', 'a'.repeat(300), '2', '1'),
);
const { tree: everyTree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    number,
    fc.string({ unit: 'grapheme', maxLength: 70 }),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc.array(tie('tree'), { maxLength: 20 }),
    fc.array(fc.tuple(name, tie('tree')), { maxLength: 20 }).map((members) => new Map(members)),
  ),
}));

test.each(PAIRS)('a value that both can say survives %s to %s', (from, to) => {
  fc.assert(
    fc.property(everyTree, (tree) => {
      const bytes = encodeValue(from, tree);
      const converted = convertValue(from, to, bytes);
      expect(decodeValue(to, converted)).toEqual(tree);
      expect(convertValue(to, from, converted).equals(bytes)).toBe(true);
    }),
    { numRuns: 60 },
  );
});

describe('integers', () => {
  const beyondDouble = fc.bigInt(2n ** 53n, 2n ** 63n - 1n).chain((n) => fc.constantFrom(n, -n));

  test('beyond 2^53 are exact in JSON, MessagePack and BSON', () => {
    fc.assert(
      fc.property(beyondDouble, fc.constantFrom<BodyFormat>('json', 'msgpack', 'bson'), (integer, format) => {
        expect(decodeValue(format, encodeValue(format, [integer]))).toEqual([integer]);
      }),
    );
  });

  test('beyond what the format has become their digits', () => {
    const huge = 10n ** 30n;
    expect(encodeValue('json', huge).toString()).toBe('1' + '0'.repeat(30));
    for (const format of FORMATS.slice(1)) expect(decodeValue(format, encodeValue(format, huge))).toBe(String(huge));
    expect(decodeValue('protobuf', encodeValue('protobuf', 2n ** 53n))).toBe('9007199254740992');
    expect(decodeValue('msgpack', encodeValue('msgpack', 2n ** 64n - 1n))).toBe(2n ** 64n - 1n);
  });
});

describe('what a format cannot say', () => {
  test('numbers that are not finite are null in JSON and kept elsewhere', () => {
    expect(encodeValue('json', [NaN, Infinity]).toString()).toBe('[null,null]');
    for (const format of FORMATS.slice(1)) {
      expect(decodeValue(format, encodeValue(format, [NaN, -Infinity]))).toEqual([NaN, -Infinity]);
    }
  });

  test('a NUL in the name of a BSON member is refused', () => {
    expect(() => encodeValue('bson', new Map([['a\0b', 1]]))).toThrow(NotRepresentable);
  });

  test('a lone surrogate becomes U+FFFD, and of names that meet there the last counts', () => {
    const tree = decodeValue('json', Buffer.from(String.raw`{"\ud800":1,"\udfff":"\ud83d\ude00\ud800"}`));
    expect(tree).toEqual(new Map([['\ufffd', '😀\ufffd']]));
  });
});

describe('JSON', () => {
  test.each([
    ['{"$binary":"AP8="}', Buffer.from([0, 255])],
    ['{"$binary":""}', Buffer.alloc(0)],
    ['{"$binary":"AP8"}', new Map([['$binary', 'AP8']])],
    [
      '{"$binary":"AP8=","a":1}',
      new Map<string, Tree>([
        ['$binary', 'AP8='],
        ['a', 1],
      ]),
    ],
    [' [ 1.0 , -0 , 1e400, 9007199254740993 ] ', [1, -0, Infinity, 9007199254740993n]],
    [
      '{ "2" : 1 , "1" : { } , "2" : [ ] }',
      new Map<string, Tree>([
        ['2', []],
        ['1', new Map()],
      ]),
    ],
    [String.raw`"a\\\"b\u0000\/"`, 'a\\"b\0/'],
  ])('%s is read as it is meant', (text, tree) => {
    expect(decodeValue('json', Buffer.from(text))).toEqual(tree);
  });

  test('agrees with JSON.parse on any JSON', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        const written = encodeValue('json', decodeValue('json', Buffer.from(text))).toString();
        expect(JSON.parse(written)).toEqual(JSON.parse(text));
      }),
    );
  });

  test('within one format the bytes stay the same', () => {
    const bytes = Buffer.from('{ "a":1e400, "a":2 }');
    expect(convertValue('json', 'json', bytes)).toBe(bytes);
  });
});

/** As the libraries have values: objects, and bytes as buffers. */
function ordinary(tree: Tree): unknown {
  if (tree instanceof Uint8Array) return Buffer.from(tree);
  if (Array.isArray(tree)) return tree.map(ordinary);
  if (!(tree instanceof Map)) return tree;
  return Object.fromEntries([...(tree as ReadonlyMap<string, Tree>)].map(([key, child]) => [key, ordinary(child)]));
}
const ordinaryTree = everyTree.filter((tree) => !/__proto__/.test(encodeValue('json', tree).toString()));

describe('other implementations read what is written, and their bytes are read', () => {
  test('msgpackr', () => {
    const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });
    fc.assert(
      fc.property(ordinaryTree, (tree) => {
        expect(unpackr.unpack(encodeValue('msgpack', tree))).toEqual(ordinary(tree));
        const packed = pack(ordinary(tree));
        expect(ordinary(decodeValue('msgpack', packed))).toEqual(unpackr.unpack(packed));
      }),
    );
  });

  test('bson', () => {
    fc.assert(
      fc.property(ordinaryTree, (tree) => {
        const bytes = serialize({ value: ordinary(tree) });
        const ours = encodeValue('bson', new Map([['value', tree]]));
        expect(deserialize(ours.subarray(1), { promoteBuffers: true })).toEqual(
          deserialize(bytes, { promoteBuffers: true }),
        );
        expect(decodeValue('bson', Buffer.concat([Buffer.of(3), bytes]))).toEqual(new Map([['value', tree]]));
      }),
    );
  });

  test('protobufjs', () => {
    const root = protobuf.Root.fromJSON(protobuf.common.get('google/protobuf/struct.proto') as protobuf.INamespace);
    const Value = root.lookupType('google.protobuf.Value');
    fc.assert(
      fc.property(ordinaryTree, (tree) => {
        const bytes = encodeValue('protobuf', tree);
        const message = Value.decode(bytes);
        expect(ofMessage(message as unknown as ValueMessage)).toEqual(asJson(tree));
        const theirs = Buffer.from(Value.encode(message).finish());
        expect(ordinary(decodeValue('protobuf', theirs))).toEqual(ordinary(tree));
      }),
    );
  });
});

interface ValueMessage {
  kind: 'nullValue' | 'numberValue' | 'stringValue' | 'boolValue' | 'structValue' | 'listValue';
  structValue?: { fields: Record<string, ValueMessage> };
  listValue?: { values: ValueMessage[] };
}
function ofMessage(message: ValueMessage): unknown {
  const { kind, structValue, listValue } = message;
  if (kind === 'structValue')
    return Object.fromEntries(Object.entries(structValue!.fields).map(([key, child]) => [key, ofMessage(child)]));
  if (kind === 'listValue') return listValue!.values.map(ofMessage);
  return kind === 'nullValue' ? null : (message as unknown as Record<string, unknown>)[kind];
}
function asJson(tree: Tree): unknown {
  if (tree instanceof Uint8Array) return { $binary: base64(tree) };
  if (Array.isArray(tree)) return tree.map(asJson);
  if (!(tree instanceof Map)) return tree;
  return Object.fromEntries([...(tree as ReadonlyMap<string, Tree>)].map(([key, child]) => [key, asJson(child)]));
}

test('types of BSON that a value has no word for become text', () => {
  const id = new ObjectId('0123456789abcdef01234567');
  const bytes = serialize({
    id,
    at: new Date(1),
    d: Decimal128.fromString('1.50'),
    n: Long.fromString('9007199254740993'),
    uuid: new Binary(Buffer.alloc(16, 7), 4),
    old: new Binary(Buffer.of(1, 2), 2),
  });
  expect(decodeValue('bson', Buffer.concat([Buffer.of(3), bytes]))).toEqual(
    new Map<string, Tree>([
      ['id', '0123456789abcdef01234567'],
      ['at', '1970-01-01T00:00:00.001Z'],
      ['d', '1.50'],
      ['n', 9007199254740993n],
      ['uuid', Buffer.alloc(16, 7)],
      ['old', Buffer.of(1, 2)],
    ]),
  );
});

test.each([
  ['d6ff00000001', '1970-01-01T00:00:01.000Z'],
  ['d7ff0000000400000001', '1970-01-01T00:00:01.000000001Z'],
  ['d7ff3d09000000000001', '1970-01-01T00:00:01.256Z'],
  ['c70cff00000000ffffffffffffffff', '1969-12-31T23:59:59.000Z'],
])('MessagePack timestamp %s is %s', (hex, text) => {
  expect(decodeValue('msgpack', Buffer.from(hex, 'hex'))).toBe(text);
});
