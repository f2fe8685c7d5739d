import { randomBytes, randomUUID } from 'node:crypto';
import { KEY_STRENGTH, PASSWORD_STRENGTH, weaknessOf } from './secret-strength.js';

const WELL_KNOWN = 'is a well-known text';
const WORDS = 'is made of well-known words';

describe('a secret for tokens is refused', () => {
  test.each([
    // From the public list; the last of them say nothing about themselves.
    ['a-string-secret-at-least-256-bits-long', WELL_KNOWN],
    ['<random_string_at_least_32_characters_long>', WELL_KNOWN],
    ['r9iMKoe5CRMgvJBBtp4HrqN7QiPpUToj', WELL_KNOWN],
    ['0a6b944d-d2fb-46fc-a85e-0295c986cd9f', WELL_KNOWN],
    ['16f8c0ef4a5d391b26034086c628469d3f9f497f08163ab9b40137092f2909ef', WELL_KNOWN],
    ['x'.repeat(40), 'repeats itself'],
    ['k3J9'.repeat(8), 'repeats itself'],
    ['0123456789abcdef0123456789abcdef', 'repeats itself'],
    ['k3J9hUw2Zx8PqL0vk3J9hUw2Zx8PqL0vk3J9', 'repeats itself'],
    [`${'a'.repeat(31)}b`, 'has too few different characters'],
    ['0110100110010110100101100110100110', 'has too few different characters'],
    ['abcdefghijklmnopqrstuvwxyz0123456789', 'is a sequence of neighbouring characters'],
    ['your-secret-key-that-you-should-change', WORDS],
    ['this_is_a_very_long_and_secure_jwt_secret_key_1234', WORDS],
    ['MySuperSecretKeyForMyProductionApp2024!', WORDS],
    ['ch4ng3-m3-1n-pr0duct10n-pl3as3-ch4ng3-m3', WORDS],
    ['change-this-to-a-long-random-string-in-production', WORDS],
  ])('%j', (secret, weakness) => {
    expect(weaknessOf(secret, KEY_STRENGTH)).toBe(weakness);
  });
});

test('random secrets are taken, whatever they are written in', () => {
  const make = [
    () => randomBytes(32).toString('base64'),
    () => randomBytes(32).toString('hex'),
    () => randomBytes(16).toString('hex'),
    () => randomBytes(24).toString('base64url'),
    () => randomUUID(),
    () => `test-${randomBytes(24).toString('base64url')}`,
  ];
  for (let round = 0; round < 500; round++) {
    for (const secret of make.map((each) => each())) {
      expect({ secret, weakness: weaknessOf(secret, KEY_STRENGTH) }).toEqual({ secret, weakness: undefined });
    }
  }
});

describe('a password', () => {
  test.each([
    '000000000000',
    '123456789012',
    'password1234',
    'Password123!',
    'P@ssw0rd1234',
    'changeme1234',
    'administrator',
    'admin@example.com',
    'Admin-Example-2025',
    'qwerty123456',
    'letmein12345',
    'your-password-here',
    'correct horse battery staple',
    'cache-system-admin',
    'aaaaaaaaaaab',
    'ada.lovelace1',
  ])('%j is refused', (password) => {
    expect(weaknessOf(password, PASSWORD_STRENGTH, ['ada', 'lovelace', 'example', 'com'])).toEqual(expect.any(String));
  });

  test.each(['Tr0ub4dor-and-3', 'purple dishwasher monkeys', 'mUzOKhsyjBo2BfmF', 'zwölf Boxkämpfer', '7f3k-92hd-x8sl'])(
    '%j is taken',
    (password) => expect(weaknessOf(password, PASSWORD_STRENGTH, ['ada'])).toBeUndefined(),
  );
});
