import { decodeBson } from './bson-read.js';
import type { BodyFormat } from './format.js';
import { decodeJson } from './json-format.js';
import { decodeMsgpack } from './msgpack-read.js';
import { decodeProtobuf } from './protobuf-value.js';
import type { Tree } from './tree.js';

const DECODERS: Readonly<Record<BodyFormat, (bytes: Buffer) => Tree>> = {
  json: decodeJson,
  msgpack: decodeMsgpack,
  protobuf: decodeProtobuf,
  bson: decodeBson,
};

/**
 * Reads a value as it is stored in a format: a JSON text, a MessagePack value, a google.protobuf.Value, a BSON element
 * without its name. Binary is a view of the bytes.
 *
 * @throws MalformedBody
 */
export function decodeValue(format: BodyFormat, bytes: Buffer): Tree {
  return DECODERS[format](bytes);
}

/** A value in one of the formats, as it is stored. A leaf of a document that is to be written. */
export class Encoded {
  constructor(
    readonly format: BodyFormat,
    readonly bytes: Buffer,
  ) {}
}
