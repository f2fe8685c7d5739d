import { Writer } from 'protobufjs';
import { MAX_DEPTH } from '../json/scan.js';
import { Cursor } from './cursor.js';
import { type MessageField, type MessageSchema, messageSchema } from './protobuf-schema.js';
import { ENTRY, readText, readValue } from './protobuf-value.js';
import { finished, startField, writeField, writeStruct } from './protobuf-value-write.js';
import { expectWire, readDelimited, readTag, readVarint, WIRE, type WireField } from './protobuf-wire.js';
import { exactInteger, plain, plainMembers, type PlainObject, writtenMembers } from './tree.js';
import { Encoded } from './values.js';

const WIRE_OF: Readonly<Record<MessageField['type']['kind'], number>> = {
  bool: WIRE.varint,
  int64: WIRE.varint,
  double: WIRE.fixed64,
  string: WIRE.delimited,
  value: WIRE.delimited,
  struct: WIRE.delimited,
  message: WIRE.delimited,
};

/**
 * Reads a message of `CACHE_PROTO`. A field `value` stays encoded. As in JSON, an unknown field is refused rather than
 * skipped, and so is a field that may be there once and is there twice, which Protocol Buffers would merge.
 *
 * @throws MalformedBody
 */
export function readMessage(bytes: Buffer, messageName: string): PlainObject {
  return readFields(new Cursor('protobuf', bytes), messageSchema(messageName));
}

function readFields(cursor: Cursor, schema: MessageSchema): PlainObject {
  const members = new Map<string, unknown>();
  while (cursor.left > 0) {
    const tag = readTag(cursor);
    const field = schema.byId.get(tag.id);
    if (!field) throw cursor.malformed(`field ${tag.id}, which ${schema.name} does not have,`, tag.at);
    if (field.label === 'map') throw new Error(`${schema.name} is no message of a request`);
    if (field.label === 'repeated') {
      const items = (members.get(field.name) as unknown[] | undefined) ?? [];
      items.push(readField(cursor, tag, field));
      members.set(field.name, items);
    } else {
      if (members.has(field.name)) throw cursor.malformed(`field ${field.name} occurs twice`, tag.at);
      members.set(field.name, readField(cursor, tag, field));
    }
  }
  return plainMembers(members);
}

function readField(cursor: Cursor, tag: WireField, field: MessageField): unknown {
  const { kind } = field.type;
  expectWire(cursor, tag, WIRE_OF[kind]);
  if (kind === 'string') return readText(cursor);
  if (kind === 'bool') return Number(readVarint(cursor)) !== 0;
  if (kind === 'int64') return exactInteger(BigInt.asIntN(64, BigInt(readVarint(cursor))));
  if (kind === 'double') return cursor.bytes.readDoubleLE(cursor.take(8));
  return readDelimitedField(readDelimited(cursor), field);
}

function readDelimitedField(content: Cursor, { name, type }: MessageField): unknown {
  if (type.kind === 'message') return readFields(content, messageSchema(type.message));
  const start = content.at;
  if (name !== 'value') return plain(readValue(content, MAX_DEPTH, true));
  readValue(content, MAX_DEPTH, false);
  return new Encoded('protobuf', content.bytes.subarray(start, content.end));
}

/**
 * Writes a document as a message of `CACHE_PROTO`. A member that is null or an empty list is left out.
 *
 * @throws Error where the message has no field for a member: the schema lags behind the API
 */
export function writeMessage(document: object, messageName: string): Buffer {
  return finished(writeFields(Writer.create(), document, messageSchema(messageName)));
}

function writeFields(writer: Writer, document: object, schema: MessageSchema): Writer {
  for (const [name, value] of writtenMembers(document)) {
    const field = schema.byName.get(name);
    if (!field) throw new Error(`${schema.name} in cache.proto has no field ${name}`);
    if (value === null && field.type.kind !== 'value') continue;
    if (field.label === 'repeated') for (const item of value as unknown[]) writeOne(writer, field, field.id, item);
    else if (field.label === 'map') {
      for (const [key, entry] of writtenMembers(value as object)) {
        startField(startField(writer, field.id).fork(), ENTRY.key).string(key);
        writeOne(writer, field, ENTRY.value, entry).ldelim();
      }
    } else writeOne(writer, field, field.id, value);
  }
  return writer;
}

function writeOne(writer: Writer, { type }: MessageField, id: number, value: unknown): Writer {
  switch (type.kind) {
    case 'value':
      return writeField(writer, id, value);
    case 'struct':
      return writeStruct(startField(writer, id).fork(), value as object).ldelim();
    case 'message':
      return writeFields(startField(writer, id).fork(), value as object, messageSchema(type.message)).ldelim();
    case 'string':
      return startField(writer, id).string(String(value));
    case 'bool':
      return startField(writer, id, WIRE.varint).bool(value === true);
    case 'int64':
      return startField(writer, id, WIRE.varint).int64(Number(value));
    case 'double':
      return startField(writer, id, WIRE.fixed64).double(Number(value));
  }
}
