import { DuplicateMember, TooDeep } from './errors.js';

/** Deepest nesting that is opened where the caller names no limit; it also bounds every recursion of this folder. */
export const MAX_DEPTH = 100;

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

// '[' and '{' differ in this one bit only, and so do ']' and '}': one comparison finds either.
const CURLY = 0x20;
const OPENING = 0x7b;
const CLOSING = 0x7d;

/**
 * The top-level members of a valid JSON object, decoded name to exact value text without the whitespace around it.
 *
 * Every write goes through here, so values are skipped and never built. The object itself counts as level one.
 *
 * @param text an object that `JSON.parse` has accepted
 * @throws DuplicateMember where a name occurs twice, however it is escaped
 * @throws TooDeep where arrays and objects nest deeper than `maxDepth`
 */
export function memberTexts(text: string, maxDepth = MAX_DEPTH): Map<string, string> {
  const members = new Map<string, string>();
  forEachMember(text, maxDepth, (nameText, valueText) => {
    const name = decodeString(nameText);
    if (members.has(name)) throw new DuplicateMember(name);
    members.set(name, valueText);
  });
  return members;
}

/**
 * Calls `visit` for each top-level member of a valid JSON object in the order of the text, repeated names included.
 *
 * @param text an object that `JSON.parse` has accepted
 * @throws TooDeep where arrays and objects nest deeper than `maxDepth`
 */
export function forEachMember(
  text: string,
  maxDepth: number,
  visit: (nameText: string, valueText: string) => void,
): void {
  if (maxDepth < 1) throw new TooDeep(maxDepth);
  let at = blankEnd(text, blankEnd(text, 0) + 1);
  while (text.charCodeAt(at) === QUOTE) {
    const nameEnd = stringEnd(text, at);
    const valueStart = blankEnd(text, blankEnd(text, nameEnd) + 1);
    const end = valueEnd(text, valueStart, maxDepth);
    visit(text.slice(at, nameEnd), text.slice(valueStart, end));
    at = blankEnd(text, blankEnd(text, end) + 1);
  }
}

/**
 * The items of a valid JSON array, each as its exact text without the whitespace around it.
 *
 * @param text an array that `JSON.parse` has accepted
 * @throws TooDeep where arrays and objects nest deeper than `maxDepth`
 */
export function itemTexts(text: string, maxDepth = MAX_DEPTH): string[] {
  if (maxDepth < 1) throw new TooDeep(maxDepth);
  const items: string[] = [];
  let at = blankEnd(text, blankEnd(text, 0) + 1);
  // An empty array is the only one with a bracket where an item would start.
  let more = (text.charCodeAt(at) | CURLY) !== CLOSING;
  while (more) {
    const end = valueEnd(text, at, maxDepth);
    items.push(text.slice(at, end));
    const separator = blankEnd(text, end);
    more = text.charCodeAt(separator) === COMMA;
    at = blankEnd(text, separator + 1);
  }
  return items;
}

/**
 * The deepest nesting of arrays and objects: 0 for a scalar, 1 for `{}`. Brackets inside strings do not count.
 *
 * Takes any text and always ends, without recursion; on invalid JSON the number means nothing.
 */
export function nestingDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = stringEnd(text, at);
      continue;
    }
    at++;
    if ((code | CURLY) === OPENING) {
      if (++depth > deepest) deepest = depth;
    } else if ((code | CURLY) === CLOSING) depth--;
  }
  return deepest;
}

/** The content of a JSON string that `JSON.parse` has accepted, given with its quotes. */
export function decodeString(text: string): string {
  return text.includes('\\') ? (JSON.parse(text) as string) : text.slice(1, -1);
}

/** The next character of a valid text that is not white space, which is all there can be below the space. */
export function blankEnd(text: string, start: number): number {
  let at = start;
  while (text.charCodeAt(at) <= SPACE) at++;
  return at;
}

/** `open` is the index of the opening quote; gives the index after the closing one. */
export function stringEnd(text: string, open: number): number {
  let close = text.indexOf('"', open + 1);
  while (close !== -1) {
    // A quote after an odd run of backslashes is part of the content.
    let before = close - 1;
    while (text.charCodeAt(before) === BACKSLASH) before--;
    if ((close - before) % 2 === 1) return close + 1;
    close = text.indexOf('"', close + 1);
  }
  return text.length;
}

/** Gives the index after the value that starts at `start` inside an array or object. */
function valueEnd(text: string, start: number, maxDepth: number): number {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return stringEnd(text, start);
  if ((first | CURLY) !== OPENING) return scalarEnd(text, start);

  // The enclosing array or object is level one.
  let depth = 1;
  let at = start;
  do {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = stringEnd(text, at);
      continue;
    }
    at++;
    if ((code | CURLY) === OPENING) {
      if (++depth > maxDepth) throw new TooDeep(maxDepth);
    } else if ((code | CURLY) === CLOSING) depth--;
  } while (depth > 1 && at < text.length);
  return at;
}

/** Gives the index after a number, true, false or null. */
export function scalarEnd(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === COMMA || code <= SPACE || (code | CURLY) === CLOSING) break;
    at++;
  }
  return at;
}
