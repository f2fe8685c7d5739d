import fc from 'fast-check';
import { MAX_DEPTH } from '../json/scan.js';
import { readDocument } from './documents.js';
import { convertValue, encodeValue } from './encode.js';
import { MalformedBody, NotRepresentable } from './errors.js';
import type { BodyFormat } from './format.js';
import type { Tree } from './tree.js';
import { decodeValue } from './values.js';

const FORMATS: BodyFormat[] = ['json', 'msgpack', 'protobuf', 'bson'];
const SHAPES = [
  { rawMembers: 'value', messageName: 'WriteRequest' },
  { rawMembers: 'entries[].value', messageName: 'BulkSetRequest' },
  { rawMembers: 'none', messageName: 'InvalidateRequest' },
] as const;

/** Whether bytes are read; fails where reading throws anything but the one error. */
function isRead(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (!(error instanceof MalformedBody)) throw error;
    return false;
  }
}

function readEverything(bytes: Buffer): void {
  for (const format of FORMATS) {
    isRead(() => decodeValue(format, bytes));
    for (const shape of SHAPES) isRead(() => readDocument(format, bytes, shape));
  }
}

function nested(levels: number): Tree {
  let tree: Tree = [];
  for (let level = 1; level < levels; level++) tree = level % 2 === 0 ? [tree] : new Map([['a', tree]]);
  return tree;
}

const valid: Tree = new Map<string, Tree>([
  ['value', new Map<string, Tree>([['a', [1, -5, 1.5, 2 ** 40, true, null, 'é'.repeat(40), Buffer.from('abc')]]])],
  ['options', new Map<string, Tree>([['tags', ['a', 'b']]])],
]);

test('random bytes are read or refused, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      readEverything(Buffer.from(bytes));
    }),
    { numRuns: 1000 },
  );
});

test.each(FORMATS)('%s with some bytes changed, cut or doubled is read or refused, and nothing else', (format) => {
  const bytes = encodeValue(format, valid);
  const place = fc.nat(bytes.length - 1);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(place, fc.nat(255)), { maxLength: 4 }),
      place,
      place,
      (changes, cutStart, cutLength) => {
        const mutated = Buffer.from(bytes);
        for (const [at, byte] of changes) mutated[at] = byte;
        readEverything(mutated);
        readEverything(mutated.subarray(1));
        readEverything(Buffer.concat([mutated.subarray(0, cutStart), mutated.subarray(cutStart + (cutLength % 9))]));
        readEverything(Buffer.concat([mutated.subarray(0, cutStart), mutated.subarray(cutStart >> 1)]));
        // What is read can be written in every other format.
        if (!isRead(() => decodeValue(format, mutated))) return;
        for (const to of FORMATS) {
          try {
            decodeValue(to, convertValue(format, to, mutated));
          } catch (error) {
            expect(error).toBeInstanceOf(NotRepresentable);
          }
        }
      },
    ),
    { numRuns: 200 },
  );
});

test.each(FORMATS)('%s is refused at every length but its own', (format) => {
  const bytes = encodeValue(format, valid);
  for (let length = 0; length < bytes.length; length++) {
    expect(isRead(() => decodeValue(format, bytes.subarray(0, length)))).toBe(false);
  }
  expect(isRead(() => decodeValue(format, Buffer.concat([bytes, Buffer.of(0)])))).toBe(false);
  expect(isRead(() => decodeValue(format, bytes))).toBe(true);
});

test.each(FORMATS)('%s nested deeper than the limit is refused, and at the limit read', (format) => {
  expect(isRead(() => decodeValue(format, encodeValue(format, nested(MAX_DEPTH))))).toBe(true);
  expect(isRead(() => decodeValue(format, encodeValue(format, nested(MAX_DEPTH + 1))))).toBe(false);
});

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

test.each<[string, BodyFormat, Buffer]>([
  ['array of 4 billion', 'msgpack', hex('dd ffffffff')],
  ['map of 4 billion', 'msgpack', hex('df ffffffff')],
  ['string of 4 GB', 'msgpack', hex('db ffffffff')],
  ['binary of 4 GB', 'msgpack', hex('c6 ffffffff')],
  ['extension of 4 GB', 'msgpack', hex('c9 ffffffff 01')],
  ['extension that nobody knows', 'msgpack', hex('d4 01 00')],
  ['timestamp of a wrong length', 'msgpack', hex('d5 ff 0000')],
  ['timestamp of 10^9 nanoseconds', 'msgpack', hex('c70cff 3b9aca00 0000000000000000')],
  ['timestamp beyond dates', 'msgpack', hex('c70cff 00000000 7fffffffffffffff')],
  ['type that is never used', 'msgpack', hex('c1')],
  ['number as a name', 'msgpack', hex('81 01 01')],
  ['binary as a name', 'msgpack', hex('81 c40161 01')],
  ['overlong UTF-8', 'msgpack', hex('a2 c080')],
  ['100,000 arrays', 'msgpack', Buffer.alloc(100_000, 0x91)],
  ['100,000 array heads of many', 'msgpack', Buffer.alloc(300_000, hex('dcffff'))],
  ['document of a negative length', 'bson', hex('03 ffffffff 00')],
  ['document of 4 bytes', 'bson', hex('03 04000000 00')],
  ['document of 2 GB', 'bson', hex('03 ffffff7f 00')],
  ['document that ends early', 'bson', hex('03 06000000 00 00')],
  ['string of no bytes', 'bson', hex('02 00000000 00')],
  ['string of a negative length', 'bson', hex('02 ffffffff 00')],
  ['string without its end', 'bson', hex('02 02000000 61 62')],
  ['name without an end', 'bson', hex('03 07000000 0a 61 61')],
  ['boolean of 2', 'bson', hex('08 02')],
  ['binary with two lengths', 'bson', hex('05 06000000 02 01000000 6162')],
  ['binary of a negative length', 'bson', hex('05 ffffffff 00')],
  ['date beyond dates', 'bson', hex('09 ffffffffffffff7f')],
  ['regular expression', 'bson', hex('0b 61 00 00')],
  ['code', 'bson', hex('0d 02000000 61 00')],
  ['min key', 'bson', hex('ff')],
  ['undefined', 'bson', hex('06')],
  ['nothing', 'bson', Buffer.alloc(0)],
  ['100,000 documents', 'bson', Buffer.alloc(700_000, hex('03 ffffff00 03 6100'))],
  ['no kind', 'protobuf', Buffer.alloc(0)],
  ['two kinds', 'protobuf', hex('0800 2001')],
  ['unknown field', 'protobuf', hex('3801')],
  ['field of the number 0', 'protobuf', hex('0001')],
  ['wrong wire type', 'protobuf', hex('1801')],
  ['group', 'protobuf', hex('0b0c')],
  ['string of 2^63 bytes', 'protobuf', hex('1a ffffffffffffffff7f')],
  ['endless varint', 'protobuf', hex('08 ffffffffffffffffffffffff01')],
  ['invalid UTF-8', 'protobuf', hex('1a01 ff')],
  ['entry without a value', 'protobuf', hex('2a05 0a03 0a0161')],
  ['invalid UTF-8', 'json', hex('22ff22')],
  ['byte order mark', 'json', Buffer.from('\ufeff1')],
  ['100,000 arrays', 'json', Buffer.from('['.repeat(100_000) + ']'.repeat(100_000))],
])('%s in %s is refused at once', (_, format, bytes) => {
  const memory = process.memoryUsage().arrayBuffers;
  const start = performance.now();
  expect(isRead(() => decodeValue(format, bytes))).toBe(false);
  expect(performance.now() - start).toBeLessThan(100);
  expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(2 ** 20);
});

test('the error says what is wrong and where', () => {
  expect(() => decodeValue('msgpack', hex('92 01 c1'))).toThrow('msgpack: type 0xc1, which is never used, at byte 2');
  const text = '["é" x]';
  expect(() => decodeValue('json', Buffer.from(text))).toThrow('json: the text is not valid JSON at byte 6');
  expect(() => decodeValue('json', Buffer.from('at position 1'))).toThrow('json: the text is not valid JSON at byte 0');
});
