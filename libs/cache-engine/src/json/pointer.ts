import { MAX_DEPTH } from './scan.js';
import { type JsonArray, type JsonNode, type JsonObject } from './tree.js';

/** Why an operation does not apply. The patch, which knows the operation, turns it into a `MergeNotPossible`. */
export class Inapplicable extends Error {
  override readonly name = 'Inapplicable';
}

/** Whether the text is a JSON Pointer (RFC 6901, section 3). */
export function isPointer(text: string): boolean {
  return (text === '' || text.startsWith('/')) && !/~(?![01])/.test(text);
}

/** A JSON value that changes in place, addressed by JSON Pointers (RFC 6901). Each method throws `Inapplicable`. */
export class PointedDocument {
  constructor(public root: JsonNode) {}

  get(pointer: string): JsonNode {
    return tokensOf(pointer).reduce(childOf, this.root);
  }

  /** Inserts into an array, sets the member of an object, or becomes the whole document. */
  add(pointer: string, value: JsonNode): void {
    const place = this.#changedPlace(pointer);
    if (!place) this.root = value;
    else if (place.parent.kind === 'object') place.parent.set(place.token, value);
    else {
      const items = place.parent.change();
      items.splice(place.token === '-' ? items.length : indexOf(place.token, items.length + 1), 0, value);
    }
  }

  replace(pointer: string, value: JsonNode): void {
    this.get(pointer);
    const place = this.#changedPlace(pointer);
    if (!place) this.root = value;
    else if (place.parent.kind === 'object') place.parent.set(place.token, value);
    else place.parent.change()[Number(place.token)] = value;
  }

  remove(pointer: string): JsonNode {
    const removed = this.get(pointer);
    const place = this.#changedPlace(pointer);
    // RFC 6902 leaves open what remains then; a stored key always has a value.
    if (!place) throw new Inapplicable('the whole document cannot be removed');
    if (place.parent.kind === 'object') place.parent.change().delete(place.token);
    else place.parent.change().splice(Number(place.token), 1);
    return removed;
  }

  /** Asks every level around the place for change, so that none of them prints its old text. Undefined for the root. */
  #changedPlace(pointer: string): { parent: JsonObject | JsonArray; token: string } | undefined {
    const tokens = tokensOf(pointer);
    const last = tokens.pop();
    if (last === undefined) return undefined;
    let parent = containerOf(this.root);
    for (const token of tokens) {
      parent.change();
      parent = containerOf(childOf(parent, token));
    }
    return { parent, token: last };
  }
}

function tokensOf(pointer: string): string[] {
  if (!isPointer(pointer)) throw new Inapplicable('the path is not a JSON Pointer');
  const tokens = pointer.split('/').slice(1);
  // Nothing deeper is ever opened; this also keeps a long pointer from reading the same text once per token.
  if (tokens.length > MAX_DEPTH) throw new Inapplicable(`there is nothing deeper than ${MAX_DEPTH} levels`);
  // `~1` first: `~01` is the two characters `~1`.
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function containerOf(node: JsonNode): JsonObject | JsonArray {
  if (node.kind === 'scalar') throw new Inapplicable('the path goes through a value without members');
  return node;
}

function childOf(node: JsonNode, token: string): JsonNode {
  const container = containerOf(node);
  const child =
    container.kind === 'array'
      ? container.items[indexOf(token, container.items.length)]
      : container.members.get(token)?.value;
  if (!child) throw new Inapplicable(`there is no member ${JSON.stringify(token)}`);
  return child;
}

function indexOf(token: string, end: number): number {
  if (token === '-') throw new Inapplicable('there is no item at `-`, the place after the last one');
  if (!/^(?:0|[1-9]\d*)$/.test(token)) throw new Inapplicable(`${JSON.stringify(token)} is not an array index`);
  const index = Number(token);
  if (index >= end) throw new Inapplicable(`the array has no place ${token}`);
  return index;
}
