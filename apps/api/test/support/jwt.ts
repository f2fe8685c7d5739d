import { createHmac } from 'node:crypto';

type Json = Readonly<Record<string, unknown>>;

/** A JWT as an attacker would make it: any header, any claims, signed with any secret or not at all. */
export function forgeToken(header: Json, claims: Json, secret?: string): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  const hash = header['alg'] === 'HS512' ? 'sha512' : header['alg'] === 'HS384' ? 'sha384' : 'sha256';
  const signature = secret === undefined ? '' : createHmac(hash, secret).update(signed).digest('base64url');
  return `${signed}.${signature}`;
}

export function claimsOf(token: string): Json {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Json;
}

function encode(part: Json): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
