import { writeBson } from './bson-write.js';
import { ByteWriter } from './byte-writer.js';
import type { BodyFormat } from './format.js';
import { jsonTextOf } from './json-write.js';
import { writeMsgpack } from './msgpack-write.js';
import { protobufValue } from './protobuf-value-write.js';
import type { Tree } from './tree.js';
import { decodeValue } from './values.js';

/**
 * Writes a value as it is stored in a format (see `decodeValue`). What a format cannot say becomes what is nearest:
 *
 * - JSON: binary is `{"$binary":"<base64>"}`, a number that is not finite null.
 * - Protocol Buffers: binary as in JSON; an integer beyond 2^53 its digits as a string.
 * - MessagePack, BSON: an integer beyond 64 bits its digits as a string.
 *
 * @throws NotRepresentable where nothing is near: a NUL in the name of a BSON member
 */
export function encodeValue(format: BodyFormat, tree: Tree): Buffer {
  if (format === 'json') return Buffer.from(jsonTextOf(tree));
  if (format === 'protobuf') return protobufValue(tree);
  const out = new ByteWriter();
  if (format === 'msgpack') writeMsgpack(out, tree);
  else {
    out.byte(0);
    const type = writeBson(out, tree);
    out.grow(0)[0] = type;
  }
  return out.finish();
}

/**
 * A stored value in another format. Within one format these are the bytes themselves, neither copied nor checked.
 *
 * @throws MalformedBody, NotRepresentable
 */
export function convertValue(from: BodyFormat, to: BodyFormat, bytes: Buffer): Buffer {
  return from === to ? bytes : encodeValue(to, decodeValue(from, bytes));
}
