import { identitySchema, type TokenPair, tokenPairSchema } from '@cache-system/contracts';
import type { Answer, Client } from './support/client.js';
import { logIn } from './support/credentials.js';
import { expectError, expectExactly } from './support/expectations.js';
import { claimsOf, forgeToken, headerOf } from './support/jwt.js';
import { type Service, startService } from './support/service.js';

const JWT_SECRET = 'a secret of this test, long enough to sign tokens with';

let service: Service;
let anyone: Client;
beforeAll(async () => {
  service = await startService({ JWT_SECRET });
  anyone = service.client.with({});
});
afterAll(() => service.stop());

const logInWith = (email: string, password: string) => anyone.post('/v1/auth/login', { email, password });
const refresh = (refreshToken: string) => anyone.post('/v1/auth/refresh', { refresh_token: refreshToken });
const whoIs = (token: string) => anyone.get('/v1/auth/me', { headers: { authorization: `Bearer ${token}` } });
const logOut = (token: string) =>
  anyone.post('/v1/auth/logout', undefined, { headers: { authorization: `Bearer ${token}` } });
const refreshed = async (refreshToken: string): Promise<TokenPair> => {
  const answer = await refresh(refreshToken);
  expect(answer.status).toBe(200);
  return tokenPairSchema.parse(answer.json);
};

function expectRefused(answer: Answer): void {
  expectError(answer, 401, 'AUTHENTICATION_FAILED');
  expect(answer.headers['www-authenticate']).toBe('Bearer');
}

describe('a login', () => {
  test('opens a session whose access token says who it is', async () => {
    const answer = await logInWith(service.api.adminEmail, service.api.adminPassword);
    expect(answer.status).toBe(200);
    const pair = expectExactly(tokenPairSchema, answer.json);
    expect(pair.expires_in).toBe(900);
    const me = await whoIs(pair.access_token);
    expect(expectExactly(identitySchema, me.json)).toMatchObject({
      type: 'user',
      name: service.api.adminEmail,
      role: 'admin',
      permissions: ['*'],
    });
  });

  test('takes the e-mail address in any case', async () => {
    expect((await logInWith(service.api.adminEmail.toUpperCase(), service.api.adminPassword)).status).toBe(200);
  });

  test('answers a wrong password and an unknown account the same', async () => {
    const wrong = await logInWith(service.api.adminEmail, 'not the password of anybody');
    const unknown = await logInWith('nobody@example.com', service.api.adminPassword);
    expectRefused(wrong);
    expectRefused(unknown);
    const told = ({ headers, json }: Answer) => {
      const { code, message, details } = (json as { error: Record<string, unknown> }).error;
      return { code, message, details, headers: Object.keys(headers).sort() };
    };
    expect(told(wrong)).toEqual(told(unknown));
  });

  test.each([
    ['no password', { email: 'admin@example.com' }],
    ['an empty password', { email: 'admin@example.com', password: '' }],
    ['an operator of a query language', { email: 'admin@example.com', password: { $ne: '' } }],
    ['a list of addresses', { email: ['admin@example.com'], password: 'x' }],
    ['a role on top', { email: 'admin@example.com', password: 'x', role: 'admin' }],
    ['a password without end', { email: 'admin@example.com', password: 'x'.repeat(100_000) }],
    ['a NUL in the address', { email: 'admin\0@example.com', password: 'x' }],
    ['a list', []],
  ])('with %s is malformed', async (_, body) => {
    expectError(await anyone.post('/v1/auth/login', body), 400, 'INVALID_REQUEST');
  });
});

describe('a refresh', () => {
  test('replaces both tokens, and the new ones work', async () => {
    const first = await logIn(service);
    const second = await refreshed(first.refresh_token);
    expect(second.refresh_token).not.toBe(first.refresh_token);
    expect((await whoIs(second.access_token)).status).toBe(200);
    await refreshed(second.refresh_token);
  });

  test('with a token that was used before ends the session, its access tokens included', async () => {
    const first = await logIn(service);
    const second = await refreshed(first.refresh_token);
    const third = await refreshed(second.refresh_token);
    expect((await whoIs(third.access_token)).status).toBe(200);
    expectRefused(await refresh(first.refresh_token));
    for (const { access_token, refresh_token } of [first, second, third]) {
      expectRefused(await whoIs(access_token));
      expectRefused(await refresh(refresh_token));
    }
  });

  test('of another session is not touched by that', async () => {
    const [stolen, other] = [await logIn(service), await logIn(service)];
    await refreshed(stolen.refresh_token);
    expectRefused(await refresh(stolen.refresh_token));
    expect((await whoIs(other.access_token)).status).toBe(200);
    await refreshed(other.refresh_token);
  });

  test('fifty times at once with one token succeeds once at most and leaves nothing alive', async () => {
    const { refresh_token: token } = await logIn(service);
    const answers = await Promise.all(Array.from({ length: 50 }, () => refresh(token)));
    const won = answers.filter(({ status }) => status === 200).map(({ json }) => tokenPairSchema.parse(json));
    answers.filter(({ status }) => status !== 200).forEach(expectRefused);
    expect(won.length).toBeLessThanOrEqual(1);
    for (const pair of won) {
      expectRefused(await whoIs(pair.access_token));
      expectRefused(await refresh(pair.refresh_token));
    }
  });

  test.each(['rt_unknown', '', 'x'.repeat(10_000), 'rt_\0'])('with %j is refused', async (token) => {
    expect([400, 401]).toContain((await refresh(token)).status);
  });

  test('takes no access token for a refresh token', async () => {
    const { access_token: token } = await logIn(service);
    expect([400, 401]).toContain((await refresh(token)).status);
  });
});

describe('a logout', () => {
  test('ends the tokens of the session at once', async () => {
    const pair = await logIn(service);
    expect((await whoIs(pair.access_token)).status).toBe(200);
    expect((await logOut(pair.access_token)).status).toBe(204);
    expectRefused(await whoIs(pair.access_token));
    expectRefused(await refresh(pair.refresh_token));
    expectRefused(await logOut(pair.access_token));
  });

  test('leaves other sessions of the same user alone', async () => {
    const [leaving, staying] = [await logIn(service), await logIn(service)];
    await logOut(leaving.access_token);
    expect((await whoIs(staying.access_token)).status).toBe(200);
  });

  test('with an API key changes nothing', async () => {
    expect((await service.client.post('/v1/auth/logout')).status).toBe(204);
    expect((await service.client.get('/v1/auth/me')).status).toBe(200);
  });
});

describe('an access token', () => {
  let HS256: Readonly<Record<string, unknown>>;
  const now = () => Math.floor(Date.now() / 1000);
  let good: string;
  let claims: Readonly<Record<string, unknown>>;
  beforeAll(async () => {
    good = (await logIn(service)).access_token;
    [HS256, claims] = [headerOf(good), claimsOf(good)];
  });
  const signed = (changes: object) => forgeToken(HS256, { ...claims, ...changes }, JWT_SECRET);
  const part = (index: number) => good.split('.')[index] ?? '';

  test('that the test signs itself is taken: what is refused below is refused for its flaw alone', async () => {
    expect((await whoIs(signed({}))).status).toBe(200);
  });

  test.each(['none', 'None', 'NONE', 'nOnE', '', null])('with the algorithm %j is refused', async (alg) => {
    const unsigned = forgeToken({ alg, typ: 'JWT' }, claims);
    expectRefused(await whoIs(unsigned));
    expectRefused(await whoIs(`${unsigned}${part(2)}`));
    expectRefused(await whoIs(forgeToken({ alg, typ: 'JWT' }, claims, JWT_SECRET)));
  });

  test.each(['HS384', 'HS512', 'RS256', 'hs256'])('with the algorithm %s is refused', async (alg) => {
    expectRefused(await whoIs(forgeToken({ alg, typ: 'JWT' }, claims, JWT_SECRET)));
  });

  test.each([
    ['signed with another secret', () => forgeToken(HS256, claims, 'another secret that is just as long as ours is')],
    ['signed with an empty secret', () => forgeToken(HS256, claims, '')],
    ['without its signature', () => `${part(0)}.${part(1)}.`],
    ['cut to two parts', () => `${part(0)}.${part(1)}`],
    ['with a part too many', () => `${good}.${part(2)}`],
    [
      'with another payload',
      () => `${part(0)}.${forgeToken(HS256, { ...claims, sub: 'usr_x' }).split('.')[1]}.${part(2)}`,
    ],
    [
      'with another header',
      () => `${forgeToken({ ...HS256, kid: '../../dev/null' }, {}).split('.')[0]}.${part(1)}.${part(2)}`,
    ],
    ['that has expired', () => signed({ exp: now() - 1 })],
    ['that is not valid yet', () => signed({ nbf: now() + 600 })],
    ['that never expires', () => signed({ exp: undefined })],
    ['whose expiry is a text', () => signed({ exp: '9999999999' })],
    ['of another issuer', () => signed({ iss: 'somebody-else' })],
    ['without an issuer', () => signed({ iss: undefined })],
    ['for another audience', () => signed({ aud: 'another-api' })],
    ['without an audience', () => signed({ aud: undefined })],
    ['of another type', () => signed({ typ: 'refresh' })],
    ['without a type', () => signed({ typ: undefined })],
    ['of a session that is not there', () => signed({ sid: 'ses_00000000000000000000000000000000' })],
    ['of somebody else’s session', () => signed({ sub: 'usr_00000000000000000000' })],
    ['without a session', () => signed({ sid: undefined })],
    ['that is nothing but dots', () => '..'],
    ['that is empty', () => ''],
  ])('%s is refused', async (_, token) => {
    expectRefused(await whoIs(token()));
  });

  test('is not replaced by a refresh token', async () => {
    const { refresh_token: token } = await logIn(service);
    expectRefused(await whoIs(token));
  });

  test('is taken from the bearer header only', async () => {
    expectRefused(await anyone.get('/v1/auth/me', { headers: { 'x-api-key': good } }));
    expectRefused(await anyone.get('/v1/auth/me', { headers: { authorization: good } }));
    expectRefused(await anyone.get('/v1/auth/me', { headers: { authorization: `Basic ${good}` } }));
    expectRefused(await anyone.get(`/v1/auth/me?api_key=${good}`));
    expectRefused(await anyone.get(`/v1/auth/me?access_token=${good}`));
  });

  test('that has expired says so, for a client to know that a refresh will do', async () => {
    expect(expectError(await whoIs(signed({ exp: now() - 1 })), 401, 'AUTHENTICATION_FAILED')).toEqual({
      reason: 'the access token has expired',
    });
  });

  test('stops working when it expires, also while it is remembered', async () => {
    const brief = signed({ exp: now() + 2 });
    expect((await whoIs(brief)).status).toBe(200);
    let last: Answer;
    do last = await whoIs(brief);
    while (last.status === 200 && now() < Number(claims['exp']));
    expectRefused(last);
  });
});
