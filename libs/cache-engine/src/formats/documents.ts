import { MAX_DEPTH } from '../json/scan.js';
import { bsonSplitter } from './bson-read.js';
import { writeBson } from './bson-write.js';
import { ByteWriter } from './byte-writer.js';
import type { BodyFormat } from './format.js';
import { jsonSplitter } from './json-format.js';
import { jsonTextOf } from './json-write.js';
import { msgpackSplitter } from './msgpack-read.js';
import { writeMsgpack } from './msgpack-write.js';
import { readMessage, writeMessage } from './protobuf-document.js';
import type { Splitter } from './splitter.js';
import { plain, plainMembers, type PlainObject } from './tree.js';
import { Encoded } from './values.js';

/** Where in a body values are that stay as they came. */
type RawMembers = 'value' | 'entries[].value' | 'none';

export interface DocumentShape {
  readonly rawMembers: RawMembers;
  /** The message of `CACHE_PROTO` that the body is in Protocol Buffers. */
  readonly messageName: string;
}

/**
 * Reads the body of a request as a plain object, for a schema to check, in which the raw members are `Encoded` in the
 * format of the body. All of it is checked, the raw members too; each of those may nest `MAX_DEPTH` levels on its own.
 * Objects have no prototype: `__proto__` is a name like any other.
 *
 * @throws MalformedBody; also where a name occurs twice outside of values
 */
export function readDocument(
  format: BodyFormat,
  bytes: Buffer,
  { rawMembers, messageName }: DocumentShape,
): PlainObject {
  switch (format) {
    case 'json':
      return readParts(jsonSplitter, format, bytes, rawMembers);
    case 'msgpack':
      return readParts(msgpackSplitter, format, bytes, rawMembers);
    case 'bson':
      return readParts(bsonSplitter, format, bytes, rawMembers);
    case 'protobuf':
      return readMessage(bytes, messageName);
  }
}

function readParts<Part>(
  splitter: Splitter<Part>,
  format: BodyFormat,
  bytes: Buffer,
  rawMembers: RawMembers,
): PlainObject {
  const raw = (part: Part) => new Encoded(format, splitter.bytes(part));
  const entry = (part: Part) => members(part, MAX_DEPTH + 1, { value: raw });
  const entries = (part: Part) => splitter.items(part, MAX_DEPTH + 2).map(entry);
  const body = splitter.open(bytes);
  if (rawMembers === 'value') return members(body, MAX_DEPTH + 1, { value: raw });
  if (rawMembers === 'entries[].value') return members(body, MAX_DEPTH + 3, { entries });
  return members(body, MAX_DEPTH, {});

  function members(part: Part, maxDepth: number, readers: Readonly<Record<string, (part: Part) => unknown>>) {
    const parts = [...splitter.members(part, maxDepth)];
    return plainMembers(
      parts.map(([name, member]) => {
        const read = Object.hasOwn(readers, name) ? readers[name] : undefined;
        return [name, read ? read(member) : plain(splitter.tree(member))] as const;
      }),
    );
  }
}

/**
 * Writes the body of a response: plain objects or maps, arrays, scalars, binary, and `Encoded` values, of which those in
 * the format of the body go in as the bytes that they are. Members that are undefined are left out.
 *
 * @param messageName of `CACHE_PROTO`, for Protocol Buffers
 * @throws MalformedBody where a value in another format is damaged
 * @throws NotRepresentable where the format cannot say a value
 */
export function writeDocument(format: BodyFormat, document: object, messageName: string): Buffer {
  if (format === 'json') return Buffer.from(jsonTextOf(document));
  if (format === 'protobuf') return writeMessage(document, messageName);
  const out = new ByteWriter();
  if (format === 'msgpack') writeMsgpack(out, document);
  else writeBson(out, document);
  return out.finish();
}
