import { createCipheriv } from 'node:crypto';
import { MalformedKeyRing } from './errors.js';

/** An id and 32 bytes in base64 or base64url, as `ENCRYPTION_KEYS` has them. */
const KEY = /^([\w-]+):([A-Za-z0-9+/_-]{43})=?$/;
/** The id stands before all that is sealed, after its length in one byte. */
const MAX_KEY_ID_BYTES = 255;

const BLOCK_BYTES = 16;
/** The label and the nonce of a block from which half a key is derived. */
const NONCE_AT = 4;
const KEY_NONCE_BYTES = BLOCK_BYTES - NONCE_AT;

/** A key with which entries are encrypted. It keeps its secret to itself: there is nothing in it that could be logged. */
export interface EncryptionKey {
  readonly id: string;
  /**
   * The AES-256 key of one message (XAES-256-GCM, C2SP; a key derivation by counter with CMAC, NIST SP 800-108r1).
   * @param nonce 12 random bytes
   */
  messageKey(nonce: Buffer): Buffer;
}

export interface KeyRing {
  /** How many keys there are: with more than one, some entries may still be sealed with another than the current one. */
  readonly size: number;
  /** Encrypts what is written from now on. */
  readonly current: EncryptionKey;
  /** Any key there is, so that what was encrypted before the last rotation can be read. */
  find(id: string): EncryptionKey | undefined;
}

/**
 * Reads `id:key,id:key…`, the syntax of `ENCRYPTION_KEYS`. The first key encrypts, all of them decrypt: to rotate, put a
 * new key before the others, and drop the last when nothing is left that it has encrypted.
 * @throws MalformedKeyRing
 */
export function parseKeyRing(text: string): KeyRing {
  const keys = text.split(',').map(parseKey);
  const byId = new Map(keys.map((key) => [key.id, key]));
  const current = keys[0];
  if (current === undefined || byId.size < keys.length) throw new MalformedKeyRing('two keys have the same id');
  return { size: byId.size, current, find: (id) => byId.get(id) };
}

function parseKey(text: string, index: number): EncryptionKey {
  const [, id, secret] = KEY.exec(text) ?? [];
  if (id === undefined || secret === undefined) {
    throw new MalformedKeyRing(`key ${index + 1} is not id:key with 32 bytes in base64`);
  }
  if (id.length > MAX_KEY_ID_BYTES) throw new MalformedKeyRing(`the id of key ${index + 1} is too long`);
  return { id, messageKey: keyDerivation(Buffer.from(secret, 'base64')) };
}

function keyDerivation(secret: Buffer): (nonce: Buffer) => Buffer {
  // Without chaining, one cipher takes any number of whole blocks, and knows nothing of earlier ones.
  const cipher = createCipheriv('aes-256-ecb', secret, null).setAutoPadding(false);
  const subkey = doubled(cipher.update(Buffer.alloc(BLOCK_BYTES)));
  const blocks = Buffer.concat([1, 2].map((counter) => maskedBlock(counter, subkey)));
  return (nonce) => {
    const input = Buffer.from(blocks);
    for (let at = 0; at < KEY_NONCE_BYTES; at++) {
      const byte = nonce.readUInt8(at);
      for (const block of [0, BLOCK_BYTES]) {
        const position = block + NONCE_AT + at;
        input.writeUInt8(input.readUInt8(position) ^ byte, position);
      }
    }
    return cipher.update(input);
  };
}

/** The input of CMAC's only step, as far as it is the same for all messages: `00 counter 'X' 00`, masked. */
function maskedBlock(counter: number, subkey: Buffer): Buffer {
  const block = Buffer.from(subkey);
  block.writeUInt32BE((block.readUInt32BE() ^ ((counter << 16) | ('X'.charCodeAt(0) << 8))) >>> 0);
  return block;
}

/** CMAC's first subkey (NIST SP 800-38B, section 6.1): twice the block, in GF(2^128). */
function doubled(block: Buffer): Buffer {
  const value = BigInt(`0x${block.toString('hex')}`);
  const twice = BigInt.asUintN(128, value << 1n) ^ (value >> 127n === 1n ? 0x87n : 0n);
  return Buffer.from(twice.toString(16).padStart(2 * BLOCK_BYTES, '0'), 'hex');
}
