import { base64, BINARY_MEMBER } from './tree.js';
import { decodeValue, Encoded } from './values.js';

/** Above this a double has the digits of an integer, and would be read back as one. */
const INTEGER_DIGITS = 2 ** 53;

/** The JSON text of a tree or document. What is not finite becomes null, as `JSON.stringify` has it. */
export function jsonTextOf(node: unknown): string {
  if (typeof node === 'string') return JSON.stringify(node);
  if (typeof node === 'number') return numberText(node);
  if (typeof node === 'bigint' || typeof node === 'boolean') return String(node);
  if (node === null) return 'null';
  if (Array.isArray(node)) return `[${node.map(jsonTextOf).join()}]`;
  if (node instanceof Encoded) {
    return node.format === 'json' ? node.bytes.toString('utf8') : jsonTextOf(decodeValue(node.format, node.bytes));
  }
  if (node instanceof Uint8Array) return `{"${BINARY_MEMBER}":"${base64(node)}"}`;
  return node instanceof Map ? mapText(node as ReadonlyMap<string, unknown>) : objectText(node as object);
}

function mapText(map: ReadonlyMap<string, unknown>): string {
  let members = '';
  for (const [name, value] of map) members += memberText(members, name, value);
  return `{${members}}`;
}

function objectText(object: object): string {
  let members = '';
  for (const name of Object.keys(object)) {
    const value = (object as Readonly<Record<string, unknown>>)[name];
    if (value !== undefined) members += memberText(members, name, value);
  }
  return `{${members}}`;
}

function memberText(before: string, name: string, value: unknown): string {
  return `${before === '' ? '' : ','}${JSON.stringify(name)}:${jsonTextOf(value)}`;
}

function numberText(number: number): string {
  if (!Number.isFinite(number)) return 'null';
  if (Object.is(number, -0)) return '-0';
  return Math.abs(number) < INTEGER_DIGITS ? String(number) : number.toExponential();
}
