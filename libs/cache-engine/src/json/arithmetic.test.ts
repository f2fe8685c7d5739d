import { addNumbers, isNumber } from './arithmetic.js';
import { NotANumber, SumNotFinite } from './errors.js';

test.each([
  ['1', '2', '3'],
  ['9007199254740993', '1', '9007199254740994'],
  ['123456789012345678901234567890', '-1', '123456789012345678901234567889'],
  ['-0', '0', '0'],
  ['5', '-7', '-2'],
  ['0.1', '0.2', '0.30000000000000004'],
  ['1.0', '1', '2'],
  ['1e2', '1', '101'],
  ['1E+2', '-0.5', '99.5'],
  ['1e21', '0', '1e+21'],
])('%s + %s is %s', (a, b, sum) => {
  expect(addNumbers(a, b)).toBe(sum);
});

test.each(['0', '-0', '10', '1.0', '1e400', '1E-7', '-1.5e+3'])('%s is a JSON number', (text) => {
  expect(isNumber(text)).toBe(true);
});

test.each(['', '01', '+1', '.5', '1.', '1e', '0x1', 'NaN', 'Infinity', '"1"', 'null', ' 1', '1\n', '1n', '-', '１'])(
  '%j is not a JSON number and is not added to',
  (text) => {
    expect(isNumber(text)).toBe(false);
    expect(() => addNumbers(text, '1')).toThrow(new NotANumber('first'));
    expect(() => addNumbers('1', text)).toThrow(new NotANumber('second'));
  },
);

test.each([
  ['1e308', '1e308'],
  ['1e400', '1'],
  ['1e400', '-1e400'],
])('refuses %s + %s, which JSON cannot spell', (a, b) => {
  expect(() => addNumbers(a, b)).toThrow(SumNotFinite);
});
