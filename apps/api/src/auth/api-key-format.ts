import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ApiKeyEnvironment } from '@cache-system/contracts';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 32 of 62 characters: 190 bits. */
const RANDOM_CHARACTERS = 32;
const CHECKSUM_CHARACTERS = 6;
const HINT_CHARACTERS = 'ck_live_'.length + 4;
/** Bytes from here on would make the first characters of the alphabet more likely than the others. */
const UNBIASED_BYTES = 256 - (256 % ALPHABET.length);
const FORMAT = new RegExp(`^ck_(live|test)_[0-9A-Za-z]{${RANDOM_CHARACTERS + CHECKSUM_CHARACTERS}}$`);

/** A new API key: a prefix that secret scanners recognise, randomness, and a checksum of both. */
export function mintApiKey(environment: ApiKeyEnvironment = 'live'): string {
  const prefix = `ck_${environment}_`;
  let random = '';
  while (random.length < RANDOM_CHARACTERS) {
    for (const byte of randomBytes(RANDOM_CHARACTERS)) {
      if (byte < UNBIASED_BYTES && random.length < RANDOM_CHARACTERS) random += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return prefix + random + checksum(prefix + random);
}

/** Whether a text is an API key that was typed or copied wrong, which needs no look-up to be refused. */
export function isMistyped(key: string): boolean {
  if (!key.startsWith('ck_')) return false;
  return !FORMAT.test(key) || checksum(key.slice(0, -CHECKSUM_CHARACTERS)) !== key.slice(-CHECKSUM_CHARACTERS);
}

/** What is stored of a secret with this much randomness; a slow hash would add nothing. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** The first characters: of a key of ours four random ones, of any other key four at all. */
export function keyHint(key: string): string {
  return key.slice(0, FORMAT.test(key) ? HINT_CHARACTERS : 4);
}

function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let i = 0; i < CHECKSUM_CHARACTERS; i++) {
    digits = ALPHABET.charAt(rest % ALPHABET.length) + digits;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return digits;
}
