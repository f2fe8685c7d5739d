import { Decimal128 } from 'bson';
import { MAX_DEPTH } from '../json/scan.js';
import { Cursor } from './cursor.js';
import type { Splitter } from './splitter.js';
import { EMPTY_MAP, exactInteger, type Tree } from './tree.js';

/** Element types of BSON 1.1 (bsonspec.org) that a value can be. */
export const BSON = {
  double: 0x01,
  string: 0x02,
  document: 0x03,
  array: 0x04,
  binary: 0x05,
  objectId: 0x07,
  boolean: 0x08,
  date: 0x09,
  null: 0x0a,
  int32: 0x10,
  int64: 0x12,
  decimal128: 0x13,
} as const;

/** The old generic binary, which has its length a second time inside. */
const OLD_BINARY = 2;

/**
 * Reads a stored BSON value: the type byte of an element, and after it the element without its name. So a document is
 * 0x03 and the bytes of the document, and a value that is none is told apart from it.
 *
 * ObjectId becomes hexadecimal text, a date RFC 3339 text, Decimal128 its digits as text, binary of any subtype binary.
 *
 * @throws MalformedBody; also for regular expressions, code, symbols, DBPointer, timestamps, undefined, min and max key
 */
export function decodeBson(bytes: Buffer): Tree {
  const cursor = new Cursor('bson', bytes);
  const tree = read(cursor, cursor.byte(), MAX_DEPTH, true);
  cursor.finish();
  return tree;
}

/** The parts are stored values; a body as it comes is a document without the type byte. */
export const bsonSplitter: Splitter<Buffer> = {
  open: (bytes) => typed(BSON.document, bytes),
  members(bytes, maxDepth) {
    const members = new Map<string, Buffer>();
    split(bytes, BSON.document, maxDepth, (name, value, malformed) => {
      if (members.has(name)) throw malformed(`member ${JSON.stringify(name)} occurs twice`);
      members.set(name, value);
    });
    return members;
  },
  items(bytes, maxDepth) {
    const items: Buffer[] = [];
    split(bytes, BSON.array, maxDepth, (_, value) => items.push(value));
    return items;
  },
  tree: decodeBson,
  bytes: (bytes) => bytes,
};

function typed(type: number, bytes: Buffer): Buffer {
  const value = Buffer.allocUnsafeSlow(bytes.length + 1);
  value[0] = type;
  value.set(bytes, 1);
  return value;
}

function split(
  bytes: Buffer,
  type: number,
  maxDepth: number,
  visit: (name: string, value: Buffer, malformed: (reason: string) => Error) => void,
): void {
  const cursor = new Cursor('bson', bytes);
  if (cursor.byte() !== type)
    throw cursor.malformed(type === BSON.array ? 'an array expected' : 'a document expected', 0);
  forEachElement(cursor, (content, elementType, name) => {
    const start = content.at;
    read(content, elementType, maxDepth - 1, false);
    const value = typed(elementType, bytes.subarray(start, content.at));
    visit(name, value, (reason) => content.malformed(reason, start));
  });
  cursor.finish();
}

function forEachElement(cursor: Cursor, visit: (content: Cursor, type: number, name: string) => void): void {
  const start = cursor.at;
  const length = cursor.bytes.readInt32LE(cursor.take(4));
  if (length < 5) throw cursor.malformed(`a document of ${length} bytes`, start);
  const content = cursor.within(length - 4);
  for (let type = content.byte(); type !== 0; type = content.byte()) visit(content, type, cstring(content));
  content.finish();
}

function cstring(cursor: Cursor): string {
  const end = cursor.bytes.indexOf(0, cursor.at);
  if (end === -1 || end >= cursor.end) throw cursor.malformed('a name without an end');
  const text = cursor.text(end - cursor.at);
  cursor.take(1);
  return text;
}

/** @param levels of nesting that are left; @param keep false: only check, and build no arrays and objects */
function read(cursor: Cursor, type: number, levels: number, keep: boolean): Tree {
  const { at: start, bytes } = cursor;
  switch (type) {
    case BSON.double:
      return bytes.readDoubleLE(cursor.take(8));
    case BSON.string:
      return string(cursor);
    case BSON.document:
    case BSON.array:
      if (levels < 1) throw cursor.malformed(`nested deeper than ${MAX_DEPTH} levels`);
      return type === BSON.array ? array(cursor, levels - 1, keep) : document(cursor, levels - 1, keep);
    case BSON.binary:
      return binary(cursor);
    case BSON.objectId:
      return cursor.view(12).toString('hex');
    case BSON.boolean: {
      const byte = cursor.byte();
      if (byte > 1) throw cursor.malformed(`a boolean of ${byte}`, start);
      return byte === 1;
    }
    case BSON.date: {
      const date = new Date(Number(bytes.readBigInt64LE(cursor.take(8))));
      if (Number.isNaN(date.getTime())) throw cursor.malformed('a date beyond the range of dates', start);
      return date.toISOString();
    }
    case BSON.null:
      return null;
    case BSON.int32:
      return bytes.readInt32LE(cursor.take(4));
    case BSON.int64:
      return exactInteger(bytes.readBigInt64LE(cursor.take(8)));
    case BSON.decimal128:
      return new Decimal128(cursor.view(16)).toString();
    default:
      throw cursor.malformed(`element type 0x${type.toString(16)}, which is not supported,`, start);
  }
}

function document(cursor: Cursor, levels: number, keep: boolean): Tree {
  let members: Map<string, Tree> | undefined;
  forEachElement(cursor, (content, type, name) => {
    const value = read(content, type, levels, keep);
    if (keep) (members ??= new Map()).set(name, value);
  });
  return members ?? EMPTY_MAP;
}

/** The names, which should count up, are not looked at: drivers take any. */
function array(cursor: Cursor, levels: number, keep: boolean): Tree {
  const items: Tree[] = [];
  forEachElement(cursor, (content, type) => {
    const item = read(content, type, levels, keep);
    if (keep) items.push(item);
  });
  return items;
}

function string(cursor: Cursor): string {
  const start = cursor.at;
  const length = cursor.bytes.readInt32LE(cursor.take(4));
  if (length < 1) throw cursor.malformed(`a string of ${length} bytes`, start);
  const text = cursor.text(length - 1);
  if (cursor.byte() !== 0) throw cursor.malformed('a string without its final NUL', start);
  return text;
}

function binary(cursor: Cursor): Buffer {
  const start = cursor.at;
  const length = cursor.bytes.readInt32LE(cursor.take(4));
  if (length < 0) throw cursor.malformed(`a binary of ${length} bytes`, start);
  const subtype = cursor.byte();
  if (subtype !== OLD_BINARY) return cursor.view(length);
  const content = cursor.within(length);
  const inner = content.bytes.readInt32LE(content.take(4));
  if (inner !== content.left) throw cursor.malformed('a binary with two lengths', start);
  return content.view(inner);
}
