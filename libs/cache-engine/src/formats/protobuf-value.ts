import { MAX_DEPTH } from '../json/scan.js';
import { Cursor } from './cursor.js';
import { expectWire, readDelimited, readTag, readVarint, WIRE } from './protobuf-wire.js';
import { EMPTY_MAP, readBinary, type Tree } from './tree.js';

/** Fields of google.protobuf.Value (google/protobuf/struct.proto), of which exactly one is set. */
export const VALUE = { null: 1, number: 2, string: 3, boolean: 4, struct: 5, list: 6 } as const;

/** The only field of Struct, which is a map, and of ListValue; and the two of an entry of the map. */
export const FIELDS = 1;
export const ENTRY = { key: 1, value: 2 } as const;

const WIRE_OF_KIND: Readonly<Record<number, number>> = {
  [VALUE.null]: WIRE.varint,
  [VALUE.number]: WIRE.fixed64,
  [VALUE.string]: WIRE.delimited,
  [VALUE.boolean]: WIRE.varint,
  [VALUE.struct]: WIRE.delimited,
  [VALUE.list]: WIRE.delimited,
};

/**
 * Reads a google.protobuf.Value. It has no binary, which is `{"$binary":"<base64>"}` here as in JSON.
 *
 * @throws MalformedBody; also where no kind is set or more than one, and for fields that the message does not have
 */
export function decodeProtobuf(bytes: Buffer): Tree {
  return readValue(new Cursor('protobuf', bytes), MAX_DEPTH, true);
}

/** @param value all of it; @param keep false: only check, and build no arrays and objects */
export function readValue(value: Cursor, levels: number, keep: boolean): Tree {
  const start = value.at;
  if (value.left === 0) throw value.malformed('a value without a kind', start);
  const field = readTag(value);
  const wire = WIRE_OF_KIND[field.id];
  if (wire === undefined) throw value.malformed(`field ${field.id}, which google.protobuf.Value does not have,`, start);
  expectWire(value, field, wire);
  const tree = readKind(value, field.id, levels, keep);
  if (value.left > 0) throw value.malformed('a value of more than one kind');
  return tree;
}

function readKind(value: Cursor, kind: number, levels: number, keep: boolean): Tree {
  switch (kind) {
    case VALUE.null:
      readVarint(value);
      return null;
    case VALUE.number:
      return value.bytes.readDoubleLE(value.take(8));
    case VALUE.string:
      return readText(value);
    case VALUE.boolean:
      return Number(readVarint(value)) !== 0;
    default: {
      if (levels < 1) throw value.malformed(`nested deeper than ${MAX_DEPTH} levels`);
      const content = readDelimited(value);
      return kind === VALUE.struct ? readStruct(content, levels - 1, keep) : readList(content, levels - 1, keep);
    }
  }
}

export function readText(cursor: Cursor): string {
  return cursor.text(Number(readVarint(cursor)));
}

function readStruct(content: Cursor, levels: number, keep: boolean): Tree {
  let members: Map<string, Tree> | undefined;
  while (content.left > 0) {
    const [name, value] = readEntry(nextField(content));
    const child = readValue(value, levels, keep);
    if (keep) (members ??= new Map()).set(name, child);
  }
  return members ? readBinary(members) : EMPTY_MAP;
}

/** An entry of a map. A key that is left out is the empty one. */
function readEntry(entry: Cursor): [name: string, value: Cursor] {
  let name = '';
  let value = new Cursor(entry.format, entry.bytes, entry.end, entry.end);
  while (entry.left > 0) {
    const field = readTag(entry);
    if (field.id !== ENTRY.key && field.id !== ENTRY.value) {
      throw entry.malformed(`field ${field.id}, which an entry of a map does not have,`, field.at);
    }
    expectWire(entry, field, WIRE.delimited);
    if (field.id === ENTRY.key) name = readText(entry);
    else value = readDelimited(entry);
  }
  return [name, value];
}

function readList(content: Cursor, levels: number, keep: boolean): Tree {
  const items: Tree[] = [];
  while (content.left > 0) {
    const item = readValue(nextField(content), levels, keep);
    if (keep) items.push(item);
  }
  return items;
}

/** The next entry of a Struct or ListValue. */
function nextField(content: Cursor): Cursor {
  const field = readTag(content);
  if (field.id !== FIELDS) throw content.malformed(`field ${field.id}, which the message does not have,`, field.at);
  expectWire(content, field, WIRE.delimited);
  return readDelimited(content);
}
