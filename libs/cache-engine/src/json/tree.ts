import { TooDeep } from './errors.js';
import { decodeString, forEachMember, itemTexts, MAX_DEPTH } from './scan.js';

/**
 * A JSON value of which only the opened levels are taken apart. Whatever nobody changed is printed as it was written:
 * digits, escapes, whitespace, repeated names.
 */
export type JsonNode = JsonObject | JsonArray | JsonScalar;

export interface JsonMember {
  /** The name as written, with quotes and escapes. */
  readonly nameText: string;
  readonly value: JsonNode;
}

/**
 * The node of a JSON text, unopened.
 *
 * @param text a value that `JSON.parse` has accepted
 */
export function parse(text: string): JsonNode {
  const exact = text.trim();
  if (exact.startsWith('{')) return new JsonObject(exact);
  if (exact.startsWith('[')) return new JsonArray(exact);
  return new JsonScalar(exact);
}

/**
 * The text of a node.
 *
 * @throws TooDeep where changes have nested opened levels deeper than `maxDepth`
 */
export function print(node: JsonNode, maxDepth = MAX_DEPTH): string {
  if (node.kind === 'scalar') return node.text;
  if (node.text !== undefined) return node.text;
  if (maxDepth < 1) throw new TooDeep(maxDepth);
  if (node.kind === 'array') return `[${node.items.map((item) => print(item, maxDepth - 1)).join(',')}]`;
  const members = [...node.members.values()].map((member) => `${member.nameText}:${print(member.value, maxDepth - 1)}`);
  return `{${members.join(',')}}`;
}

class JsonScalar {
  readonly kind = 'scalar';

  constructor(readonly text: string) {}
}

/** An array or object that is opened, one level, when first looked into. */
abstract class Container<Content> {
  readonly #written: string;
  #content: Content | undefined;
  #changed = false;

  constructor(text: string) {
    this.#written = text;
  }

  /** Undefined once the content was given out for change. */
  get text(): string | undefined {
    return this.#changed ? undefined : this.#written;
  }

  /** The content, to be changed in place. Every container around this one has to be asked for change too. */
  change(): Content {
    this.#changed = true;
    return this.content;
  }

  protected get content(): Content {
    this.#content ??= this.open(this.#written);
    return this.#content;
  }

  protected abstract open(text: string): Content;
}

export class JsonArray extends Container<JsonNode[]> {
  readonly kind = 'array';

  get items(): readonly JsonNode[] {
    return this.content;
  }

  protected override open(text: string): JsonNode[] {
    return itemTexts(text).map(parse);
  }
}

export class JsonObject extends Container<Map<string, JsonMember>> {
  readonly kind = 'object';

  /** By decoded name, in the order of the text. Of a name that occurs twice the last value counts, as in `JSON.parse`. */
  get members(): ReadonlyMap<string, JsonMember> {
    return this.content;
  }

  /** A member that is already there keeps its place and the spelling of its name. */
  set(name: string, value: JsonNode, spelling = JSON.stringify(name)): void {
    this.change().set(name, { nameText: this.members.get(name)?.nameText ?? spelling, value });
  }

  protected override open(text: string): Map<string, JsonMember> {
    const members = new Map<string, JsonMember>();
    forEachMember(text, MAX_DEPTH, (nameText, valueText) => {
      members.set(decodeString(nameText), { nameText, value: parse(valueText) });
    });
    return members;
  }
}
