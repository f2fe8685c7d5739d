import { inspect } from 'node:util';
import { MalformedKeyRing } from './errors.js';
import { parseKeyRing } from './key-ring.js';

const A = 'A'.repeat(43);
const SECRET = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I';

describe('key ring', () => {
  test('encrypts with the first key and finds all of them', () => {
    const keyRing = parseKeyRing(`new:${A}=,2026-old_1:${'_'.repeat(43)}`);
    expect(keyRing.current.id).toBe('new');
    expect(keyRing.find('new')).toBe(keyRing.current);
    expect(keyRing.find('2026-old_1')?.id).toBe('2026-old_1');
    expect(keyRing.find('other')).toBeUndefined();
  });

  test('takes base64 and base64url for the same key', () => {
    const nonce = Buffer.alloc(12, 7);
    const [standard, url] = ['+/', '-_'].map((pair) => parseKeyRing(`k:${pair}${SECRET.slice(2)}`).current);
    expect(standard!.messageKey(nonce)).toEqual(url!.messageKey(nonce));
  });

  test('has another key for each key and each nonce, and the same one again', () => {
    const nonces = Array.from({ length: 12 }, (_, at) => Buffer.alloc(12).fill(1, at, at + 1));
    const keys = [`k:${A}`, `k:${SECRET}`].map((text) => parseKeyRing(text).current);
    const derived = keys.flatMap((key) => nonces.map((nonce) => key.messageKey(nonce).toString('hex')));
    expect(new Set(derived).size).toBe(24);
    expect(derived[0]).toHaveLength(64);
    expect(keys[0]!.messageKey(nonces[0]!).toString('hex')).toBe(derived[0]);
  });

  test.each([
    '',
    A,
    `:${A}`,
    `k:${A.slice(1)}`,
    `k:${A}==`,
    `k:${A}AA`,
    `k k:${A}`,
    `k:${A},`,
    `k:${A}, l:${A}`,
    `k:${A},k:${SECRET}`,
    `${'i'.repeat(256)}:${A}`,
  ])('refuses %j', (text) => {
    expect(() => parseKeyRing(text)).toThrow(MalformedKeyRing);
  });

  test('shows its secrets to no log', () => {
    const shown = (value: unknown) => inspect(value, { depth: 9, showHidden: true }) + JSON.stringify(value);
    const keyRing = parseKeyRing(`k:${SECRET}`);
    expect(shown([keyRing, keyRing.current])).not.toContain(SECRET.slice(0, 8));
    expect(shown(keyRing)).not.toContain(Buffer.from(SECRET, 'base64').toString('hex').slice(0, 8));
    try {
      parseKeyRing(`k:${SECRET},k`);
    } catch (error) {
      expect(shown(error)).not.toContain(SECRET.slice(0, 8));
    }
    expect.assertions(3);
  });
});
