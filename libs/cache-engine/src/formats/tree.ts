/**
 * A value of any of the formats. Integers beyond 2^53 - 1 are bigints, all other numbers doubles; a `Map` because
 * `__proto__` is a name like any other. Of a name that occurs twice the last value counts. Strings have no lone surrogates.
 */
export type Tree = null | boolean | number | bigint | string | Uint8Array | readonly Tree[] | ReadonlyMap<string, Tree>;

/** A map costs some 200 bytes and may take one byte to spell: a megabyte of empty ones must not cost 200 of them. */
export const EMPTY_MAP: ReadonlyMap<string, never> = new Map<string, never>();

/** How formats without binary spell it: an object with this one member, base64 as RFC 4648, section 4. */
export const BINARY_MEMBER = '$binary';

/** The binary that an object spells, or else the object itself. */
export function readBinary(members: ReadonlyMap<string, Tree>): Tree {
  if (members.size !== 1) return members;
  const text = members.get(BINARY_MEMBER);
  if (typeof text !== 'string') return members;
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : members;
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** An integer as a number where a double holds it exactly. */
export function exactInteger(integer: bigint): number | bigint {
  const number = Number(integer);
  return Number.isSafeInteger(number) ? number : integer;
}

/** A string that UTF-8 can say. A lone surrogate, which only JSON can escape, becomes U+FFFD. */
export function wellFormed(text: string): string {
  return /\p{Surrogate}/u.test(text) ? Buffer.from(text).toString() : text;
}

/** A tree as plain objects, for a schema to check. They have no prototype, so that every name is a plain member. */
export function plain(tree: Tree): unknown {
  if (Array.isArray(tree)) return tree.map(plain);
  if (!(tree instanceof Map)) return tree;
  return plainMembers([...(tree as ReadonlyMap<string, Tree>)].map(([name, child]) => [name, plain(child)] as const));
}

export type PlainObject = Readonly<Record<string, unknown>>;

export function plainMembers(members: Iterable<readonly [string, unknown]>): PlainObject {
  const object = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of members) object[name] = value;
  return object;
}

/** The members of a map or plain object that is to be written; those of an object that are undefined are left out. */
export function writtenMembers(node: object): readonly (readonly [string, unknown])[] {
  if (node === EMPTY_MAP) return [];
  if (node instanceof Map) return [...(node as ReadonlyMap<string, unknown>)];
  return Object.entries(node).filter(([, value]) => value !== undefined);
}
