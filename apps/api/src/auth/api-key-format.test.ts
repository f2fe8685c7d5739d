import { hashSecret, isMistyped, keyHint, mintApiKey } from './api-key-format.js';

const keys = Array.from({ length: 500 }, () => mintApiKey());

describe('an API key', () => {
  test('has a prefix, 32 random characters and 6 of a checksum', () => {
    for (const key of keys) expect(key).toMatch(/^ck_live_[0-9A-Za-z]{38}$/);
  });

  test('for tests says so at its beginning', () => {
    const key = mintApiKey('test');
    expect(key).toMatch(/^ck_test_[0-9A-Za-z]{38}$/);
    expect(isMistyped(key)).toBe(false);
    expect(isMistyped(key.replace('test', 'live'))).toBe(true);
    expect(keyHint(key)).toBe(key.slice(0, 12));
  });

  test('is like no other', () => {
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('has every character with the same chance', () => {
    const counts = new Map<string, number>();
    for (const character of keys.flatMap((key) => Array.from(key.slice(8, 40)))) {
      counts.set(character, (counts.get(character) ?? 0) + 1);
    }
    expect(counts.size).toBe(62);
    // 16,000 characters: 258 of each on average, with a standard deviation of 16.
    for (const count of counts.values()) {
      expect(count).toBeGreaterThan(258 - 7 * 16);
      expect(count).toBeLessThan(258 + 7 * 16);
    }
  });

  test('is found good as it was made', () => {
    for (const key of keys) expect(isMistyped(key)).toBe(false);
  });

  test('is found mistyped with any one character changed, left out or doubled', () => {
    const key = keys[0]!;
    // The two characters before the underscore are what tells a key of ours from any other.
    for (let i = 3; i < key.length; i++) {
      const other = key[i] === 'x' ? 'y' : 'x';
      expect(isMistyped(key.slice(0, i) + other + key.slice(i + 1))).toBe(true);
      expect(isMistyped(key.slice(0, i) + key.slice(i + 1))).toBe(true);
      expect(isMistyped(key.slice(0, i) + key.charAt(i) + key.slice(i))).toBe(true);
    }
  });

  test('is found mistyped with two neighbours swapped', () => {
    const key = keys[0]!;
    for (let i = 8; i < key.length - 1; i++) {
      const swapped = key.slice(0, i) + key.charAt(i + 1) + key.charAt(i) + key.slice(i + 2);
      expect(isMistyped(swapped)).toBe(swapped !== key);
    }
  });
});

test('a key that an operator has chosen is never found mistyped: it has no checksum', () => {
  for (const key of ['a-key-of-my-own-making', 'ck', 'CK_LIVE_X', '']) expect(isMistyped(key)).toBe(false);
});

test('the hint of a key tells little of it, in plain characters', () => {
  expect(keyHint(keys[0]!)).toBe(keys[0]!.slice(0, 12));
  expect(keyHint('a-key-of-my-own-making')).toBe('a-ke');
  expect(keyHint('ck_my_own_secret_key_is_this')).toBe('ck_m');
});

test('a secret is hashed with SHA-256', () => {
  expect(hashSecret('abc').toString('hex')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
