import fc from 'fast-check';
import { MalformedGlob, parseGlob } from './glob.js';

/** What the documentation of `parseGlob` says, tried in all ways. */
function naiveMatches(pattern: readonly string[], text: readonly string[]): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return text.length === 0;
  if (head === '*') return naiveMatches(rest, text) || (text.length > 0 && naiveMatches(pattern, text.slice(1)));
  const [character, ...others] = text;
  if (character === undefined) return false;
  if (head === '?') return naiveMatches(rest, others);
  if (head === '[') {
    const end = closing(pattern);
    return inClass(pattern.slice(1, end), character) && naiveMatches(pattern.slice(end + 1), others);
  }
  const escapes = head === '\\';
  return (escapes ? rest[0] : head) === character && naiveMatches(escapes ? rest.slice(1) : rest, others);
}

function closing(pattern: readonly string[]): number {
  let at = 1;
  while (pattern[at] !== ']') at += pattern[at] === '\\' ? 2 : 1;
  return at;
}

function inClass(content: readonly string[], character: string): boolean {
  if (content[0] === '!' || content[0] === '^') return !inClass(content.slice(1), character);
  if (content.length === 0) return false;
  const width = content[0] === '\\' ? 2 : 1;
  const first = content[width - 1]!;
  const isRange = content[width] === '-' && content.length > width + 1;
  if (!isRange) return first === character || inClass(content.slice(width), character);
  const lastWidth = content[width + 1] === '\\' ? 2 : 1;
  const last = content[width + lastWidth]!;
  const [low, high, own] = [first, last, character].map((each) => each.codePointAt(0)!);
  return (low! <= own! && own! <= high!) || inClass(content.slice(width + 1 + lastWidth), character);
}

/** A text that counts how often it is read. */
function counted(text: string) {
  const reads = { count: 0 };
  const codePointAt = (at: number) => {
    reads.count++;
    return text.codePointAt(at);
  };
  const startsWith = (prefix: string) => text.startsWith(prefix);
  return { reads, text: { length: text.length, codePointAt, startsWith } as unknown as string };
}

const matches = (pattern: string, text: string) => parseGlob(pattern).matches(text);

const CHARACTERS = ['a', 'b', 'c', '-', ']', '!', '^', '\\', '*', '?', '[', 'ż', '😀', '\u{10ffff}'];
const character = fc.constantFrom(...CHARACTERS);
const literal = character.map((each) => (/[a-c\-!^żß]/.test(each) ? each : `\\${each}`));
const member = fc.constantFrom('a', 'b', 'c', 'ż', '😀', '\\]', '\\-', '\\\\', '\\^', '\\!');
const span = fc.constantFrom('a-c', 'a-a', 'b-😀', '\\!-\\]');
const brackets = fc
  .tuple(fc.constantFrom('', '!', '^'), fc.array(fc.oneof(member, span), { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([sign, members, hyphen]) => `[${sign}${members.join('')}${hyphen ? '-' : ''}]`);
const wild = fc.constantFrom('*', '?', '**');
const pattern = fc
  .array(fc.oneof({ weight: 3, arbitrary: literal }, wild, brackets), { minLength: 1, maxLength: 9 })
  .map((parts) => parts.join(''));
const text = fc.array(character, { maxLength: 9 }).map((parts) => parts.join(''));
/** A text that likely matches: the pattern with its wild parts filled in. */
const patternAndText = fc
  .array(
    fc.oneof(
      literal.map((each) => [each, each.at(0) === '\\' ? each.slice(1) : each] as const),
      text.map((each) => ['*', each] as const),
      character.map((each) => ['?', each] as const),
      fc.constantFrom(
        ['[a-c]', 'b'] as const,
        ['[!a]', '😀'] as const,
        ['[^a-z]', 'ż'] as const,
        ['[ż]', 'ż'] as const,
      ),
    ),
    { minLength: 1, maxLength: 8 },
  )
  .map((parts) => [parts.map(([part]) => part).join(''), parts.map(([, filled]) => filled).join('')] as const);

describe('glob', () => {
  test.each([
    ['user:*', ['user:', 'user:1', 'user:*'], ['user', 'USER:1', ' user:1']],
    ['*', ['', 'a', '😀'], []],
    ['*:1', [':1', 'a:1', ':1:1'], [':1:', ':11']],
    ['a*b*c', ['abc', 'a-b-c', 'abbc', 'abcbc'], ['ab', 'acb', 'abcb']],
    ['h?llo', ['hello', 'h😀llo', 'hżllo'], ['hllo', 'heello']],
    ['[a-c]', ['a', 'b', 'c'], ['', 'd', 'A', 'aa', '-']],
    ['[!a-c]', ['d', '!', '😀'], ['', 'a', 'dd']],
    ['[^ab]', ['c', '^'], ['a', 'b']],
    ['[a^!]', ['a', '^', '!'], ['b']],
    ['[-a]', ['-', 'a'], ['b']],
    ['[a-]', ['-', 'a'], ['b']],
    ['[--/]', ['-', '.', '/'], ['0']],
    ['[😀-😂]', ['😁'], ['😃', 'a']],
    ['[\\]\\\\[]', [']', '\\', '['], ['a']],
    ['\\*\\?\\[\\a', ['*?[a'], ['\\*?[a', 'xx[a']],
    ['{a,b}.(c)+$|]', ['{a,b}.(c)+$|]'], ['a', '{a,b}x(c)+$|]']],
  ])('%s', (glob, matching, others) => {
    for (const each of matching) expect([each, matches(glob, each)]).toEqual([each, true]);
    for (const each of others) expect([each, matches(glob, each)]).toEqual([each, false]);
  });

  test('matches what a matcher matches that tries all ways', () => {
    const agrees = (glob: string, key: string) =>
      matches(glob, key) === naiveMatches(Array.from(glob), Array.from(key));
    fc.assert(fc.property(pattern, text, agrees), { numRuns: 3000 });
    fc.assert(
      fc.property(patternAndText, ([glob, key]) => matches(glob, key) && agrees(glob, key)),
      { numRuns: 2000 },
    );
  });

  test('says what all that matches begins with', () => {
    expect(parseGlob('user:\\*1*x').literalPrefix).toBe('user:*1');
    expect(parseGlob('żółw').literalPrefix).toBe('żółw');
    expect(parseGlob('[a]b').literalPrefix).toBe('');
    fc.assert(fc.property(patternAndText, ([glob, key]) => key.startsWith(parseGlob(glob).literalPrefix)));
  });

  test.each([
    ['', /empty/],
    ['a[bc', /\[/],
    ['[', /\[/],
    ['[!', /\[/],
    ['[a\\]', /\[/],
    ['[a-', /\[/],
    ['[]', /nothing/],
    ['[!]', /nothing/],
    ['[]a]', /nothing/],
    ['a\\', /backslash/],
    ['[\\', /backslash/],
    ['[z-a]', /range/],
    ['[😀-a]', /range/],
    ['ż'.repeat(257), /512 bytes/],
    ['*'.repeat(513), /512 bytes/],
    ['a\ud83d', /Unicode/],
  ])('refuses %j', (malformed, reason) => {
    expect(() => parseGlob(malformed)).toThrow(MalformedGlob);
    expect(() => parseGlob(malformed)).toThrow(reason);
  });

  test('is read or refused whatever it is, and matches any text without an error', () => {
    const anything = fc.string({ unit: 'binary', maxLength: 40 });
    const symbols = fc.string({ unit: fc.constantFrom('[', ']', '!', '-', '\\', '*', 'a', '\ud800'), maxLength: 12 });
    fc.assert(
      fc.property(fc.oneof(anything, symbols), fc.oneof(anything, symbols), (glob, key) => {
        try {
          expect(typeof matches(glob, key)).toBe('boolean');
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedGlob);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('steps to match', () => {
  const A = 'a'.repeat(512);
  const reads = (glob: string, key: string) => {
    const { reads, text } = counted(key);
    parseGlob(glob).matches(text);
    return reads.count;
  };

  test.each([
    '*a'.repeat(255) + 'b',
    '*?'.repeat(255) + 'b',
    '?*'.repeat(255) + 'b',
    `*${'a'.repeat(510)}b`,
    `*${'a'.repeat(256)}b`,
    `${'a*'.repeat(250)}[!a]`,
    '*[a-z]'.repeat(80) + 'b',
    '*'.repeat(511) + 'b',
  ])('are at most twice length by length: %s', (glob) => {
    expect(reads(glob, A)).toBeLessThanOrEqual(2 * 513 * 513);
  });

  test('are few where stars can take what is there', () => {
    expect(reads('*a'.repeat(255) + 'b', A)).toBeLessThan(3000);
  });

  test.each(['(a+)+$', '(a|a)+$', '(.*a){25}', '.+\\@.+\\..+a.+a.+a.+', '(a+(a|b))+$', '([a-z]+)+$'])(
    'are as few for %s, which is a regular expression that ruins many a matcher',
    (expression) => {
      expect(reads(`*${expression}*`, A)).toBeLessThanOrEqual(2 * 513 * expression.length);
    },
  );
});
