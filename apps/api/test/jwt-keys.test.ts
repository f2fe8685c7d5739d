import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { jwkSetSchema, type TokenPair, tokenPairSchema } from '@cache-system/contracts';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { expectTokenRefused, whoIs } from './support/bearer.js';
import { Client } from './support/client.js';
import { logIn } from './support/credentials.js';
import { expectError, expectExactly } from './support/expectations.js';
import { claimsOf, forgeToken, headerOf } from './support/jwt.js';
import { type Service, startService } from './support/service.js';

const SECRETS = ['the first secret of this test: long enough', 'the second secret of this test: as long as that'];

let folder: ReturnType<typeof createTemporaryFolder>;
beforeAll(() => {
  folder = createTemporaryFolder('jwt-keys');
});
afterAll(() => folder.remove());

const rsaKey = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const pem = (key: KeyObject) => String(key.export({ format: 'pem', type: key.type === 'private' ? 'pkcs8' : 'spki' }));
const publicPem = (key: KeyObject) => pem(createPublicKey(pem(key)));

/** A new key file with these blocks. */
function keyFile(...blocks: readonly string[]): string {
  const file = path.join(folder.path, `keys-${Math.random()}.pem`);
  writeFileSync(file, blocks.join(''));
  return file;
}

/** The same users and sessions under other keys: each generation is a start of the service. */
async function throughGenerations(
  generations: readonly [Readonly<Record<string, string>>, (service: Service) => Promise<void>][],
): Promise<void> {
  const DATA_DIR = path.join(folder.path, `data-${Math.random()}`);
  let stores: Readonly<Record<string, string>> | undefined;
  let credentials = {};
  for (const [keys, check] of generations) {
    const service: Service = stores
      ? await again({ ...stores, ...credentials, DATA_DIR, ...keys })
      : await startService({ DATA_DIR, ...keys });
    stores ??= service.stores;
    credentials = { ADMIN_PASSWORD: service.api.adminPassword, BOOTSTRAP_API_KEY: service.api.apiKey };
    try {
      await check(service);
    } finally {
      await service.stop();
    }
  }
}

async function again(env: Record<string, string>): Promise<Service> {
  const api = await startApi({ env });
  const client = new Client(api.url, { 'x-api-key': api.apiKey });
  return { api, client, stores: env, stop: () => api.stop().then(() => undefined) };
}

const publicJwk = (key: KeyObject) => createPublicKey(pem(key)).export({ format: 'jwk' });
/** Anybody may ask for them, and caches may keep them. */
const publishedKeys = async ({ client }: Service) => {
  const answer = await client.with({}).get('/v1/auth/jwks');
  expect(answer.headers['cache-control']).toBe('public, max-age=300');
  return expectExactly(jwkSetSchema, answer.json).keys;
};
const isTaken = async ({ client }: Service, { access_token: token }: TokenPair) =>
  expect((await whoIs(client, token)).status).toBe(200);
const refreshed = async ({ client }: Service, { refresh_token }: TokenPair) => {
  const answer = await client.with({}).post('/v1/auth/refresh', { refresh_token });
  expect(answer.status).toBe(200);
  return tokenPairSchema.parse(answer.json);
};

describe('keys change without ending a session', () => {
  test('from RSA to Ed25519, by a file in which the first key signs', async () => {
    const [first, second] = [rsaKey(), generateKeyPairSync('ed25519').privateKey];
    let old: TokenPair;
    let fresh: TokenPair;
    await throughGenerations([
      [
        { JWT_KEYS_FILE: keyFile(pem(first), publicPem(second)) },
        async (service) => {
          old = await logIn(service);
          expect(headerOf(old.access_token)).toMatchObject({ alg: 'RS256', typ: 'at+jwt' });
          expect(await publishedKeys(service)).toEqual([
            { ...publicJwk(first), kid: headerOf(old.access_token)['kid'], alg: 'RS256', use: 'sig' },
            { ...publicJwk(second), kid: expect.any(String) as string, alg: 'EdDSA', use: 'sig' },
          ]);
        },
      ],
      [
        { JWT_KEYS_FILE: keyFile(pem(second), publicPem(first)) },
        async (service) => {
          await isTaken(service, old);
          fresh = await logIn(service);
          expect(headerOf(fresh.access_token)).toMatchObject({ alg: 'EdDSA', typ: 'at+jwt' });
          await isTaken(service, fresh);
          expect(new Set((await publishedKeys(service)).map(({ kid }) => kid))).toEqual(
            new Set([old, fresh].map(({ access_token }) => headerOf(access_token)['kid'])),
          );
        },
      ],
      [
        { JWT_KEYS_FILE: keyFile(pem(second)) },
        async (service) => {
          await isTaken(service, fresh);
          expectTokenRefused(await whoIs(service.client, old.access_token));
          // The session goes on, with tokens of the new key.
          await isTaken(service, await refreshed(service, old));
        },
      ],
    ]);
  });

  test('from secret to secret, and from there to a file', async () => {
    const [first = '', second = ''] = SECRETS;
    let old: TokenPair;
    let fresh: TokenPair;
    await throughGenerations([
      [
        { JWT_SECRET: first },
        async (service) => {
          old = await logIn(service);
          expect(headerOf(old.access_token)).toMatchObject({ alg: 'HS256', typ: 'at+jwt' });
          expect(await publishedKeys(service)).toEqual([]);
        },
      ],
      [
        { JWT_SECRET: second, JWT_ACCEPTED_SECRETS: `another secret that nobody uses any more,${first}` },
        async (service) => {
          await isTaken(service, old);
          fresh = await logIn(service);
          expect(headerOf(fresh.access_token)['kid']).not.toBe(headerOf(old.access_token)['kid']);
        },
      ],
      [
        { JWT_SECRET: second, JWT_KEYS_FILE: keyFile(pem(rsaKey())) },
        async (service) => {
          await isTaken(service, fresh);
          expectTokenRefused(await whoIs(service.client, old.access_token));
          expect(headerOf((await logIn(service)).access_token)['alg']).toBe('RS256');
        },
      ],
    ]);
  });
});

describe('the session timeout', () => {
  const [JWT_SECRET = ''] = SECRETS;
  const timeout = {
    SECURITY__AUTHENTICATION__SESSION_TIMEOUT: '300',
    SECURITY__AUTHENTICATION__ACCESS_TOKEN_TTL: '3600',
  };

  test('bounds the life of access tokens, whatever they say themselves', async () => {
    const service = await startService({ JWT_SECRET, ...timeout });
    const pair = await logIn(service);
    expect(pair.expires_in).toBe(300);
    const claims = claimsOf(pair.access_token);
    expect(Number(claims['exp']) - Number(claims['iat'])).toBe(300);
    const issued = (agoSeconds: number) => {
      const iat = Math.floor(Date.now() / 1000) - agoSeconds;
      return forgeToken(headerOf(pair.access_token), { ...claims, iat, exp: iat + 3600 }, JWT_SECRET);
    };
    expect((await whoIs(service.client, issued(200))).status).toBe(200);
    const details = expectError(await whoIs(service.client, issued(301)), 401, 'AUTHENTICATION_FAILED');
    expect(details).toEqual({ reason: 'the access token has expired' });
    await service.stop();
  });
});
