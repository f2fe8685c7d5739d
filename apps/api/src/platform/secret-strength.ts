import { isWellKnown } from './well-known-secrets.js';

/** What a secret must have at least. */
export interface Strength {
  /** Of Shannon's entropy, over all characters: what a text of these characters can hold at most. */
  readonly bits: number;
  /** Characters that are left when the words and numbers of guides and of common passwords are taken out. */
  readonly unfamiliar: number;
}

export const KEY_STRENGTH: Strength = { bits: 80, unfamiliar: 12 };
export const PASSWORD_STRENGTH: Strength = { bits: 30, unfamiliar: 6 };

/** Taken out wherever they are; longer ones first. */
const WORDS = new RegExp(
  `
  authentication administrator development application placeholder production characters everything something
  localhost password passwort iloveyou princess football baseball starwars sunshine shouldbe insecure username
  keyboard somebody anything postgres trustno welcome default example private company replace correct battery
  service session changed letmein signing minimum refresh jsonweb express fastify staple passwd secret change should
  qwertz qwerty asdfgh zxcvbn monkey dragon master shadow random string secure system access server please insert
  september november december february saturday thursday purposes purpose openssl january october wednesday tuesday
  summer winter autumn spring monday friday sunday august march april base rand
  people really simple sample abcdef nodejs nestjs docker token cache admin super using login first small horse
  there their these those which value never guess least short chars bytes hello world local redis your this that
  with very long have from make must hard text safe some more than here user pass root test demo temp todo data auth
  main sign jwts hash salt bits good best love prod like only into when used keys code word api app jwt the and for
  are not you put use our key dev can was foo bar baz abc xyz xxx
  `
    .trim()
    .split(/\s+/)
    .join('|'),
  'g',
);
/** Too short to be looked for inside of words. */
const SHORT_WORDS = /\b(?:a|i|is|it|my|me|to|of|in|at|do|be|by|as|or|on|no|so|we|id|an|if|up)\b/g;
const NUMBERS =
  /\b(?:0|1|12|123|1234|12345|123456|1234567|12345678|123456789|1234567890|32|64|128|256|384|512|20\d\d)\b/g;

/** Digits and signs that stand in for letters. */
const STAND_INS: Readonly<Record<string, string>> = {
  '@': 'a',
  '4': 'a',
  '3': 'e',
  '1': 'i',
  '0': 'o',
  $: 's',
  '5': 's',
};

/**
 * Why a secret is easily guessed; undefined when nothing is known against it.
 * @param words others that are familiar where it is used, such as the name of its owner
 */
export function weaknessOf(secret: string, strength: Strength, words: readonly string[] = []): string | undefined {
  if (isWellKnown(secret)) return 'is a well-known text';
  if (period(secret) * 2 <= secret.length) return 'repeats itself';
  if (entropyBits(secret) < strength.bits) return 'has too few different characters';
  if (steps(secret) * 2 > secret.length) return 'is a sequence of neighbouring characters';
  const disguised = secret.replace(/[@43105$]/g, (sign) => STAND_INS[sign] ?? sign);
  const left = Math.min(unfamiliar(secret, words), unfamiliar(disguised, words));
  if (left < strength.unfamiliar) return 'is made of well-known words';
  return undefined;
}

/** Characters after which the text begins anew; its length when it does not. */
function period(text: string): number {
  for (let length = 1; length < text.length; length++) {
    if (text.startsWith(text.slice(length))) return length;
  }
  return text.length;
}

/** Shannon 1948: the entropy of a character as often as each occurs here, times the characters. */
function entropyBits(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.values()].reduce((bits, count) => bits - count * Math.log2(count / text.length), 0);
}

/** Characters that follow their neighbour in the alphabet, or are the same again. */
function steps(text: string): number {
  let count = 0;
  for (let at = 1; at < text.length; at++) {
    if (Math.abs(text.charCodeAt(at) - text.charCodeAt(at - 1)) <= 1) count++;
  }
  return count;
}

function unfamiliar(text: string, words: readonly string[]): number {
  const spaced = text
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .replace(/(?<=\d)(?=\p{L})|(?<=\p{L})(?=\d)/gu, ' ');
  const own = words.filter((word) => word.length > 2).reduce((rest, word) => rest.replaceAll(word, ' '), spaced);
  return own.replace(WORDS, ' ').replace(SHORT_WORDS, ' ').replace(NUMBERS, ' ').replaceAll(' ', '').length;
}
