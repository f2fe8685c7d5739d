import { TooDeep } from './errors.js';

/** The text is not JSON. What stands there is left out: it may be large, or not for the logs. */
export class MalformedJson extends Error {
  override readonly name = 'MalformedJson';

  /** @param offset in UTF-16 code units: the first one that cannot stand there, or the length of a text that ends early */
  constructor(
    readonly offset: number,
    readonly reason: string,
  ) {
    super(`${reason} at position ${offset}`);
  }
}

const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const SLASH = 0x2f;
const ZERO = 0x30;
const COLON = 0x3a;
const UPPER_E = 0x45;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const LOWER_A = 0x61;
const LOWER_B = 0x62;
const LOWER_E = 0x65;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_R = 0x72;
const LOWER_T = 0x74;
const LOWER_U = 0x75;
const BRACE = 0x7b;

const SPACE = 0x20;
const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** A letter with this bit is in lower case, whichever it was in. */
const LOWER_CASE = 0x20;
/** From '[' to ']' and from '{' to '}'. */
const TO_CLOSING = 2;
/** What is read behind the end of the text: no code, and unlike NaN a small integer, which keeps the loops fast. */
const NOTHING = -1;

/**
 * Refuses a text that is not JSON (RFC 8259): exactly those that `JSON.parse` refuses, and those that nest too deep.
 *
 * `JSON.parse` builds what it reads: 8 MiB of `{},` cost it half a second or more, and 240 MB. This walks the text once
 * and keeps a number for each array and object that is open.
 *
 * @param maxDepth how deep arrays and objects may nest: 0 allows scalars only, 1 also `{}`
 * @throws MalformedJson
 * @throws TooDeep where the array or object opens that is beyond `maxDepth`; what follows is not looked at
 */
export function requireJson(text: string, maxDepth: number): void {
  /** The bracket or brace that closes each open level. */
  const closings: number[] = [];
  let at = blankEnd(text, 0);
  for (;;) {
    const first = codeAt(text, at);
    if (first === BRACE || first === BRACKET) {
      if (closings.length >= maxDepth) throw new TooDeep(maxDepth);
      closings.push(first + TO_CLOSING);
      at = blankEnd(text, at + 1);
      if (codeAt(text, at) !== first + TO_CLOSING) {
        if (first === BRACE) at = memberValueStart(text, at);
        continue;
      }
    } else at = blankEnd(text, scalarEnd(text, at, first));

    let code = codeAt(text, at);
    while (closings.length > 0 && code === closings[closings.length - 1]) {
      closings.pop();
      at = blankEnd(text, at + 1);
      code = codeAt(text, at);
    }
    if (closings.length === 0) break;
    const isObject = closings[closings.length - 1] === BRACE + TO_CLOSING;
    if (code !== COMMA) throw new MalformedJson(at, `',' or '${isObject ? '}' : ']'}' expected`);
    at = blankEnd(text, at + 1);
    if (isObject) at = memberValueStart(text, at);
  }
  if (at < text.length) throw new MalformedJson(at, 'the end expected');
}

function codeAt(text: string, at: number): number {
  return at < text.length ? text.charCodeAt(at) : NOTHING;
}

function blankEnd(text: string, start: number): number {
  let at = start;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > SPACE) break;
    if (code !== SPACE && code !== LINE_FEED && code !== CARRIAGE_RETURN && code !== TAB) break;
  }
  return at;
}

/** Gives the index of the value of the member whose name starts at `start`. */
function memberValueStart(text: string, start: number): number {
  if (codeAt(text, start) !== QUOTE) throw new MalformedJson(start, 'a name in quotes expected');
  const at = blankEnd(text, stringEnd(text, start));
  if (codeAt(text, at) !== COLON) throw new MalformedJson(at, "':' expected");
  return blankEnd(text, at + 1);
}

function scalarEnd(text: string, start: number, first: number): number {
  if (first === QUOTE) return stringEnd(text, start);
  if (first === MINUS || isDigit(first)) return numberEnd(text, start, first);
  if (first === LOWER_T) return literalEnd(text, start, 'true');
  if (first === LOWER_F) return literalEnd(text, start, 'false');
  if (first === LOWER_N) return literalEnd(text, start, 'null');
  throw new MalformedJson(start, 'a value expected');
}

function stringEnd(text: string, open: number): number {
  let at = open + 1;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code < SPACE) throw new MalformedJson(at, 'a control character in a string');
    at = code === BACKSLASH ? escapeEnd(text, at) : at + 1;
  }
  throw new MalformedJson(at, "'\"' expected");
}

function escapeEnd(text: string, backslash: number): number {
  const at = backslash + 1;
  switch (codeAt(text, at)) {
    case QUOTE:
    case BACKSLASH:
    case SLASH:
    case LOWER_B:
    case LOWER_F:
    case LOWER_N:
    case LOWER_R:
    case LOWER_T:
      return at + 1;
    case LOWER_U:
      for (let digit = at + 1; digit <= at + 4; digit++) {
        if (!isHexDigit(codeAt(text, digit))) throw new MalformedJson(digit, 'a hexadecimal digit expected');
      }
      return at + 5;
    default:
      throw new MalformedJson(at, 'an escape expected');
  }
}

function numberEnd(text: string, start: number, first: number): number {
  const integer = first === MINUS ? start + 1 : start;
  const lead = first === MINUS ? codeAt(text, integer) : first;
  let at = lead === ZERO ? integer + 1 : digitsEnd(text, integer);
  let code = codeAt(text, at);
  if (code === POINT) {
    at = digitsEnd(text, at + 1);
    code = codeAt(text, at);
  }
  if (code !== LOWER_E && code !== UPPER_E) return at;
  const sign = codeAt(text, at + 1);
  return digitsEnd(text, sign === PLUS || sign === MINUS ? at + 2 : at + 1);
}

/** Goes behind one digit or more. */
function digitsEnd(text: string, start: number): number {
  let at = start;
  while (at < text.length && isDigit(text.charCodeAt(at))) at++;
  if (at === start) throw new MalformedJson(at, 'a digit expected');
  return at;
}

function literalEnd(text: string, start: number, literal: string): number {
  for (let index = 1; index < literal.length; index++) {
    const at = start + index;
    if (codeAt(text, at) !== literal.charCodeAt(index)) throw new MalformedJson(at, `'${literal}' expected`);
  }
  return start + literal.length;
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= ZERO + 9;
}

function isHexDigit(code: number): boolean {
  const lower = code | LOWER_CASE;
  return isDigit(code) || (lower >= LOWER_A && lower <= LOWER_F);
}
