import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type KeyObject,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { JwkSet } from '@cache-system/contracts';
import { StartRefused } from './env.js';

const MIN_RSA_BITS = 2048;
const PEM_BLOCK = /-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----/g;

type TokenAlgorithm = 'HS256' | 'RS256' | 'EdDSA';

/** A key with the one algorithm that it is used with (RFC 8725 §3.1). */
interface TokenKey {
  /** Made from the key itself, so that nobody has to think of one and no two keys share one. */
  readonly id: string;
  readonly algorithm: TokenAlgorithm;
  readonly key: KeyObject;
}

/** The keys of access tokens: one signs, and several verify, so that keys change without ending sessions. */
export interface TokenKeys {
  readonly signing: TokenKey;
  /** By id. Public keys and secrets. */
  readonly verifying: ReadonlyMap<string, TokenKey>;
}

/**
 * @param secrets for HS256; the first signs where there is no file
 * @param file PEM: a private key that signs, and after it keys that verify only
 * @throws StartRefused
 */
export function tokenKeys(secrets: readonly string[], file?: string): TokenKeys {
  const symmetric = secrets.map(secretKey);
  const asymmetric = file === undefined ? [] : readKeyFile(file);
  const [signing] = [...asymmetric, ...symmetric];
  if (!signing) throw new Error('no key for access tokens');
  const verifying = new Map(symmetric.map((key) => [key.id, key]));
  for (const { id, algorithm, key } of asymmetric) {
    verifying.set(id, { id, algorithm, key: publicPart(key) });
  }
  return { signing, verifying };
}

/** The public keys as a JWK Set (RFC 7517); none where tokens are signed with a secret. */
export function publicKeySet({ verifying }: TokenKeys): JwkSet {
  const keys: JwkSet['keys'] = [];
  for (const { id: kid, algorithm: alg, key } of verifying.values()) {
    if (alg === 'HS256') continue;
    const { kty = '', ...members } = key.export({ format: 'jwk' });
    keys.push({ kty, ...members, kid, alg, use: 'sig' });
  }
  return { keys };
}

function secretKey(secret: string): TokenKey {
  const id = createHmac('sha256', secret).update('key id').digest('base64url').slice(0, 16);
  return { id, algorithm: 'HS256', key: createSecretKey(secret, 'utf8') };
}

function readKeyFile(path: string): TokenKey[] {
  const refuse = (problem: string): never => {
    throw new StartRefused([`JWT_KEYS_FILE: ${path} ${problem}; make a key with: openssl genpkey -algorithm ed25519`]);
  };
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return refuse(`cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`);
  }
  const blocks = [...text.matchAll(PEM_BLOCK)];
  const keys = blocks.map(([block, label = ''], index) => {
    if (label.startsWith('ENCRYPTED')) return refuse('has a key that is encrypted with a passphrase');
    try {
      return asymmetricKey(label.endsWith('PRIVATE KEY') ? createPrivateKey(block) : createPublicKey(block));
    } catch (error) {
      return refuse(`has as key ${index + 1} what cannot be used: ${(error as Error).message}`);
    }
  });
  const [first] = keys;
  if (!first) return refuse('has no PEM block');
  if (first.key.type !== 'private') return refuse('must begin with a private key, the one that signs');
  return keys;
}

function asymmetricKey(key: KeyObject): TokenKey {
  const algorithm = algorithmOf(key);
  const { kty, crv, x, n, e } = publicPart(key).export({ format: 'jwk' });
  // The members in this order and nothing else are what RFC 7638 hashes.
  const thumbprint = JSON.stringify(kty === 'RSA' ? { e, kty, n } : { crv, kty, x });
  return { id: createHash('sha256').update(thumbprint).digest('base64url'), algorithm, key };
}

function publicPart(key: KeyObject): KeyObject {
  return key.type === 'private' ? createPublicKey(key) : key;
}

function algorithmOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): TokenAlgorithm {
  if (type === 'ed25519') return 'EdDSA';
  if (type !== 'rsa') throw new Error(`is of type ${type ?? 'unknown'}, not ed25519 or rsa`);
  const bits = details?.modulusLength ?? 0;
  if (bits < MIN_RSA_BITS) throw new Error(`has ${bits} bits, fewer than ${MIN_RSA_BITS}`);
  return 'RS256';
}
