import { isUtf8 } from 'node:buffer';
import { DuplicateMember, TooDeep } from '../json/errors.js';
import { blankEnd, decodeString, itemTexts, MAX_DEPTH, memberTexts, scalarEnd, stringEnd } from '../json/scan.js';
import { MalformedJson, requireJson } from '../json/validate.js';
import { MalformedBody } from './errors.js';
import type { Splitter } from './splitter.js';
import { EMPTY_MAP, exactInteger, readBinary, type Tree, wellFormed } from './tree.js';

/** A value may nest MAX_DEPTH levels on its own, and the entry of a bulk write is itself three levels deep. */
const MAX_DOCUMENT_DEPTH = MAX_DEPTH + 3;

const INTEGER = /^-?\d+$/;
/** In characters. A longer one counts as a double, which is infinite: to convert a megabyte of digits takes a second. */
const LONGEST_INTEGER = 1000;

/**
 * Reads a JSON value (RFC 8259). An integer without fraction or exponent keeps its digits, up to 1000 of them; any other
 * number becomes the nearest double, and 1e400 infinite, which JSON itself would write as null: text that stays JSON is
 * copied, not read. `{"$binary":"<base64>"}` is binary.
 *
 * @throws MalformedBody
 */
export function decodeJson(bytes: Buffer): Tree {
  return treeOf(checkedText(bytes, MAX_DEPTH));
}

/** The parts of a JSON text are texts, without the whitespace around them. */
export const jsonSplitter: Splitter<string> = {
  open: (bytes) => checkedText(bytes, MAX_DOCUMENT_DEPTH),
  members(text, maxDepth) {
    if (!/^[ \t\n\r]*\{/.test(text)) throw new MalformedBody('json', 'an object expected');
    return refusing(text, () => memberTexts(text, maxDepth));
  },
  items(text, maxDepth) {
    if (!text.startsWith('[')) throw new MalformedBody('json', 'an array expected');
    return refusing(text, () => itemTexts(text, maxDepth));
  },
  tree: treeOf,
  bytes: (text) => Buffer.from(text),
};

function checkedText(bytes: Buffer, maxDepth: number): string {
  if (!isUtf8(bytes)) throw new MalformedBody('json', 'the text is not valid UTF-8');
  const text = bytes.toString('utf8');
  refusing(text, () => {
    requireJson(text, maxDepth);
  });
  return text;
}

function refusing<T>(text: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof MalformedJson) {
      const byteOffset = Buffer.byteLength(text.slice(0, cause.offset));
      throw new MalformedBody('json', 'the text is not valid JSON', byteOffset, { cause });
    }
    if (cause instanceof TooDeep)
      throw new MalformedBody('json', `nested deeper than ${MAX_DEPTH} levels`, undefined, { cause });
    if (cause instanceof DuplicateMember) throw new MalformedBody('json', cause.message, undefined, { cause });
    throw cause;
  }
}

/** `requireJson` has accepted the text, and its depth is bounded: this only goes where that has been. */
function treeOf(text: string): Tree {
  let at = 0;
  return value();

  /** The next character that is not white space. */
  function next(): string {
    at = blankEnd(text, at);
    return text.charAt(at);
  }

  /** Takes what is from here to `end`. */
  function taken(end: number): string {
    const start = at;
    at = end;
    return text.slice(start, end);
  }

  function value(): Tree {
    const first = next();
    if (first === '{') return object();
    if (first === '[') return array();
    if (first === '"') return wellFormed(string());
    const literal = taken(scalarEnd(text, at));
    if (literal === 'null') return null;
    if (literal === 'true' || literal === 'false') return literal === 'true';
    const number = Number(literal);
    if (Number.isSafeInteger(number) || literal.length > LONGEST_INTEGER || !INTEGER.test(literal)) return number;
    return exactInteger(BigInt(literal));
  }

  function object(): Tree {
    at++;
    if (next() === '}') {
      at++;
      return EMPTY_MAP;
    }
    const members = new Map<string, Tree>();
    do {
      next();
      const name = wellFormed(string());
      next();
      at++;
      members.set(name, value());
    } while (separated());
    return readBinary(members);
  }

  function array(): Tree {
    at++;
    if (next() === ']') {
      at++;
      return [];
    }
    const items: Tree[] = [];
    do items.push(value());
    while (separated());
    return items;
  }

  /** Goes behind the comma, or behind the end of the array or object. */
  function separated(): boolean {
    const comma = next() === ',';
    at++;
    return comma;
  }

  function string(): string {
    return decodeString(taken(stringEnd(text, at)));
  }
}
