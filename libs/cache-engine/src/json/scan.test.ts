import { DuplicateMember, TooDeep } from './errors.js';
import { itemTexts, MAX_DEPTH, memberTexts, nestingDepth } from './scan.js';

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

describe('memberTexts', () => {
  test.each([
    '12345678901234567890',
    '-0',
    '1.0',
    '1e400',
    '1E+2',
    'true',
    'null',
    '""',
    String.raw`"\ud800 \u0041 \/ \\"`,
    String.raw`"ends in a backslash \\"`,
    String.raw`"a \" quote, } and ]"`,
    String.raw`"\\\" \\\\\" "`,
    '{ "a" : [ 1 ,\t2 ] , "a" : {} }',
    '["]", "}", {"x": "\\""}]',
    '"żółć 𝄞"',
  ])('gives the exact text of %s', (value) => {
    expect([...memberTexts(`{"first":0,"value":${value},"last":[]}`)]).toEqual([
      ['first', '0'],
      ['value', value],
      ['last', '[]'],
    ]);
    expect([...memberTexts(` {\n "value" \t:\r\n ${value} \n} `)]).toEqual([['value', value]]);
  });

  test('keeps the order of names that look like indexes', () => {
    expect([...memberTexts('{"2":0,"b":0,"1":0,"a":0,"0":0}').keys()]).toEqual(['2', 'b', '1', 'a', '0']);
  });

  test('takes __proto__ and constructor for names like any other', () => {
    expect([...memberTexts('{"__proto__":{"x":1},"constructor":2}')]).toEqual([
      ['__proto__', '{"x":1}'],
      ['constructor', '2'],
    ]);
  });

  test('decodes names', () => {
    const text = String.raw`{"\u0061":1,"\"":2,"\ud800":3,"\\":4,"":5}`;
    expect([...memberTexts(text).keys()]).toEqual(['a', '"', '\ud800', '\\', '']);
  });

  test.each(['{"a":1,"b":2,"a":3}', String.raw`{"a":1,"\u0061":3}`])('refuses a repeated name in %s', (text) => {
    expect(() => memberTexts(text)).toThrow(new DuplicateMember('a'));
  });

  test.each(['{}', ' { \n } '])('gives nothing for %j', (text) => {
    expect(memberTexts(text).size).toBe(0);
  });

  test('refuses exactly what nests deeper than the limit, the object itself being level one', () => {
    expect(() => memberTexts('{}', 0)).toThrow(TooDeep);
    expect(memberTexts('{"a":1}', 1).size).toBe(1);
    expect(() => memberTexts('{"a":[]}', 1)).toThrow(TooDeep);
    expect(memberTexts(`{"a":${nested(9)},"b":${nested(9)}}`, 10).size).toBe(2);
    expect(() => memberTexts(`{"a":${nested(10)}}`, 10)).toThrow(new TooDeep(10));
    expect(() => memberTexts(`{"a":${nested(1_000_000)}}`)).toThrow(TooDeep);
    expect(memberTexts(`{"a":${nested(MAX_DEPTH - 1)}}`).size).toBe(1);
  });

  test('takes time in proportion to a text full of escapes', () => {
    const value = `"${'\\\\'.repeat(500_000)}${'\\"'.repeat(500_000)}"`;
    expect(memberTexts(`{"a":${value}}`).get('a')).toHaveLength(value.length);
  });
});

describe('itemTexts', () => {
  test.each<[string, string[]]>([
    ['[]', []],
    [' [ ] ', []],
    ['[[]]', ['[]']],
    ['[[],{}]', ['[]', '{}']],
    [' [ 1.0 , "a,]" ,{ "b" : 1 }\n, -0 ] ', ['1.0', '"a,]"', '{ "b" : 1 }', '-0']],
  ])('gives the exact texts of %s', (text, items) => {
    expect(itemTexts(text)).toEqual(items);
  });

  test('refuses what nests deeper than the limit', () => {
    expect(() => itemTexts('[]', 0)).toThrow(TooDeep);
    expect(itemTexts(nested(10), 10)).toEqual([nested(9)]);
    expect(() => itemTexts(nested(11), 10)).toThrow(TooDeep);
  });
});

describe('nestingDepth', () => {
  test.each<[string, number]>([
    ['1', 0],
    ['"[[["', 0],
    ['{}', 1],
    ['[[],{"a":[]},[]]', 3],
    [String.raw`["\"[[[", "\\", []]`, 2],
  ])('of %s is %i', (text, depth) => {
    expect(nestingDepth(text)).toBe(depth);
  });

  test('is found without recursion', () => {
    expect(nestingDepth(nested(1_000_000))).toBe(1_000_000);
  });

  test.each(['"unfinished', '"\\', '"', ']]}}', '[[[', ''])('ends on %j, which is not JSON', (text) => {
    expect(nestingDepth(text)).toBeGreaterThanOrEqual(0);
  });
});
