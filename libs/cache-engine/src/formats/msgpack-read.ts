import { MAX_DEPTH } from '../json/scan.js';
import { Cursor } from './cursor.js';
import type { Splitter } from './splitter.js';
import { EMPTY_MAP, exactInteger, type Tree } from './tree.js';

const TIMESTAMP = -1;

/**
 * Reads a MessagePack value (github.com/msgpack/msgpack, spec.md). Timestamps become RFC 3339 text; no other extension
 * is known. Names must be strings.
 *
 * @throws MalformedBody
 */
export function decodeMsgpack(bytes: Buffer): Tree {
  const cursor = new Cursor('msgpack', bytes);
  const tree = read(cursor, MAX_DEPTH, true);
  cursor.finish();
  return tree;
}

export const msgpackSplitter: Splitter<Buffer> = {
  open: (bytes) => bytes,
  members(bytes, maxDepth) {
    const cursor = new Cursor('msgpack', bytes);
    const members = new Map<string, Buffer>();
    for (let left = mapCount(cursor); left > 0; left--) {
      const at = cursor.at;
      const name = readName(cursor);
      if (members.has(name)) throw cursor.malformed(`member ${JSON.stringify(name)} occurs twice`, at);
      members.set(name, span(cursor, maxDepth - 1));
    }
    cursor.finish();
    return members;
  },
  items(bytes, maxDepth) {
    const cursor = new Cursor('msgpack', bytes);
    const items: Buffer[] = [];
    for (let left = arrayCount(cursor); left > 0; left--) items.push(span(cursor, maxDepth - 1));
    cursor.finish();
    return items;
  },
  tree: decodeMsgpack,
  bytes: (bytes) => bytes,
};

function span(cursor: Cursor, levels: number): Buffer {
  const start = cursor.at;
  read(cursor, levels, false);
  return cursor.bytes.subarray(start, cursor.at);
}

/** @param levels of nesting that are left; @param keep false: only check, and build no arrays and objects */
function read(cursor: Cursor, levels: number, keep: boolean): Tree {
  const start = cursor.at;
  const type = cursor.byte();
  if (type < 0x80) return type;
  if (type >= 0xe0) return type - 0x100;
  if (type >= 0xa0 && type < 0xc0) return cursor.text(type & 0x1f);
  if (type < 0xa0 || type >= 0xdc) {
    cursor.at = start;
    if (levels < 1) throw cursor.malformed(`nested deeper than ${MAX_DEPTH} levels`);
    const isMap = type < 0x90 || type >= 0xde;
    return isMap ? readMap(cursor, levels - 1, keep) : readArray(cursor, levels - 1, keep);
  }
  switch (type) {
    case 0xc0:
      return null;
    case 0xc2:
    case 0xc3:
      return type === 0xc3;
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return cursor.view(uint(cursor, 1 << (type - 0xc4)));
    case 0xca:
      return cursor.bytes.readFloatBE(cursor.take(4));
    case 0xcb:
      return cursor.bytes.readDoubleBE(cursor.take(8));
    case 0xcc:
    case 0xcd:
    case 0xce:
      return uint(cursor, 1 << (type - 0xcc));
    case 0xcf:
      return exactInteger(cursor.bytes.readBigUInt64BE(cursor.take(8)));
    case 0xd0:
      return cursor.bytes.readInt8(cursor.take(1));
    case 0xd1:
      return cursor.bytes.readInt16BE(cursor.take(2));
    case 0xd2:
      return cursor.bytes.readInt32BE(cursor.take(4));
    case 0xd3:
      return exactInteger(cursor.bytes.readBigInt64BE(cursor.take(8)));
    case 0xd9:
    case 0xda:
    case 0xdb:
      return cursor.text(uint(cursor, 1 << (type - 0xd9)));
    case 0xc1:
      throw cursor.malformed('type 0xc1, which is never used,', start);
    default:
      return readExtension(cursor, start, type >= 0xd4 ? 1 << (type - 0xd4) : uint(cursor, 1 << (type - 0xc7)));
  }
}

function readArray(cursor: Cursor, levels: number, keep: boolean): Tree {
  const items: Tree[] = [];
  for (let left = arrayCount(cursor); left > 0; left--) {
    const item = read(cursor, levels, keep);
    if (keep) items.push(item);
  }
  return items;
}

function readMap(cursor: Cursor, levels: number, keep: boolean): Tree {
  const count = mapCount(cursor);
  const members = keep && count > 0 ? new Map<string, Tree>() : undefined;
  for (let left = count; left > 0; left--) {
    const name = readName(cursor);
    const value = read(cursor, levels, keep);
    members?.set(name, value);
  }
  return members ?? EMPTY_MAP;
}

function arrayCount(cursor: Cursor): number {
  return count(cursor, 'array', 0x90, 0xdc, 1);
}

function mapCount(cursor: Cursor): number {
  return count(cursor, 'map', 0x80, 0xde, 2);
}

/** @param leastBytes that an item takes: more items than there are bytes for are refused before anything is made */
function count(cursor: Cursor, kind: string, fixed: number, long: number, leastBytes: number): number {
  const start = cursor.at;
  const type = cursor.byte();
  let items = type & 0x0f;
  if (type === long || type === long + 1) items = uint(cursor, type === long ? 2 : 4);
  else if ((type & 0xf0) !== fixed) throw cursor.malformed(`a ${kind} expected`, start);
  if (items * leastBytes > cursor.left) throw cursor.malformed(`a ${kind} of ${items} in ${cursor.left} bytes`, start);
  return items;
}

function readName(cursor: Cursor): string {
  const start = cursor.at;
  const type = cursor.byte();
  if ((type & 0xe0) === 0xa0) return cursor.text(type & 0x1f);
  if (type < 0xd9 || type > 0xdb) throw cursor.malformed('a name that is not a string', start);
  return cursor.text(uint(cursor, 1 << (type - 0xd9)));
}

function uint(cursor: Cursor, bytes: number): number {
  return cursor.bytes.readUIntBE(cursor.take(bytes), bytes);
}

function readExtension(cursor: Cursor, start: number, bytes: number): string {
  const type = cursor.bytes.readInt8(cursor.take(1));
  const at = cursor.take(bytes);
  if (type !== TIMESTAMP) throw cursor.malformed(`extension type ${type}, which is not supported,`, start);
  const text = timestamp(cursor.bytes, at, bytes);
  if (text === undefined) throw cursor.malformed('a timestamp that is none', start);
  return text;
}

/** RFC 3339, with nanoseconds only where there are any. */
function timestamp(bytes: Buffer, at: number, length: number): string | undefined {
  let nanoseconds = 0;
  let seconds: number;
  if (length === 4) seconds = bytes.readUInt32BE(at);
  else if (length === 8) {
    nanoseconds = bytes.readUInt32BE(at) >>> 2;
    seconds = (bytes.readUInt32BE(at) & 3) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  } else if (length === 12) {
    nanoseconds = bytes.readUInt32BE(at);
    seconds = Number(bytes.readBigInt64BE(at + 4));
  } else return undefined;
  const date = new Date(seconds * 1000);
  if (nanoseconds > 999_999_999 || Number.isNaN(date.getTime())) return undefined;
  const digits = String(nanoseconds).padStart(9, '0');
  return date.toISOString().replace('000Z', `${digits.endsWith('000000') ? digits.slice(0, 3) : digits}Z`);
}
