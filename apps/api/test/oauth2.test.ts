import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { identitySchema } from '@cache-system/contracts';
import { findFreePort } from '../../../tools/harness/tied-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { expectTokenRefused, whoIs } from './support/bearer.js';
import { type Client, entryPath } from './support/client.js';
import { logIn } from './support/credentials.js';
import { expectError, expectExactly } from './support/expectations.js';
import { forgeToken, type Json } from './support/jwt.js';
import { expectRefusal, refusedStart } from './support/process.js';
import { type Service, startService } from './support/service.js';
import { type IssuerKey, makeIssuerKey, startIssuer, type TokenIssuer } from './support/token-issuer.js';

const AUDIENCE = 'https://cache.example';
const rsa = makeIssuerKey('rsa-1');
const ec = makeIssuerKey('ec-1', 'ES256');
const okp = makeIssuerKey('okp-1', 'EdDSA');
const now = () => Math.floor(Date.now() / 1000);
const roles = (...names: readonly unknown[]): Json => ({ realm_access: { roles: names } });

/** Settings under which the service takes the tokens of an issuer. */
function trusting({ url, jwksUri }: Pick<TokenIssuer, 'url' | 'jwksUri'>, changes: Json = {}): Record<string, string> {
  const oauth2 = {
    issuer: url,
    audience: AUDIENCE,
    jwks_uri: jwksUri,
    allowed_hosts: ['127.0.0.1'],
    algorithms: ['RS256', 'ES256', 'EdDSA'],
    permissions_claim: ['realm_access', 'roles'],
    mapping: { reader: ['cache:read'], writer: ['cache:read', 'cache:write'], boss: ['admin:*'] },
    namespace: 'shop',
    tier: 'pro',
    ...changes,
  };
  return {
    SECURITY__AUTHENTICATION__METHODS: JSON.stringify(['api_key', 'jwt', 'oauth2']),
    SECURITY__AUTHENTICATION__OAUTH2: JSON.stringify(oauth2),
  };
}

const bearing = (client: Client, token: string) => client.with({ authorization: `Bearer ${token}` });

/** Runs a check against an issuer and a service that trusts it. */
async function withIssuer(
  changes: Json,
  check: (issuer: TokenIssuer, service: Service) => Promise<void>,
): Promise<void> {
  const issuer = await startIssuer(AUDIENCE);
  issuer.publish(rsa);
  const service = await startService(trusting(issuer, changes));
  try {
    await check(issuer, service);
  } finally {
    await service.stop();
    await issuer.stop();
  }
}

describe('a token of the outside issuer', () => {
  let issuer: TokenIssuer;
  let service: Service;
  beforeAll(async () => {
    issuer = await startIssuer(AUDIENCE);
    issuer.publish(rsa, ec, okp);
    service = await startService(trusting(issuer));
  });
  afterAll(async () => {
    await service.stop();
    await issuer.stop();
  });
  const refused = async (token: string) => expectTokenRefused(await whoIs(service.client, token));

  test.each([rsa, ec, okp])('that is signed with $alg says who it is and what it may do', async (key) => {
    const me = await whoIs(service.client, issuer.token(key, roles('writer', 'reader', 'offline_access')));
    expect(expectExactly(identitySchema, me.json)).toEqual({
      type: 'oauth2',
      id: expect.stringMatching(/^sub_[0-9a-f]{20}$/) as string,
      name: 'service-account-shop',
      role: null,
      permissions: ['cache:read', 'cache:write'],
      namespace: 'shop',
      key_prefixes: [],
      tier: 'pro',
      cache_size: { used_bytes: expect.any(Number) as number, limit_bytes: 10 * 2 ** 30 },
    });
  });

  test('may do what its claim is mapped to and nothing else, in its namespace', async () => {
    const reader = bearing(service.client, issuer.token(rsa, roles('reader')));
    const writer = bearing(service.client, issuer.token(rsa, roles('writer')));
    expect((await writer.put(entryPath('k'), { value: 1 })).status).toBe(201);
    expect((await reader.get(entryPath('k'))).json).toMatchObject({ value: 1 });
    expectError(await reader.put(entryPath('k'), { value: 2 }), 403, 'INSUFFICIENT_PERMISSIONS');
    expectError(await writer.get('/v1/auth/api-keys'), 403, 'INSUFFICIENT_PERMISSIONS');
    expect((await service.client.get(entryPath('k'))).status).toBe(404);
  });

  test.each<[string, Json]>([
    ['nothing', {}],
    ['no list and no text', roles({ 0: 'writer' })],
    ['an object for the list', { realm_access: { roles: { writer: true } } }],
    ['what is not mapped', roles('admin', 'cache:write', '*', 'WRITER', ' writer', 1, null)],
    ['what every object has', roles('__proto__', 'constructor', 'toString', 'hasOwnProperty')],
    ['it elsewhere', { roles: ['writer'], scope: 'writer', realm_access: 'writer' }],
  ])('whose claim says %s may do nothing', async (_, claims) => {
    const client = bearing(service.client, issuer.token(rsa, claims));
    expect((await client.get('/v1/auth/me')).json).toMatchObject({ permissions: [] });
    expectError(await client.get(entryPath('k')), 403, 'INSUFFICIENT_PERMISSIONS');
  });

  test.each<[string, Json]>([
    ['of another issuer', { iss: 'https://login.example' }],
    ['of an issuer whose name only begins like that', { iss: 'ISSUER/' }],
    ['that says it is of this service', { iss: 'cache-system', aud: 'cache-system-api', sid: 'ses_1', typ: 'access' }],
    ['for another audience', { aud: 'https://shop.example' }],
    ['without an audience', { aud: undefined }],
    ['without a subject', { sub: undefined }],
    ['without an expiry', { exp: undefined }],
    ['without the time when it was issued', { iat: undefined }],
    ['issued in the future', { iat: now() + 60 }],
    ['not valid yet', { nbf: now() + 60 }],
    ['for identity', { typ: 'ID' }],
    ['for refresh', { typ: 'Refresh' }],
  ])('%s is refused', async (_, changes) => {
    const iss = changes['iss'] === 'ISSUER/' ? { iss: `${issuer.url}/` } : {};
    await refused(issuer.token(rsa, { ...changes, ...iss, ...roles('writer') }));
  });

  test.each<[string, Json]>([
    ['without a type', { typ: undefined }],
    ['of another type', { typ: 'id+jwt' }],
    ['without a key id', { kid: undefined }],
    ['with a list of key ids', { kid: ['rsa-1'] }],
    ['with the id of another of its keys', { kid: 'ec-1' }],
    ['with an algorithm that is not the key’s', { alg: 'PS256' }],
    ['with what must be understood and is not', { crit: ['x'], x: 1 }],
    ['with an algorithm of none', { alg: 'none' }],
  ])('%s in its header is refused', async (_, header) => refused(issuer.token(rsa, roles('writer'), header)));

  test('that anybody could have made is refused', async () => {
    const claims = { iss: issuer.url, aud: AUDIENCE, sub: 'x', iat: now(), exp: now() + 60, ...roles('writer') };
    const header = { typ: 'at+jwt', kid: 'rsa-1' };
    const publicKey = createPublicKey(rsa.privateKey.export({ format: 'pem', type: 'pkcs8' }));
    for (const secret of [
      publicKey.export({ format: 'pem', type: 'spki' }),
      publicKey.export({ format: 'der', type: 'spki' }),
    ])
      await refused(forgeToken({ ...header, alg: 'HS256' }, claims, secret));
    // CVE-2022-21449: zeros were a good ECDSA signature of everything.
    const zeros = Buffer.alloc(64).toString('base64url');
    await refused(`${forgeToken({ ...header, alg: 'ES256', kid: 'ec-1' }, claims)}${zeros}`);
    const { privateKey, publicKey: own } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await refused(forgeToken({ ...header, alg: 'RS256' }, claims, privateKey));
    await refused(forgeToken({ ...header, alg: 'RS256', jwk: own.export({ format: 'jwk' }) }, claims, privateKey));
  });

  test('stops to count when it expires, and when a session would end that was not refreshed', async () => {
    const expired = { reason: 'the access token has expired' };
    for (const times of [{ exp: now() - 1 }, { iat: now() - 3601, exp: now() + 86_400 }]) {
      const answer = await whoIs(service.client, issuer.token(rsa, { ...times, ...roles('reader') }));
      expect(expectError(answer, 401, 'AUTHENTICATION_FAILED')).toEqual(expired);
    }
    const brief = issuer.token(rsa, { exp: now() + 3, ...roles('reader') });
    expect((await whoIs(service.client, brief)).status).toBe(200);
    await eventually('it is refused', async () => (await whoIs(service.client, brief)).status === 401);
  });

  test('works beside the tokens and keys of the service', async () => {
    expect((await whoIs(service.client, (await logIn(service)).access_token)).status).toBe(200);
    expect((await service.client.get('/v1/auth/me')).status).toBe(200);
  });

  test('ends no session', async () => {
    const client = bearing(service.client, issuer.token(rsa, roles('reader')));
    expect((await client.post('/v1/auth/logout')).status).toBe(204);
    expect((await client.get('/v1/auth/me')).status).toBe(200);
  });
});

test('claims map by a text of words too, and can name the namespace', async () => {
  const changes = {
    permissions_claim: 'scope',
    namespace_claim: 'https://cache.example/namespace',
    typ_required: false,
    tier: undefined,
  };
  await withIssuer(changes, async (issuer, { client }) => {
    const named = { scope: 'openid reader writer', 'https://cache.example/namespace': 'tenant-7' };
    const me = await whoIs(client, issuer.token(rsa, named, { typ: undefined }));
    expect(me.json).toMatchObject({ namespace: 'tenant-7', permissions: ['cache:read', 'cache:write'], tier: 'basic' });
    for (const namespace of [undefined, '', '../x', 'Tenant', ['tenant-7'], null]) {
      const nameless = issuer.token(rsa, { ...named, 'https://cache.example/namespace': namespace });
      const details = expectError(await whoIs(client, nameless), 401, 'AUTHENTICATION_FAILED');
      expect(details).toEqual({ reason: 'the access token names no namespace' });
    }
  });
});

describe('the keys of the issuer', () => {
  test('are fetched once, and not for made-up key ids, however many', async () => {
    await withIssuer({ jwks_cooldown: 3600, jwks_max_age: 3600 }, async (issuer, { client }) => {
      const token = issuer.token(rsa, roles('reader'));
      const first = await Promise.all(Array.from({ length: 20 }, () => whoIs(client, token)));
      expect(first.map(({ status }) => status)).toEqual(Array(20).fill(200));
      expect(issuer.fetches).toBe(1);
      const storm = Array.from({ length: 300 }, (_, n) => issuer.token({ ...rsa, kid: `made-up-${n}` }));
      for (const answer of await Promise.all(storm.map((each) => whoIs(client, each)))) expectTokenRefused(answer);
      expect(issuer.fetches).toBe(1);
      expect((await whoIs(client, issuer.token(rsa, { sub: 'another' }))).status).toBe(200);
    });
  });

  test('are fetched again for a new one, and one that is withdrawn stops to count', async () => {
    await withIssuer({ jwks_cooldown: 1, jwks_max_age: 1 }, async (issuer, { client }) => {
      const next = makeIssuerKey('rsa-2');
      const old = issuer.token(rsa, roles('reader'));
      expect((await whoIs(client, old)).status).toBe(200);
      issuer.publish(next, rsa);
      const fresh = issuer.token(next, roles('reader'));
      await eventually('the new key is known', async () => (await whoIs(client, fresh)).status === 200);
      expect((await whoIs(client, old)).status).toBe(200);
      issuer.publish(next);
      await eventually('the old key is not', async () => (await whoIs(client, old)).status === 401);
      expectTokenRefused(await whoIs(client, old));
      expect((await whoIs(client, fresh)).status).toBe(200);
    });
  });

  test('that are not to be had are no reason to refuse, and none to let in: 503 until they are', async () => {
    const port = await findFreePort();
    const url = `http://127.0.0.1:${port}`;
    const service = await startService(trusting({ url, jwksUri: `${url}/jwks` }, { jwks_cooldown: 1 }));
    const token = forgeToken(
      { alg: 'RS256', typ: 'at+jwt', kid: rsa.kid },
      { iss: url, aud: AUDIENCE, sub: 'shop', iat: now(), exp: now() + 600, ...roles('reader') },
      rsa.privateKey,
    );
    const answer = await whoIs(service.client, token);
    expect(expectError(answer, 503, 'SERVICE_OVERLOADED')).toEqual({ dependency: 'oauth2 issuer' });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect((await service.client.get('/v1/auth/me')).status).toBe(200);

    const issuer = await startIssuer(AUDIENCE, port);
    issuer.publish(rsa);
    await eventually('the keys are fetched', async () => (await whoIs(service.client, token)).status === 200);
    await service.stop();
    await issuer.stop();
  });

  test('go on to count while the issuer does not answer, as long as is set, and others get 503', async () => {
    const briefly = { jwks_cooldown: 1, jwks_max_age: 1, jwks_outage_grace: 5 };
    await withIssuer(briefly, async (issuer, { client }) => {
      const token = (subject: string, key: IssuerKey = rsa) => issuer.token(key, { sub: subject, ...roles('reader') });
      expect((await whoIs(client, token('before'))).status).toBe(200);
      const fetches = issuer.fetches;
      issuer.replyWith((_, response) => response.writeHead(500).end());
      await eventually('a fetch has failed, and who was not seen before is let in', async () => {
        const { status } = await whoIs(client, token(`during ${Math.random()}`));
        return status === 200 && issuer.fetches > fetches;
      });
      const unknown = await whoIs(client, token('x', makeIssuerKey('unknown')));
      expectError(unknown, 503, 'SERVICE_OVERLOADED');
      await eventually('the bound is reached', async () => (await whoIs(client, token('before'))).status === 503);
      issuer.replyWith(undefined);
      await eventually('all is well again', async () => (await whoIs(client, token('after'))).status === 200);
    });
  });
});

describe('the configuration', () => {
  const issuer = { url: 'https://login.example', jwksUri: 'https://login.example/jwks' };

  test('is refused where it would trust too much', async () => {
    const changes = { algorithms: ['HS256', 'none'], mapping: { x: ['everything'] }, issuer: 'cache-system' };
    expectRefusal(await refusedStart(trusting(issuer, changes)), [
      /^config security\.authentication\.oauth2\.issuer: is the name of this service$/,
      /^config security\.authentication\.oauth2\.algorithms\.0: .*"RS256"/,
      /^config security\.authentication\.oauth2\.algorithms\.1: .*"RS256"/,
      /^config security\.authentication\.oauth2\.mapping\.x\.0: .*"cache:read"/,
    ]);
    expectRefusal(await refusedStart(trusting(issuer, { jwks_uri: 'http://login.example/jwks' })), [
      /^config security\.authentication\.oauth2\.jwks_uri: must begin with https:\/\/$/,
    ]);
    expectRefusal(await refusedStart({ SECURITY__AUTHENTICATION__METHODS: '["oauth2"]' }), [
      /^config security\.authentication\.oauth2: is required for the method oauth2$/,
    ]);
  });

  test.each<[string, readonly string[], { own: number; outside: number }]>([
    ['jwt', ['api_key', 'jwt'], { own: 200, outside: 401 }],
    ['oauth2', ['api_key', 'oauth2'], { own: 401, outside: 200 }],
  ])(
    'with %s alone decides whose tokens are taken, and whether there are any of this service',
    async (_, methods, expected) => {
      const outside = await startIssuer(AUDIENCE);
      outside.publish(rsa);
      const service = await startService({
        ...trusting(outside),
        SECURITY__AUTHENTICATION__METHODS: JSON.stringify(methods),
      });
      const { adminEmail: email, adminPassword: password } = service.api;
      const { status: own } = await service.client.with({}).post('/v1/auth/login', { email, password });
      const { status } = await whoIs(service.client, outside.token(rsa));
      expect({ own, outside: status }).toEqual(expected);
      await service.stop();
      await outside.stop();
    },
  );
});
