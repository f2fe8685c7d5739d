import { NotANumber, SumNotFinite } from './errors.js';

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const INTEGER = /^-?\d+$/;

/** Whether any text is exactly one JSON number (RFC 8259, section 6), without whitespace around it. */
export function isNumber(text: string): boolean {
  return NUMBER.test(text);
}

/**
 * The JSON text of a sum. Two integers written without fraction or exponent add exactly at any size, so that a counter
 * beyond 2^53 stays right; otherwise it is the sum of the nearest doubles, printed as `JSON.stringify` does.
 *
 * Takes any texts.
 *
 * @throws NotANumber where an operand is not a JSON number
 * @throws SumNotFinite where the sum of doubles has no JSON spelling
 */
export function addNumbers(aText: string, bText: string): string {
  if (!isNumber(aText)) throw new NotANumber('first');
  if (!isNumber(bText)) throw new NotANumber('second');
  if (INTEGER.test(aText) && INTEGER.test(bText)) return (BigInt(aText) + BigInt(bText)).toString();
  const sum = Number(aText) + Number(bText);
  if (!Number.isFinite(sum)) throw new SumNotFinite(sum);
  return JSON.stringify(sum);
}
