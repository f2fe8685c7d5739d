import type { Cursor } from './cursor.js';

/** Wire types of the Protocol Buffers encoding; groups (3 and 4) have no place in proto3. */
export const WIRE = { varint: 0, fixed64: 1, delimited: 2, fixed32: 5 } as const;

/** A place in a message at which the content of a field starts. */
export interface WireField {
  readonly id: number;
  readonly wire: number;
  /** Of the tag. */
  readonly at: number;
}

/** The next field of a message. @throws MalformedBody */
export function readTag(cursor: Cursor): WireField {
  const { at } = cursor;
  const tag = Number(readVarint(cursor));
  const id = Math.floor(tag / 8);
  if (id < 1 || id >= 2 ** 29) throw cursor.malformed(`a field of the number ${id}`, at);
  return { id, wire: tag % 8, at };
}

/** Refuses a field that is not encoded as its type. @throws MalformedBody */
export function expectWire(cursor: Cursor, { id, wire, at }: WireField, expected: number): void {
  if (wire !== expected) throw cursor.malformed(`field ${id} has wire type ${wire} and not ${expected}`, at);
}

/** The content of a string, bytes or message field. @throws MalformedBody */
export function readDelimited(cursor: Cursor): Cursor {
  return cursor.within(Number(readVarint(cursor)));
}

/** An unsigned 64-bit varint. @throws MalformedBody */
export function readVarint(cursor: Cursor): bigint | number {
  const start = cursor.at;
  let low = 0;
  // Below 2^49 a double is exact, and faster than a bigint.
  for (let scale = 1; scale < 2 ** 49; scale *= 128) {
    const byte = cursor.byte();
    low += (byte & 0x7f) * scale;
    if (byte < 0x80) return low;
  }
  let value = BigInt(low);
  for (let shift = 49n; shift < 70n; shift += 7n) {
    const byte = cursor.byte();
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw cursor.malformed('a varint of more than 10 bytes', start);
}
