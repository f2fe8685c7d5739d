import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { publicKeySet, tokenKeys } from './token-keys.js';

const OPENSSL = 'openssl';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cs-keys-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const ed25519 = generateKeyPairSync('ed25519').privateKey;
const pem = (key: KeyObject) => String(key.export({ format: 'pem', type: key.type === 'private' ? 'pkcs8' : 'spki' }));
const publicPem = (key: KeyObject) => pem(createPublicKey(pem(key)));

function keyFile(...blocks: readonly string[]): string {
  const file = path.join(folder, 'keys.pem');
  writeFileSync(file, blocks.join(''));
  return file;
}

test('the first key of a file signs, and all keys and secrets verify', () => {
  const other = generateKeyPairSync('ed25519').privateKey;
  const { signing, verifying } = tokenKeys(['a secret', 'another'], keyFile(pem(ed25519), publicPem(other)));
  expect(signing.key.equals(ed25519)).toBe(true);
  expect([...verifying.values()].map(({ algorithm }) => algorithm)).toEqual(['HS256', 'HS256', 'EdDSA', 'EdDSA']);
  expect([...verifying.keys()]).toContain(signing.id);
  expect([...verifying.values()].some(({ key }) => key.type === 'private')).toBe(false);
});

test('without a file the first secret signs', () => {
  const { signing, verifying } = tokenKeys(['a secret', 'another']);
  expect(signing).toBe(verifying.get(signing.id));
  expect(signing.key.export().toString()).toBe('a secret');
});

test('an id is that of RFC 7638 and the same for both parts of a key', () => {
  // RFC 8037, appendix A.
  const x = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo';
  const d = 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A';
  const privateKey = pkcs8(d);
  expect(tokenKeys([], keyFile(privateKey)).signing.id).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  const { keys } = publicKeySet(tokenKeys([], keyFile(pem(ed25519), privateKey)));
  expect(keys[1]).toEqual({
    kty: 'OKP',
    crv: 'Ed25519',
    x,
    kid: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
    alg: 'EdDSA',
    use: 'sig',
  });
});

test('a secret does not show in its id and is not published', () => {
  const keys = tokenKeys(['a secret']);
  expect(keys.signing.id).toMatch(/^[\w-]{16}$/);
  expect(publicKeySet(keys)).toEqual({ keys: [] });
});

describe('a file', () => {
  const encrypted = { format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

  test.each<[string, string[], RegExp]>([
    ['without a key', ['secret'], /has no PEM block/],
    ['that begins with a public key', [publicPem(ed25519), pem(ed25519)], /must begin with a private key/],
    ['with a passphrase', [String(ed25519.export(encrypted))], /is encrypted with a passphrase/],
    ['with a short key', [pem(short)], /key 1 .* 1024 bits, fewer than 2048/],
    ['with a key of another type', [pem(ed25519), pem(ec)], /key 2 .* type ec, not ed25519 or rsa/],
    ['with a damaged key', [pem(ed25519).replace('MC4C', 'AAAA')], /key 1 what cannot be used/],
  ])('%s is refused', (_, blocks, problem) => {
    const refusal = new RegExp(`^JWT_KEYS_FILE: .*${problem.source}.*; make a key with: openssl genpkey`);
    expect(() => tokenKeys([], keyFile(...blocks))).toThrow(refusal);
  });

  test('that is not there is refused', () => {
    expect(() => tokenKeys([], '/nowhere/keys.pem')).toThrow(/^JWT_KEYS_FILE: .* cannot be read \(ENOENT\)/);
  });

  test('is taken as openssl makes it', () => {
    const blocks = [['ed25519'], ['rsa', '-pkeyopt', 'rsa_keygen_bits:2048']].map((algorithm) =>
      execFileSync(OPENSSL, ['genpkey', '-algorithm', ...algorithm], {
        stdio: ['ignore', 'pipe', 'ignore'],
      }).toString(),
    );
    const { keys } = publicKeySet(tokenKeys([], keyFile(...blocks)));
    expect(keys.map(({ alg }) => alg)).toEqual(['EdDSA', 'RS256']);
  });
});

/** PEM of an Ed25519 key from its seed in base64url: the seed behind a fixed beginning (RFC 8410 §7). */
function pkcs8(seed: string): string {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(seed, 'base64url')]);
  return `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;
}
