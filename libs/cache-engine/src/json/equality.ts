import { decodeString } from './scan.js';
import { type JsonNode } from './tree.js';

/** In characters. Numbers with a longer exponent equal only the same spelling. */
const LONGEST_EXPONENT = 1000;

/**
 * Equality as RFC 6902, section 4.6 defines it for `test`: numbers by exact value whatever their digits, strings by
 * content, arrays in order, objects in any order.
 *
 * Goes no deeper than the shallower of the two.
 */
export function equals(a: JsonNode, b: JsonNode): boolean {
  if (a.text !== undefined && a.text === b.text) return true;
  if (a.kind === 'object') {
    if (b.kind !== 'object' || a.members.size !== b.members.size) return false;
    for (const [name, { value }] of a.members) {
      const other = b.members.get(name);
      if (!other || !equals(value, other.value)) return false;
    }
    return true;
  }
  if (a.kind === 'array') {
    if (b.kind !== 'array' || a.items.length !== b.items.length) return false;
    return a.items.every((item, index) => {
      const other = b.items[index];
      return other !== undefined && equals(item, other);
    });
  }
  return b.kind === 'scalar' && equalScalars(a.text, b.text);
}

function equalScalars(a: string, b: string): boolean {
  if (a.startsWith('"')) return b.startsWith('"') && decodeString(a) === decodeString(b);
  return startsNumber(a) && startsNumber(b) && canonicalNumber(a) === canonicalNumber(b);
}

function startsNumber(scalarText: string): boolean {
  return /^[-\d]/.test(scalarText);
}

/** One spelling for each value, without going through a double: 100, 1e2 and 100.0 are all `1e2`. */
function canonicalNumber(text: string): string {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e');
  // Nobody's number; but converting a megabyte of exponent takes a second, for each `test` of a small patch.
  if (exponent.length > LONGEST_EXPONENT) return text;
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const digits = (whole + fraction).replace(/^0+/, '');
  if (digits === '') return '0';

  // A loop: /0+$/ takes quadratic time on many zeros that are not at the end.
  let length = digits.length;
  while (digits[length - 1] === '0') length--;
  const sign = mantissa.startsWith('-') ? '-' : '';
  const scale = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - length);
  return `${sign}${digits.slice(0, length)}e${scale}`;
}
