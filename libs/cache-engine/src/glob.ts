/** A pattern is not a glob. */
export class MalformedGlob extends Error {
  override readonly name = 'MalformedGlob';

  constructor(readonly reason: string) {
    super(reason);
  }
}

/** As many as a key may have, in UTF-8. */
const MAX_GLOB_BYTES = 512;

type Range = readonly [first: number, last: number];

/** One element of a glob. All but a star stand for exactly one code point. */
type Element =
  | { readonly kind: 'star' | 'any' }
  | { readonly kind: 'literal'; readonly codePoint: number }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly Range[] };

/** A pattern for keys. */
export interface Glob {
  /** All that matches begins with it. */
  readonly literalPrefix: string;
  /** Whether all of the text matches. Takes at most as many steps as text and pattern have characters, multiplied. */
  matches(text: string): boolean;
}

/**
 * Reads a glob: `*` is any number of characters, `?` one, `[a-z_]` one of these, `[!a-z]` or `[^a-z]` one that is none
 * of these; a backslash takes the next character for itself, also within brackets. All other characters stand for
 * themselves. A character is a Unicode code point. Within brackets a hyphen at either end is a hyphen, and a bracket
 * that closes is written with a backslash.
 *
 * @throws MalformedGlob
 */
export function parseGlob(pattern: string): Glob {
  if (pattern === '') throw new MalformedGlob('must not be empty');
  if (Buffer.byteLength(pattern) > MAX_GLOB_BYTES) {
    throw new MalformedGlob(`must have at most ${MAX_GLOB_BYTES} bytes of UTF-8`);
  }
  if (/\p{Surrogate}/u.test(pattern)) throw new MalformedGlob('must be well-formed Unicode');
  const elements = parseElements(Array.from(pattern));
  const literals = elements.slice(0, literalRun(elements, 0));
  const literalPrefix = textOf(literals);
  const rest = elements.slice(literals.length);
  return {
    literalPrefix,
    matches: (text) => text.startsWith(literalPrefix) && matchesFrom(text, literalPrefix.length, rest),
  };
}

function parseElements(characters: readonly string[]): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < characters.length;) {
    const character = characters[at];
    if (character === '[') {
      const { end, element } = parseClass(characters, at + 1);
      elements.push(element);
      at = end;
    } else if (character === '*') {
      if (elements.at(-1)?.kind !== 'star') elements.push({ kind: 'star' });
      at++;
    } else if (character === '?') {
      elements.push({ kind: 'any' });
      at++;
    } else {
      const { end, codePoint } = parseCharacter(characters, at);
      elements.push({ kind: 'literal', codePoint });
      at = end;
    }
  }
  return elements;
}

/** @param start after the opening bracket */
function parseClass(characters: readonly string[], start: number): { end: number; element: Element } {
  const negated = characters[start] === '!' || characters[start] === '^';
  const ranges: Range[] = [];
  let at = negated ? start + 1 : start;
  while (characters[at] !== ']') {
    if (at >= characters.length) throw new MalformedGlob('has a [ without its ]');
    const first = parseCharacter(characters, at);
    const isRange = characters[first.end] === '-' && (characters[first.end + 1] ?? ']') !== ']';
    const last = isRange ? parseCharacter(characters, first.end + 1) : first;
    if (last.codePoint < first.codePoint) throw new MalformedGlob('has a range that ends before it begins');
    ranges.push([first.codePoint, last.codePoint]);
    at = last.end;
  }
  if (ranges.length === 0) throw new MalformedGlob('has brackets with nothing in them');
  return { end: at + 1, element: { kind: 'class', negated, ranges } };
}

function parseCharacter(characters: readonly string[], at: number): { end: number; codePoint: number } {
  const escapes = characters[at] === '\\';
  const codePoint = characters[escapes ? at + 1 : at]?.codePointAt(0);
  if (codePoint === undefined) throw new MalformedGlob('ends with a backslash that escapes nothing');
  return { end: escapes ? at + 2 : at + 1, codePoint };
}

/**
 * Only the last star is ever tried again: whatever an earlier one could take instead, this one can take as well
 * (R. Cox, "Glob Matching Can Be Simple And Fast Too", 2017).
 */
function matchesFrom(text: string, start: number, elements: readonly Element[]): boolean {
  let at = start;
  let next = 0;
  let afterStar = -1;
  let starEnd = start;
  while (at < text.length) {
    const element = elements[next];
    const codePoint = text.codePointAt(at) ?? 0;
    if (element?.kind === 'star') {
      afterStar = ++next;
      starEnd = at;
    } else if (element && accepts(element, codePoint)) {
      at += unitsOf(codePoint);
      next++;
    } else {
      if (afterStar === -1) return false;
      starEnd += unitsOf(text.codePointAt(starEnd) ?? 0);
      at = starEnd;
      next = afterStar;
    }
    if (next === afterStar && next === elements.length) return true;
  }
  return next === elements.length || (next === elements.length - 1 && elements[next]?.kind === 'star');
}

function accepts(element: Element, codePoint: number): boolean {
  if (element.kind === 'literal') return element.codePoint === codePoint;
  if (element.kind !== 'class') return true;
  return element.ranges.some(([first, last]) => first <= codePoint && codePoint <= last) !== element.negated;
}

/** UTF-16 code units. */
function unitsOf(codePoint: number): number {
  return codePoint > 0xffff ? 2 : 1;
}

/** Where the literals from `start` on end. */
function literalRun(elements: readonly Element[], start: number): number {
  let end = start;
  while (elements[end]?.kind === 'literal') end++;
  return end;
}

function textOf(literals: readonly Element[]): string {
  return literals
    .map((element) => (element.kind === 'literal' ? String.fromCodePoint(element.codePoint) : ''))
    .join('');
}
