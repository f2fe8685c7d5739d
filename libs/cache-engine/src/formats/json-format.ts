import { isUtf8 } from 'node:buffer';
import { DuplicateMember, TooDeep } from '../json/errors.js';
import { decodeString, itemTexts, MAX_DEPTH, memberTexts, nestingDepth } from '../json/scan.js';
import { MalformedBody } from './errors.js';
import type { Splitter } from './splitter.js';
import { EMPTY_MAP, exactInteger, readBinary, type Tree, wellFormed } from './tree.js';

const SPACE = 0x20;
/** What ends a number, true, false or null, if it is not white space. */
const COMMA = 0x2c;
const CLOSING_BRACKET = 0x5d;
const CLOSING_BRACE = 0x7d;

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
  const text = checkedText(bytes);
  if (nestingDepth(text) > MAX_DEPTH) throw tooDeep();
  return treeOf(text);
}

/** The parts of a JSON text are texts, without the whitespace around them. */
export const jsonSplitter: Splitter<string> = {
  open: checkedText,
  members(text, maxDepth) {
    if (!/^[ \t\n\r]*\{/.test(text)) throw new MalformedBody('json', 'an object expected');
    return refusing(() => memberTexts(text, maxDepth));
  },
  items(text, maxDepth) {
    if (!text.startsWith('[')) throw new MalformedBody('json', 'an array expected');
    return refusing(() => itemTexts(text, maxDepth));
  },
  tree: treeOf,
  bytes: (text) => Buffer.from(text),
};

function checkedText(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new MalformedBody('json', 'the text is not valid UTF-8');
  const text = bytes.toString('utf8');
  try {
    JSON.parse(text);
    return text;
  } catch (cause) {
    // V8 quotes the text around the mistake; only the place, which it names in longer texts, is passed on.
    const place = /position (\d+)(?: \(line \d+ column \d+\))?$/.exec((cause as Error).message)?.[1];
    const offset = place === undefined ? undefined : Buffer.byteLength(text.slice(0, Number(place)));
    throw new MalformedBody('json', 'the text is not valid JSON', offset, { cause });
  }
}

function refusing<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof TooDeep) throw tooDeep(cause);
    if (cause instanceof DuplicateMember) throw new MalformedBody('json', cause.message, undefined, { cause });
    throw cause;
  }
}

function tooDeep(cause?: TooDeep): MalformedBody {
  return new MalformedBody('json', `nested deeper than ${MAX_DEPTH} levels`, undefined, { cause });
}

/** `JSON.parse` has accepted the text, and its depth is bounded: this only goes where that has been. */
function treeOf(text: string): Tree {
  let at = 0;
  return value();

  /** The next character that is not white space, which is all there can be below the space. */
  function next(): string {
    while (text.charCodeAt(at) <= SPACE) at++;
    return text.charAt(at);
  }

  function literalText(): string {
    const start = at;
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code <= SPACE || code === COMMA || code === CLOSING_BRACKET || code === CLOSING_BRACE) break;
    }
    return text.slice(start, at);
  }

  function value(): Tree {
    const first = next();
    if (first === '{') return object();
    if (first === '[') return array();
    if (first === '"') return wellFormed(string());
    const literal = literalText();
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
    const start = at;
    let close = text.indexOf('"', at + 1);
    while (isEscaped(close)) close = text.indexOf('"', close + 1);
    at = close + 1;
    return decodeString(text.slice(start, at));
  }

  /** A quote after an odd run of backslashes is part of the content. */
  function isEscaped(quote: number): boolean {
    let before = quote - 1;
    while (text.charAt(before) === '\\') before--;
    return (quote - before) % 2 === 0;
  }
}
