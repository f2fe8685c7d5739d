import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { expectTokenRefused, whoIs } from './support/bearer.js';
import { logIn } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { type HttpOrigin, startHttpOrigin } from './support/http-origin.js';
import { claimsOf, forgeToken, headerOf, type Json } from './support/jwt.js';
import { type Service, startService } from './support/service.js';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const foreign = generateKeyPairSync('rsa', { modulusLength: 2048 });
const now = () => Math.floor(Date.now() / 1000);

let folder: ReturnType<typeof createTemporaryFolder>;
let service: Service;
/** Where an attacker would like keys to be taken from. */
let attacker: HttpOrigin;
let good: string;
let refreshToken: string;
let header: Json;
let claims: Json;

beforeAll(async () => {
  folder = createTemporaryFolder('jwt-attacks');
  const file = path.join(folder.path, 'keys.pem');
  writeFileSync(file, pem(rsa.privateKey));
  attacker = await startHttpOrigin();
  service = await startService({ JWT_KEYS_FILE: file });
  const pair = await logIn(service);
  [good, refreshToken] = [pair.access_token, pair.refresh_token];
  [header, claims] = [headerOf(good), claimsOf(good)];
});
afterAll(async () => {
  await service.stop();
  await attacker.stop();
  folder.remove();
});

const pem = (key: KeyObject) => key.export({ format: 'pem', type: key.type === 'private' ? 'pkcs8' : 'spki' });
const signed = (changes: object, headers: object = {}) =>
  forgeToken({ ...header, ...headers }, { ...claims, ...changes }, rsa.privateKey);
const part = (index: number) => good.split('.')[index] ?? '';
const refused = async (token: string) => expectTokenRefused(await whoIs(service.client, token));

test('a token that the test signs itself is taken: what is refused below is refused for its flaw alone', async () => {
  expect((await whoIs(service.client, good)).status).toBe(200);
  expect((await whoIs(service.client, signed({}))).status).toBe(200);
  expect((await whoIs(service.client, signed({ aud: ['another', claims['aud']] }))).status).toBe(200);
});

describe('a token without a signature is refused', () => {
  test.each(['none', 'None', 'NONE', 'nOnE', 'none ', '', null, 0, ['none'], ['RS256']])('alg %j', async (alg) => {
    const unsigned = forgeToken({ ...header, alg }, claims);
    await refused(unsigned);
    await refused(unsigned.slice(0, -1));
    await refused(`${unsigned}${part(2)}`);
    await refused(forgeToken({ ...header, alg }, claims, ''));
  });

  test('and so is one with an empty signature or one of zeros under the right algorithm', async () => {
    const signedPart = `${part(0)}.${part(1)}`;
    for (const signature of ['', 'AA', Buffer.alloc(256).toString('base64url'), Buffer.alloc(64).toString('base64url')])
      await refused(`${signedPart}.${signature}`);
    for (const alg of ['ES256', 'ES384', 'PS256', 'EdDSA']) {
      const zeros = Buffer.alloc(alg === 'PS256' ? 256 : alg === 'ES384' ? 96 : 64).toString('base64url');
      await refused(`${forgeToken({ ...header, alg }, claims)}${zeros}`);
    }
  });
});

describe('the public key is no secret: a token that is signed with it is refused', () => {
  const key = createPublicKey(pem(rsa.publicKey));
  const secrets: [string, string | Buffer][] = [
    ['PEM', key.export({ format: 'pem', type: 'spki' })],
    ['PEM without its last line break', String(key.export({ format: 'pem', type: 'spki' })).trim()],
    ['PKCS #1 PEM', key.export({ format: 'pem', type: 'pkcs1' })],
    ['DER', key.export({ format: 'der', type: 'spki' })],
    ['PKCS #1 DER', key.export({ format: 'der', type: 'pkcs1' })],
    ['the text of its JWK', JSON.stringify(key.export({ format: 'jwk' }))],
    ['its modulus', Buffer.from(String(key.export({ format: 'jwk' }).n), 'base64url')],
  ];
  test.each(secrets)('as %s', async (_, secret) => {
    for (const alg of ['HS256', 'HS384', 'HS512', 'RS256']) {
      await refused(forgeToken({ ...header, alg }, claims, secret));
      await refused(forgeToken({ alg, typ: header['typ'] }, claims, secret));
    }
  });

  test('as what the service publishes', async () => {
    const published = await service.client.with({}).get('/v1/auth/jwks');
    await refused(forgeToken({ ...header, alg: 'HS256' }, claims, published.text));
  });
});

describe('a key that a token brings along, or says where to get, is not used', () => {
  const jwk = foreign.publicKey.export({ format: 'jwk' });
  const der = foreign.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const byForeigner = (headers: object) => forgeToken({ ...header, ...headers }, claims, foreign.privateKey);

  test.each<[string, () => Json]>([
    ['nothing but a known kid', () => ({})],
    ['jwk', () => ({ jwk })],
    ['jwk and no kid', () => ({ jwk, kid: undefined })],
    ['jwk with its kid', () => ({ jwk: { ...jwk, kid: 'mine' }, kid: 'mine' })],
    ['jku', () => ({ jku: `${attacker.url}/jwks.json` })],
    ['jku of a kid that is not known', () => ({ jku: `${attacker.url}/jwks.json`, kid: 'mine' })],
    ['x5u', () => ({ x5u: `${attacker.url}/chain.pem` })],
    ['x5c', () => ({ x5c: [der] })],
    ['a kid that is a URL', () => ({ kid: `${attacker.url}/key` })],
  ])('%s', async (_, headers) => {
    await refused(byForeigner(headers()));
    expect(attacker.requests).toHaveLength(0);
  });
});

describe('a key id is only looked up', () => {
  test.each<[string, unknown]>([
    ['a path', '../../../../../../dev/null'],
    ['a path in a URL', 'file:///dev/null'],
    ['SQL', "x' UNION SELECT 'secret' --"],
    ['a command', '$(id) | `id`; id'],
    ['a NUL', 'key\0'],
    ['a line break', 'key\r\nX-Injected: 1'],
    ['a name of every object', '__proto__'],
    ['another one', 'constructor'],
    ['a huge text', 'k'.repeat(5000)],
    ['a list', ['kid']],
    ['an object', { kid: 1 }],
    ['a number', 0],
    ['true', true],
    ['null', null],
    ['an empty text', ''],
    ['nothing', undefined],
  ])('and not found when it is %s', async (_, kid) => {
    await refused(forgeToken({ ...header, kid }, claims, rsa.privateKey));
    for (const secret of ['', '\0', 'secret', 'x'])
      await refused(forgeToken({ ...header, alg: 'HS256', kid }, claims, secret));
  });
});

describe('a token with a good signature is refused', () => {
  test.each(['exp', 'iat', 'aud', 'iss', 'sub', 'typ', 'sid'])(
    'without %s, or with null, a list or an object for it',
    async (name) => {
      for (const value of [undefined, null, [], {}, '']) await refused(signed({ [name]: value }));
    },
  );

  test.each<[string, () => Json]>([
    ['of another issuer', () => ({ iss: 'cache-system.example' })],
    ['of a list of issuers', () => ({ iss: [claims['iss']] })],
    ['for another audience', () => ({ aud: 'another-api' })],
    ['for a list of other audiences', () => ({ aud: ['another-api'] })],
    ['of another type', () => ({ typ: 'refresh' })],
    ['of a type in other letters', () => ({ typ: 'ACCESS' })],
    ['that is not valid yet', () => ({ nbf: now() + 60 })],
    ['that says nothing sensible about when it is valid', () => ({ nbf: 'tomorrow' })],
    ['issued in the future', () => ({ iat: now() + 60 })],
    ['whose times are texts', () => ({ iat: String(now()), exp: String(now() + 60) })],
    ['of another user', () => ({ sub: 'usr_00000000000000000000' })],
    ['of a session that is not there', () => ({ sid: 'ses_00000000000000000000000000000000' })],
  ])('%s', async (_, changes) => refused(signed(changes())));

  test.each<[string, Json]>([
    ['nothing', { typ: undefined }],
    ['JWT, as any token', { typ: 'JWT' }],
    ['a refresh token', { typ: 'rt+jwt' }],
    ['an identity token', { typ: 'id+jwt' }],
  ])('when its header says that it is %s', async (_, headers) => refused(signed({}, headers)));

  test.each<[string, Json]>([
    ['names what must be understood and is not', { crit: ['x'], x: 1 }],
    ['names itself as what must be understood', { crit: ['exp'], exp: 1 }],
    ['names nothing as what must be understood', { crit: [] }],
    ['says that its content is not encoded', { crit: ['b64'], b64: false }],
  ])('when its header %s', async (_, headers) => refused(signed({}, headers)));

  test('when it is of a kind whose numbers have no end', async () => {
    const text = JSON.stringify({ ...claims, exp: 'EXP' }).replace('"EXP"', '1e400');
    await refused(forgeToken(header, Buffer.from(text), rsa.privateKey));
  });

  test.each(['[]', 'null', '"text"', '1', 'not JSON', ''])('when its claims are %j', async (text) => {
    await refused(forgeToken(header, Buffer.from(text), rsa.privateKey));
  });

  test('a second after it has expired, and says so, for a client to know that a refresh will do', async () => {
    for (const expired of [{ exp: now() - 1 }, { exp: -1 }, { exp: 0 }, { iat: now() - 86_400 }]) {
      const details = expectError(await whoIs(service.client, signed(expired)), 401, 'AUTHENTICATION_FAILED');
      expect(details).toEqual({ reason: 'the access token has expired' });
    }
  });
});

describe('there is one spelling of a token', () => {
  test.each<[string, () => string]>([
    ['with padding', () => `${good}=`],
    ['with a character more', () => `${good}A`],
    ['with a dot more', () => `${good}.`],
    ['with a second signature', () => `${good}.${part(2)}`],
    ['with a second token behind it', () => `${good},${good}`],
    ['in the five parts of an encrypted one', () => `${part(0)}..${part(1)}.${part(2)}.`],
    ['in the letters of plain base64', () => `${part(0)}.${part(1)}.${part(2).slice(0, -1)}+`],
    ['with a character that is not read', () => `${part(0)}.${part(1)}.${part(2).slice(0, 8)}!${part(2).slice(8)}`],
    ['with a space inside', () => `${part(0)}. ${part(1)}.${part(2)}`],
    ['as JSON', () => JSON.stringify({ protected: part(0), payload: part(1), signature: part(2) })],
    [
      'as JSON with two signatures',
      () => {
        const signature = { protected: part(0), signature: part(2) };
        return JSON.stringify({ payload: part(1), signatures: [signature, { ...signature, signature: 'AA' }] });
      },
    ],
  ])('%s it is refused', async (_, token) => {
    expectError(await whoIs(service.client, token()), 401, 'AUTHENTICATION_FAILED');
  });

  test('whose last bits mean nothing and are zero', async () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    // 256 bytes: of the last character two bits count.
    const last = alphabet.indexOf(good.slice(-1));
    const respelled = `${good.slice(0, -1)}${alphabet.charAt(last + 1)}`;
    expect(Buffer.from(respelled.split('.')[2] ?? '', 'base64url')).toEqual(Buffer.from(part(2), 'base64url'));
    await refused(respelled);
  });

  test('in whose header nothing stands twice to be read in two ways', async () => {
    const twice = JSON.stringify(header)
      .replace('{', '{"alg":"RS256",')
      .replace(/"alg":"RS256"(?=.*"typ")/, '"alg":"none"');
    await refused(`${forgeToken(Buffer.from(twice), claims)}${part(2)}`);
  });
});

describe('a long token', () => {
  const ofLength = (characters: number) => {
    let padding = Math.floor((characters - signed({}).length) * 0.75) - 20;
    let token = signed({ padding: 'x'.repeat(padding) });
    while (token.length < characters) token = signed({ padding: 'x'.repeat(++padding) });
    return token;
  };

  test('is taken up to 8 KiB and refused beyond, however good its signature is', async () => {
    expect((await whoIs(service.client, ofLength(8000))).status).toBe(200);
    await refused(ofLength(8193));
    await refused(ofLength(12_000));
  });
});

describe('tokens of two kinds', () => {
  test('do not stand in for each other', async () => {
    expectError(await whoIs(service.client, refreshToken), 401, 'AUTHENTICATION_FAILED');
    const anyone = service.client.with({});
    const refresh = await anyone.post('/v1/auth/refresh', { refresh_token: good.slice(0, 256) });
    expectError(refresh, 401, 'AUTHENTICATION_FAILED');
    expectError(await anyone.post('/v1/auth/refresh', { refresh_token: good }), 400, 'INVALID_REQUEST');
  });

  test('and a signature that is no signature of a token opens nothing', async () => {
    const mac = createHmac('sha256', pem(rsa.publicKey))
      .update(`${part(0)}.${part(1)}`)
      .digest('base64url');
    await refused(`${part(0)}.${part(1)}.${mac}`);
  });
});
