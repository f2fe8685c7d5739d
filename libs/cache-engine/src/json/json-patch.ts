import { equals } from './equality.js';
import { DuplicateMember, MalformedJsonPatch, MergeNotPossible } from './errors.js';
import { Inapplicable, isPointer, PointedDocument } from './pointer.js';
import { decodeString, itemTexts, memberTexts } from './scan.js';
import { parse, print } from './tree.js';

/** An operation of RFC 6902. `path` and `from` are decoded JSON Pointers, `valueText` is the raw JSON of the value. */
export type JsonPatchOperation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly valueText: string }
  | { readonly op: 'move' | 'copy'; readonly path: string; readonly from: string }
  | { readonly op: 'remove'; readonly path: string };

/**
 * The operations of a JSON Patch document (RFC 6902, section 3). Members that an operation does not define are ignored.
 *
 * @param text an array that `JSON.parse` has accepted
 * @throws MalformedJsonPatch where an operation lacks what its `op` needs
 * @throws TooDeep beyond `MAX_DEPTH` levels
 */
export function parseJsonPatch(text: string): JsonPatchOperation[] {
  if (parse(text).kind !== 'array') throw new MalformedJsonPatch(undefined, 'a JSON Patch is an array of operations');
  return itemTexts(text).map(parseOperation);
}

/**
 * Applies a JSON Patch (RFC 6902) to a text that `JSON.parse` has accepted: every operation or none. What no operation
 * changes stays as it was written.
 *
 * @param maxCopiedLength how many characters `copy` may add in all. Copying the root into itself doubles the document
 *   each time, so that a patch of a few hundred bytes could otherwise take all memory.
 * @throws MergeNotPossible with the first operation that does not apply
 * @throws TooDeep beyond `MAX_DEPTH` levels
 */
export function applyJsonPatch(
  targetText: string,
  operations: readonly JsonPatchOperation[],
  maxCopiedLength = 64 * 1024 * 1024,
): string {
  const document = new PointedDocument(parse(targetText));
  let copyableLength = maxCopiedLength;
  for (const [index, operation] of operations.entries()) {
    try {
      copyableLength -= applyOperation(document, operation, copyableLength);
    } catch (error) {
      if (!(error instanceof Inapplicable)) throw error;
      throw new MergeNotPossible(error.message, { index, path: operation.path });
    }
  }
  return print(document.root);
}

/** Gives how many characters were copied. */
function applyOperation(document: PointedDocument, operation: JsonPatchOperation, copyableLength: number): number {
  const { path } = operation;
  switch (operation.op) {
    case 'add':
      document.add(path, parse(operation.valueText));
      return 0;
    case 'replace':
      document.replace(path, parse(operation.valueText));
      return 0;
    case 'test':
      if (!equals(parse(operation.valueText), document.get(path)))
        throw new Inapplicable('the value is a different one');
      return 0;
    case 'remove':
      document.remove(path);
      return 0;
    case 'move':
      move(document, operation.from, path);
      return 0;
    case 'copy': {
      // As text: a node in two places would change in both.
      const text = print(document.get(operation.from));
      if (text.length > copyableLength) throw new Inapplicable('the patch copies too much');
      document.add(path, parse(text));
      return text.length;
    }
  }
}

function move(document: PointedDocument, from: string, path: string): void {
  // Also the one way to move the root. A pointer has a single spelling, so that comparing texts is enough.
  if (from === path) document.get(from);
  else if (path.startsWith(`${from}/`)) throw new Inapplicable('a value cannot move into itself');
  else document.add(path, document.remove(from));
}

function parseOperation(text: string, index: number): JsonPatchOperation {
  const members = operationMembers(text, index);
  const op = stringMember(members, 'op', index);
  const path = pointerMember(members, 'path', index);
  switch (op) {
    case 'add':
    case 'replace':
    case 'test': {
      const valueText = members.get('value');
      if (valueText === undefined) throw new MalformedJsonPatch(index, `\`${op}\` needs a \`value\``);
      return { op, path, valueText };
    }
    case 'move':
    case 'copy':
      return { op, path, from: pointerMember(members, 'from', index) };
    case 'remove':
      return { op, path };
    default:
      throw new MalformedJsonPatch(index, '`op` is one of add, remove, replace, move, copy, test');
  }
}

function operationMembers(text: string, index: number): Map<string, string> {
  if (parse(text).kind !== 'object') throw new MalformedJsonPatch(index, 'an operation is an object');
  try {
    return memberTexts(text);
  } catch (error) {
    if (error instanceof DuplicateMember) throw new MalformedJsonPatch(index, error.message);
    throw error;
  }
}

function pointerMember(members: ReadonlyMap<string, string>, name: string, index: number): string {
  const pointer = stringMember(members, name, index);
  if (!isPointer(pointer)) throw new MalformedJsonPatch(index, `\`${name}\` is not a JSON Pointer`);
  return pointer;
}

function stringMember(members: ReadonlyMap<string, string>, name: string, index: number): string {
  const text = members.get(name);
  if (!text?.startsWith('"')) throw new MalformedJsonPatch(index, `\`${name}\` has to be a string`);
  return decodeString(text);
}
