import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { TamperedPayload, UnknownEncryptionKey } from './errors.js';
import { type EncryptionKey, type KeyRing } from './key-ring.js';

const VERSION = 1;
const ALGORITHM = 'aes-256-gcm';
/** Version and length of the key id. */
const PREFIX_BYTES = 2;
const KEY_NONCE_BYTES = 12;
const NONCE_BYTES = 24;
const TAG_BYTES = 16;

/** Where in sealed bytes what is. */
interface Sealed {
  readonly keyId: string;
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

/**
 * Encrypts and authenticates with the current key.
 *
 * Layout: `u8` version, `u8` length of the key id, key id, 24 random bytes, ciphertext, 16-byte tag. This is
 * XAES-256-GCM (C2SP, https://c2sp.org/XAES-256-GCM): AES-256-GCM under a key of each message's own, made of the first
 * 12 random bytes, with the last 12 as nonce. AES-256-GCM itself allows 2^32 messages per key with random nonces (NIST
 * SP 800-38D, section 8.3), which a busy cache writes within days; this way it is 2^80, and no key has to be rotated
 * for its use.
 *
 * @param context what the bytes belong to: the full key of the entry and whatever else they must not be swapped with
 *   (well-formed Unicode). Not part of the result: who opens it must know.
 */
export function seal(plain: Buffer, keyRing: KeyRing, context: string): Buffer {
  const { id } = keyRing.current;
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, messageKey(keyRing.current, nonce), messageNonce(nonce), {
    authTagLength: TAG_BYTES,
  });
  cipher.setAAD(Buffer.from(context));
  const ciphertext = cipher.update(plain);
  cipher.final();
  const sealed = Buffer.allocUnsafeSlow(PREFIX_BYTES + id.length + NONCE_BYTES + ciphertext.length + TAG_BYTES);
  sealed.writeUInt8(VERSION, 0);
  sealed.writeUInt8(id.length, 1);
  let at = PREFIX_BYTES + sealed.write(id, PREFIX_BYTES, 'latin1');
  for (const part of [nonce, ciphertext, cipher.getAuthTag()]) at += part.copy(sealed, at);
  return sealed;
}

/**
 * What was sealed, if for this context.
 * @throws UnknownEncryptionKey
 * @throws TamperedPayload
 */
export function open(sealed: Buffer, keyRing: KeyRing, context: string): Buffer {
  const { keyId, nonce, ciphertext, tag } = partsOf(sealed);
  const key = keyRing.find(keyId);
  if (key === undefined) throw new UnknownEncryptionKey(keyId);
  const decipher = createDecipheriv(ALGORITHM, messageKey(key, nonce), messageNonce(nonce), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(context)).setAuthTag(tag);
  const plain = decipher.update(ciphertext);
  try {
    decipher.final();
  } catch (error) {
    throw new TamperedPayload({ cause: error });
  }
  return plain;
}

/**
 * The id of the key that opens sealed bytes, as they say: it is not authenticated.
 * @throws TamperedPayload when they are not sealed bytes
 */
export function keyIdOf(sealed: Buffer): string {
  return partsOf(sealed).keyId;
}

function partsOf(sealed: Buffer): Sealed {
  if (sealed.length < PREFIX_BYTES || sealed.readUInt8(0) !== VERSION) throw new TamperedPayload();
  const nonceAt = PREFIX_BYTES + sealed.readUInt8(1);
  const tagAt = sealed.length - TAG_BYTES;
  if (tagAt < nonceAt + NONCE_BYTES) throw new TamperedPayload();
  return {
    keyId: sealed.toString('latin1', PREFIX_BYTES, nonceAt),
    nonce: sealed.subarray(nonceAt, nonceAt + NONCE_BYTES),
    ciphertext: sealed.subarray(nonceAt + NONCE_BYTES, tagAt),
    tag: sealed.subarray(tagAt),
  };
}

function messageKey(key: EncryptionKey, nonce: Buffer): Buffer {
  return key.messageKey(nonce.subarray(0, KEY_NONCE_BYTES));
}

function messageNonce(nonce: Buffer): Buffer {
  return nonce.subarray(KEY_NONCE_BYTES);
}
