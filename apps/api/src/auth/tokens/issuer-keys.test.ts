import { oauth2Schema } from '@cache-system/contracts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type HttpOrigin, startHttpOrigin } from '../../../test/support/http-origin.js';
import { makeIssuerKey, startIssuer, type TokenIssuer } from '../../../test/support/token-issuer.js';
import type { ApiError } from '../../platform/http/api-error.js';
import { IssuerKeys } from './issuer-keys.js';
import { readToken, TokenRefused } from './token-text.js';

const key = makeIssuerKey('rsa-1');

let issuer: TokenIssuer;
let elsewhere: HttpOrigin;
beforeAll(async () => {
  issuer = await startIssuer('api');
  issuer.publish(key);
  elsewhere = await startHttpOrigin();
});
afterAll(async () => {
  await issuer.stop();
  await elsewhere.stop();
});
beforeEach(() => issuer.replyWith(undefined));

function issuerKeys(changes: object = {}): IssuerKeys {
  return new IssuerKeys(
    oauth2Schema.parse({
      issuer: issuer.url,
      audience: 'api',
      jwks_uri: issuer.jwksUri,
      allowed_hosts: ['127.0.0.1'],
      mapping: {},
      ...changes,
    }),
  );
}

const unavailable = expect.objectContaining({
  code: 'SERVICE_OVERLOADED',
  headers: { 'Retry-After': expect.stringMatching(/^([1-9]|[12]\d|30)$/) as string },
}) as ApiError;
const token = () => readToken(issuer.token(key));
const unknownToken = () => readToken(issuer.token({ ...key, kid: 'made-up' }));

test('the key that a token names is found, by one request for all who ask at once', async () => {
  const keys = issuerKeys();
  const before = issuer.fetches;
  const found = await Promise.all([token(), token(), token()].map((each) => keys.keyFor(each)));
  expect(new Set(found).size).toBe(1);
  expect(issuer.fetches).toBe(before + 1);
  keys.close();
});

test('a key that the issuer does not have is refused without asking it again', async () => {
  const keys = issuerKeys();
  await keys.keyFor(token());
  const before = issuer.fetches;
  for (let n = 0; n < 50; n++) await expect(keys.keyFor(unknownToken())).rejects.toThrow(TokenRefused);
  expect(issuer.fetches).toBe(before);
  keys.close();
});

test('an issuer that fails is not asked again either, and nothing is said about its tokens', async () => {
  const keys = issuerKeys();
  issuer.replyWith((_, response) => response.writeHead(503).end());
  const before = issuer.fetches;
  for (let n = 0; n < 50; n++) await expect(keys.keyFor(token())).rejects.toEqual(unavailable);
  expect(issuer.fetches).toBe(before + 1);
  keys.close();
});

test('nobody waits for an issuer that has failed before, while the keys that it gave are good', async () => {
  const keys = issuerKeys({ jwks_max_age: 1, jwks_cooldown: 1 });
  await keys.keyFor(token());
  const isAskedAgain = async (before: number) => {
    while (issuer.fetches === before) {
      await keys.keyFor(token());
      await nextTurn();
    }
  };
  issuer.replyWith((_, response) => response.writeHead(503).end());
  await isAskedAgain(issuer.fetches);
  let givenUp = 0;
  issuer.replyWith((_, response) => void response.on('close', () => givenUp++));
  await isAskedAgain(issuer.fetches);
  expect(givenUp).toBe(0);
  keys.close();
});

test('keys are not looked for more seldom than they grow old', () => {
  expect(() => issuerKeys({ jwks_max_age: 10, jwks_cooldown: 11 })).toThrow(/jwks_max_age/);
});

test.each<[string, () => Parameters<TokenIssuer['replyWith']>[0]]>([
  ['a redirect', () => (_, response) => response.writeHead(302, { location: `${elsewhere.url}/jwks` }).end()],
  ['no JSON', () => (_, response) => response.end('<html>')],
  ['no list of keys', () => (_, response) => response.end('{"keys":{}}')],
  ['a list of what are no keys', () => (_, response) => response.end('{"keys":[1]}')],
  ['too many keys', () => (_, response) => response.end(JSON.stringify({ keys: Array(101).fill({ kty: 'RSA' }) }))],
  ['too many bytes', () => (_, response) => response.end(JSON.stringify({ keys: [], padding: 'x'.repeat(300_000) }))],
  ['an end too early', () => (request, response) => void response.write('{"keys":', () => request.socket.destroy())],
])('keys are not taken from an answer with %s', async (_, reply) => {
  const keys = issuerKeys();
  issuer.replyWith(reply());
  await expect(keys.keyFor(token())).rejects.toEqual(unavailable);
  expect(elsewhere.requests).toHaveLength(0);
  keys.close();
});

test('keys that no signature can be checked with are no keys', async () => {
  const keys = issuerKeys();
  const useless = [
    { kty: 'oct', kid: key.kid, k: 'AAAA' },
    { kty: 'RSA', kid: key.kid, alg: 'RS256', use: 'enc', n: 'AQAB', e: 'AQAB' },
    { kty: 'EC', kid: key.kid },
  ];
  issuer.replyWith((_, response) => response.end(JSON.stringify({ keys: useless })));
  await expect(keys.keyFor(token())).rejects.toThrow(TokenRefused);
  keys.close();
});

test.each([
  ['a loopback address', () => `https://127.0.0.1:${elsewhere.port}/jwks`],
  ['a name of one', () => `https://localhost:${elsewhere.port}/jwks`],
  ['another spelling of one', () => `https://0x7f000001:${elsewhere.port}/jwks`],
])('keys are not fetched from %s unless it is allowed', async (_, jwksUri) => {
  const keys = issuerKeys({ jwks_uri: jwksUri(), allowed_hosts: [] });
  await expect(keys.keyFor(token())).rejects.toEqual(unavailable);
  expect(elsewhere.requests).toHaveLength(0);
  keys.close();
});
