import { type ByteWriter, utf8Bytes } from './byte-writer.js';
import { writtenMembers } from './tree.js';
import { decodeValue, Encoded } from './values.js';

const MAX_UINT64 = 2n ** 64n - 1n;
const MIN_INT64 = -(2n ** 63n);

/** Writes a tree or document in the shortest form. An integer beyond 64 bits becomes its decimal digits as a string. */
export function writeMsgpack(out: ByteWriter, node: unknown): void {
  if (typeof node === 'string') writeString(out, node);
  else if (typeof node === 'number') writeNumber(out, node);
  else if (typeof node === 'bigint') writeBigint(out, node);
  else if (typeof node === 'boolean') out.byte(node ? 0xc3 : 0xc2);
  else if (node === null) out.byte(0xc0);
  else if (Array.isArray(node)) {
    writeLength(out, node.length, 16, 0x90, undefined, 0xdc);
    for (const item of node) writeMsgpack(out, item);
  } else if (node instanceof Encoded) {
    if (node.format === 'msgpack') out.bytes(node.bytes);
    else writeMsgpack(out, decodeValue(node.format, node.bytes));
  } else if (node instanceof Uint8Array) {
    writeLength(out, node.length, 0, 0, 0xc4, 0xc5);
    out.bytes(node);
  } else {
    const members = writtenMembers(node as object);
    writeLength(out, members.length, 16, 0x80, undefined, 0xde);
    for (const [name, value] of members) {
      writeString(out, name);
      writeMsgpack(out, value);
    }
  }
}

function writeString(out: ByteWriter, text: string): void {
  const bytes = utf8Bytes(text);
  writeLength(out, bytes, 32, 0xa0, 0xd9, 0xda);
  out.text(text, bytes);
}

/** @param fixed below how many the type byte holds the length itself; @param type16 is followed by the one for 32 bits */
function writeLength(
  out: ByteWriter,
  length: number,
  fixed: number,
  fixedType: number,
  type8: number | undefined,
  type16: number,
): void {
  if (length < fixed) out.byte(fixedType | length);
  else if (type8 !== undefined && length < 2 ** 8) writeUint(out, type8, 1, length);
  else if (length < 2 ** 16) writeUint(out, type16, 2, length);
  else writeUint(out, type16 + 1, 4, length);
}

function writeUint(out: ByteWriter, type: number, bytes: number, value: number): void {
  out.byte(type);
  const at = out.length;
  out.grow(bytes).writeUIntBE(value, at, bytes);
}

function writeNumber(out: ByteWriter, number: number): void {
  if (!Number.isSafeInteger(number) || Object.is(number, -0)) {
    out.byte(0xcb);
    const at = out.length;
    out.grow(8).writeDoubleBE(number, at);
  } else if (number >= 0) {
    if (number < 2 ** 7) out.byte(number);
    else if (number < 2 ** 8) writeUint(out, 0xcc, 1, number);
    else if (number < 2 ** 16) writeUint(out, 0xcd, 2, number);
    else if (number < 2 ** 32) writeUint(out, 0xce, 4, number);
    else writeBigint(out, BigInt(number));
  } else if (number >= -(2 ** 5)) out.byte(number & 0xff);
  else if (number >= -(2 ** 7)) writeUint(out, 0xd0, 1, number + 2 ** 8);
  else if (number >= -(2 ** 15)) writeUint(out, 0xd1, 2, number + 2 ** 16);
  else if (number >= -(2 ** 31)) writeUint(out, 0xd2, 4, number + 2 ** 32);
  else writeBigint(out, BigInt(number));
}

function writeBigint(out: ByteWriter, integer: bigint): void {
  if (integer > MAX_UINT64 || integer < MIN_INT64) {
    writeString(out, integer.toString());
    return;
  }
  out.byte(integer < 0n ? 0xd3 : 0xcf);
  const at = out.length;
  out.grow(8).writeBigUInt64BE(BigInt.asUintN(64, integer), at);
}
