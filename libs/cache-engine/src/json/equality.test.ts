import { equals } from './equality.js';
import { parse } from './tree.js';

test.each([
  ['1', '1.0'],
  ['1', '10e-1'],
  ['100', '1E+2'],
  ['-0', '0'],
  ['0.0', '0e5'],
  ['12345678901234567890', '12345678901234567890.00'],
  ['1e400', '10e399'],
  ['1e99999999999999999999', '10e99999999999999999998'],
  ['"a"', String.raw`"\u0061"`],
  ['"/"', String.raw`"\/"`],
  [String.raw`"\ud834\udd1e"`, '"𝄞"'],
  ['[1, [2.0]]', '[1.0,[2]]'],
  ['{"a":1,"b":[ ]}', String.raw`{ "b":[], "\u0061":1.0 }`],
  ['{"a":1,"a":2}', '{"a":2}'],
  ['null', ' null '],
])('%s equals %s', (a, b) => {
  expect(equals(parse(a), parse(b))).toBe(true);
  expect(equals(parse(b), parse(a))).toBe(true);
});

test.each([
  ['12345678901234567890', '12345678901234567891'],
  ['9007199254740993', '9007199254740992'],
  ['0.1', '0.1000000000000000055511151231257827'],
  ['1e400', '1e401'],
  ['1', '-1'],
  ['10', '1'],
  ['1', '"1"'],
  ['0', 'false'],
  ['null', '0'],
  ['true', 'false'],
  ['"a"', '"A"'],
  ['[1,2]', '[2,1]'],
  ['[1]', '[1,1]'],
  ['[]', '{}'],
  ['{"a":1}', '{"b":1}'],
  ['{"a":1}', '{"a":1,"b":2}'],
  ['{"__proto__":1}', '{}'],
])('%s does not equal %s', (a, b) => {
  expect(equals(parse(a), parse(b))).toBe(false);
  expect(equals(parse(b), parse(a))).toBe(false);
});

test('compares very long numbers in time proportional to their length', () => {
  const zeros = '0'.repeat(1_000_000);
  expect(equals(parse(`1e1${zeros}`), parse(`1.0e1${zeros}`))).toBe(false);
  expect(equals(parse(`1${zeros}1`), parse(`1${zeros}1.0`))).toBe(true);
});
