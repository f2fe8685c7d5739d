import { Writer } from 'protobufjs';
import { ENTRY, FIELDS, VALUE } from './protobuf-value.js';
import { WIRE } from './protobuf-wire.js';
import { base64, BINARY_MEMBER, writtenMembers } from './tree.js';
import { decodeValue, Encoded } from './values.js';

/**
 * A tree or document as a google.protobuf.Value. Its numbers are doubles: an integer beyond 2^53 becomes its decimal
 * digits as a string. What is not finite goes over the wire, though the JSON mapping of the message does not know it.
 */
export function protobufValue(node: unknown): Buffer {
  return finished(writeValue(Writer.create(), node));
}

/** The bytes of a message, as the buffer that they are. */
export function finished(writer: Writer): Buffer {
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Writes the one field of a google.protobuf.Value that says a node; the length around it is the caller's. */
function writeValue(writer: Writer, node: unknown): Writer {
  if (typeof node === 'string') return startField(writer, VALUE.string).string(node);
  if (typeof node === 'number') return startField(writer, VALUE.number, WIRE.fixed64).double(node);
  if (typeof node === 'bigint') return startField(writer, VALUE.string).string(node.toString());
  if (typeof node === 'boolean') return startField(writer, VALUE.boolean, WIRE.varint).bool(node);
  if (node === null) return startField(writer, VALUE.null, WIRE.varint).uint32(0);
  if (Array.isArray(node)) {
    startField(writer, VALUE.list).fork();
    for (const item of node) writeField(writer, FIELDS, item);
    return writer.ldelim();
  }
  if (node instanceof Encoded) {
    return node.format === 'protobuf'
      ? writer.raw(node.bytes)
      : writeValue(writer, decodeValue(node.format, node.bytes));
  }
  if (node instanceof Uint8Array) return writeValue(writer, { [BINARY_MEMBER]: base64(node) });
  return writeStruct(startField(writer, VALUE.struct).fork(), node as object).ldelim();
}

/** Writes the entries of a google.protobuf.Struct. */
export function writeStruct(writer: Writer, node: object): Writer {
  for (const [name, value] of writtenMembers(node)) {
    startField(startField(writer, FIELDS).fork(), ENTRY.key).string(name);
    writeField(writer, ENTRY.value, value).ldelim();
  }
  return writer;
}

/** Writes a field of the type google.protobuf.Value. */
export function writeField(writer: Writer, id: number, node: unknown): Writer {
  return writeValue(startField(writer, id).fork(), node).ldelim();
}

export function startField(writer: Writer, id: number, wire: number = WIRE.delimited): Writer {
  return writer.uint32(id * 8 + wire);
}
