import { createHmac, type KeyObject, sign } from 'node:crypto';

export type Json = Readonly<Record<string, unknown>>;

/**
 * A JWT as an attacker would make it: any header, any claims, as values or as the bytes of their JSON, signed with any
 * secret, any private key, or not at all.
 */
export function forgeToken(header: Json | Buffer, claims: Json | Buffer, key?: string | Buffer | KeyObject): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  if (key === undefined) return `${signed}.`;
  const isSecret = typeof key === 'string' || Buffer.isBuffer(key);
  const signature = isSecret ? authenticate(header, signed, key) : signWith(signed, key);
  return `${signed}.${signature.toString('base64url')}`;
}

export function claimsOf(token: string): Json {
  return decode(token, 1);
}

export function headerOf(token: string): Json {
  return decode(token, 0);
}

function authenticate(header: Json | Buffer, signed: string, secret: string | Buffer): Buffer {
  const algorithm = Buffer.isBuffer(header) ? undefined : header['alg'];
  const hash = algorithm === 'HS512' ? 'sha512' : algorithm === 'HS384' ? 'sha384' : 'sha256';
  return createHmac(hash, secret).update(signed).digest();
}

/** By the type of the key, whatever algorithm the header claims. */
function signWith(signed: string, key: KeyObject): Buffer {
  const hash = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return sign(hash, Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
}

function decode(token: string, part: number): Json {
  return JSON.parse(Buffer.from(token.split('.')[part] ?? '', 'base64url').toString()) as Json;
}

function encode(part: Json | Buffer): string {
  return (Buffer.isBuffer(part) ? part : Buffer.from(JSON.stringify(part))).toString('base64url');
}
