import { BSON } from './bson-read.js';
import { type ByteWriter, utf8Bytes } from './byte-writer.js';
import { NotRepresentable } from './errors.js';
import { writtenMembers } from './tree.js';
import { decodeValue, Encoded } from './values.js';

/**
 * Writes the element without type and name that a tree or document is, and gives its type. An integer is an int32 or
 * int64, and beyond 64 bits its decimal digits as a string.
 *
 * @throws NotRepresentable where the name of a member has a NUL
 */
export function writeBson(out: ByteWriter, node: unknown): number {
  if (typeof node === 'string') return writeString(out, node);
  if (typeof node === 'number') return writeNumber(out, node);
  if (typeof node === 'bigint') return writeBigint(out, node);
  if (typeof node === 'boolean') {
    out.byte(node ? 1 : 0);
    return BSON.boolean;
  }
  if (node === null) return BSON.null;
  if (Array.isArray(node)) {
    writeElements(
      out,
      node.map((item, index) => [String(index), item] as const),
    );
    return BSON.array;
  }
  if (node instanceof Encoded) {
    if (node.format !== 'bson') return writeBson(out, decodeValue(node.format, node.bytes));
    out.bytes(node.bytes.subarray(1));
    return node.bytes[0] ?? BSON.null;
  }
  if (node instanceof Uint8Array) {
    writeInt32(out, node.length);
    out.byte(0);
    out.bytes(node);
    return BSON.binary;
  }
  writeElements(out, writtenMembers(node as object));
  return BSON.document;
}

function writeElements(out: ByteWriter, elements: readonly (readonly [string, unknown])[]): void {
  const start = out.length;
  out.grow(4);
  for (const [name, value] of elements) {
    if (name.includes('\0')) throw new NotRepresentable('bson', 'the name of a member has a NUL');
    const typeAt = out.length;
    out.byte(0);
    out.text(name, utf8Bytes(name));
    out.byte(0);
    const type = writeBson(out, value);
    out.grow(0)[typeAt] = type;
  }
  out.byte(0);
  out.grow(0).writeInt32LE(out.length - start, start);
}

function writeString(out: ByteWriter, text: string): number {
  const bytes = utf8Bytes(text);
  writeInt32(out, bytes + 1);
  out.text(text, bytes);
  out.byte(0);
  return BSON.string;
}

function writeNumber(out: ByteWriter, number: number): number {
  if (!Number.isSafeInteger(number) || Object.is(number, -0)) {
    const at = out.length;
    out.grow(8).writeDoubleLE(number, at);
    return BSON.double;
  }
  if ((number | 0) !== number) return writeBigint(out, BigInt(number));
  writeInt32(out, number);
  return BSON.int32;
}

function writeBigint(out: ByteWriter, integer: bigint): number {
  if (BigInt.asIntN(64, integer) !== integer) return writeString(out, integer.toString());
  const at = out.length;
  out.grow(8).writeBigInt64LE(integer, at);
  return BSON.int64;
}

function writeInt32(out: ByteWriter, value: number): void {
  const at = out.length;
  out.grow(4).writeInt32LE(value, at);
}
