import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { keyIdOf, open, seal } from './encryption.js';
import { TamperedPayload, UnknownEncryptionKey } from './errors.js';
import { parseKeyRing } from './key-ring.js';

const secret = () => randomBytes(32).toString('base64');
const OLD = `old:${secret()}`;
const NEW = `new-2:${secret()}`;
const keyRing = parseKeyRing(OLD);
const CONTEXT = 'default:user:1';

describe('sealed bytes', () => {
  test('come out as they went in, with their context only', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 3000 }),
        fc.string({ unit: 'grapheme' }),
        fc.string({ unit: 'grapheme' }),
        (bytes, context, other) => {
          const sealed = seal(Buffer.from(bytes), keyRing, context);
          expect(open(sealed, keyRing, context).equals(bytes)).toBe(true);
          if (other !== context) expect(() => open(sealed, keyRing, other)).toThrow(TamperedPayload);
        },
      ),
    );
  });

  test.each([0, 1, 64 * 1024 * 1024])('may be of %d bytes', (bytes) => {
    const plain = Buffer.alloc(bytes, 'cache');
    const sealed = seal(plain, keyRing, CONTEXT);
    expect(sealed.length).toBe(2 + 'old'.length + 24 + bytes + 16);
    expect(plain.equals(open(sealed, keyRing, CONTEXT))).toBe(true);
  });

  // https://github.com/C2SP/C2SP/blob/main/XAES-256-GCM.md, test vectors
  test.each([
    [0x01, '', 'ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271'],
    [0x03, 'c2sp.org/XAES-256-GCM', '986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d'],
  ])('are those of XAES-256-GCM: key %d', (byte, context, ciphertext) => {
    const sealed = Buffer.concat([
      Buffer.from('\u0001\u0001k'),
      Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWX'),
      Buffer.from(ciphertext, 'hex'),
    ]);
    const keys = parseKeyRing(`k:${Buffer.alloc(32, byte).toString('base64')}`);
    expect(open(sealed, keys, context).toString()).toBe('XAES-256-GCM');
  });

  test('are never the same twice', () => {
    const sealed = Array.from({ length: 100 }, () => seal(Buffer.from('x'), keyRing, CONTEXT).toString('hex'));
    expect(new Set(sealed).size).toBe(100);
  });

  test('show nothing of what is in them', () => {
    const plain = Buffer.from('a number of a credit card');
    expect(seal(plain, keyRing, CONTEXT).includes(plain.subarray(0, 4))).toBe(false);
  });

  test('are refused when any bit has changed', () => {
    const sealed = seal(Buffer.from('{"balance":100}'), keyRing, CONTEXT);
    for (let at = 0; at < sealed.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const tampered = Buffer.from(sealed);
        tampered.writeUInt8(tampered.readUInt8(at) ^ (1 << bit), at);
        const inKeyId = at >= 2 && at < 2 + 'old'.length;
        const refusal = inKeyId ? UnknownEncryptionKey : at === 1 ? Error : TamperedPayload;
        expect(() => open(tampered, keyRing, CONTEXT)).toThrow(refusal);
      }
    }
  });

  test('are refused when they are cut short, longer, empty or something else', () => {
    const sealed = seal(Buffer.from('{"balance":100}'), keyRing, CONTEXT);
    for (let end = 0; end < sealed.length; end++) {
      expect(() => open(sealed.subarray(0, end), keyRing, CONTEXT)).toThrow(TamperedPayload);
    }
    expect(() => open(Buffer.concat([sealed, Buffer.alloc(1)]), keyRing, CONTEXT)).toThrow(TamperedPayload);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const outcome = () => open(Buffer.from(bytes), keyRing, CONTEXT);
        expect(outcome).toThrow(bytes[0] === 1 && bytes.length > 43 ? Error : TamperedPayload);
      }),
    );
  });

  test('can be read after the keys were rotated, until their key is gone', () => {
    const sealed = seal(Buffer.from('value'), keyRing, CONTEXT);
    const rotated = parseKeyRing(`${NEW},${OLD}`);
    expect(open(sealed, rotated, CONTEXT).toString()).toBe('value');
    expect(keyIdOf(sealed)).toBe('old');
    expect(keyIdOf(seal(Buffer.from('value'), rotated, CONTEXT))).toBe('new-2');
    expect(() => open(sealed, parseKeyRing(NEW), CONTEXT)).toThrow(new UnknownEncryptionKey('old'));
  });

  test('do not open with another key of the same id', () => {
    const sealed = seal(Buffer.from('value'), keyRing, CONTEXT);
    expect(() => open(sealed, parseKeyRing(`old:${secret()}`), CONTEXT)).toThrow(TamperedPayload);
  });

  test('name their key only if they are sealed bytes', () => {
    for (const text of ['', '\u0001', '{"plain":"json text that is longer than forty-three bytes"}']) {
      expect(() => keyIdOf(Buffer.from(text))).toThrow(TamperedPayload);
    }
  });
});
