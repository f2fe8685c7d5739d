import { identitySchema, type TokenPair, tokenPairSchema } from '@cache-system/contracts';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type Answer, Client } from './support/client.js';
import { logIn } from './support/credentials.js';
import { query } from './support/database.js';
import { expectError, expectExactly } from './support/expectations.js';
import { claimsOf, forgeToken, headerOf } from './support/jwt.js';
import { onRealStores, type Service, startService } from './support/service.js';

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
    await refreshed((await refreshed(stolen.refresh_token)).refresh_token);
    expectRefused(await refresh(stolen.refresh_token));
    expect((await whoIs(other.access_token)).status).toBe(200);
    await refreshed(other.refresh_token);
  });

  test('that is repeated at once has the same successor: an answer that was lost costs no session', async () => {
    const first = await logIn(service);
    const second = await refreshed(first.refresh_token);
    const again = await refreshed(first.refresh_token);
    expect(again.refresh_token).toBe(second.refresh_token);
    expect((await whoIs(again.access_token)).status).toBe(200);
    const third = await refreshed(again.refresh_token);
    expect((await refreshed(second.refresh_token)).refresh_token).toBe(third.refresh_token);
  });

  test('fifty times at once with one token leaves one chain alive, which a later reuse ends', async () => {
    const { refresh_token: token } = await logIn(service);
    const pairs = await Promise.all(Array.from({ length: 50 }, () => refreshed(token)));
    const successors = new Set(pairs.map((pair) => pair.refresh_token));
    expect(successors.size).toBe(1);
    const last = await refreshed([...successors][0]!);
    expect((await whoIs(last.access_token)).status).toBe(200);
    expectRefused(await refresh(token));
    for (const { access_token: access } of [...pairs.slice(0, 3), last]) expectRefused(await whoIs(access));
    expectRefused(await refresh(last.refresh_token));
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

describe('a session', () => {
  test.each(['SESSION_TIMEOUT', 'SESSION_MAX_AGE'])('is not outlived by its access token: %s', async (setting) => {
    const brief = await startService({ [`SECURITY__AUTHENTICATION__${setting}`]: '300' });
    try {
      const pair = await logIn(brief);
      expect(pair.expires_in).toBeLessThanOrEqual(300);
      const { exp, iat } = claimsOf(pair.access_token);
      expect(Number(exp) - Number(iat)).toBe(pair.expires_in);
    } finally {
      await brief.stop();
    }
  });

  test('is opened and prolonged only where its tokens are taken', async () => {
    const without = await startService({ SECURITY__AUTHENTICATION__METHODS: '["api_key"]' });
    try {
      const { adminEmail: email, adminPassword: password } = without.api;
      const { reason } = expectError(
        await without.client.post('/v1/auth/login', { email, password }),
        401,
        'AUTHENTICATION_FAILED',
      );
      expect(reason).toMatch(/security\.authentication\.methods/);
      expectRefused(await without.client.post('/v1/auth/refresh', { refresh_token: 'rt_unknown' }));
    } finally {
      await without.stop();
    }
  });
});

/** What takes longer than a test may, so that the database is told that it has passed. */
onRealStores('with time', () => {
  const sessionOf = ({ access_token: token }: TokenPair) => String(claimsOf(token)['sid']);

  test('the last hundred used tokens end the session, and those before are forgotten', async () => {
    const first = await logIn(service);
    let last = first;
    const used: TokenPair[] = [];
    for (let i = 0; i < 103; i++) {
      used.push(last);
      last = await refreshed(last.refresh_token);
    }
    const kept = await query(service, 'SELECT 1 FROM refresh_tokens WHERE session_id = $1', [sessionOf(first)]);
    expect(kept).toHaveLength(101);
    expectRefused(await refresh(first.refresh_token));
    expect((await whoIs(last.access_token)).status).toBe(200);
    expectRefused(await refresh(used[3]!.refresh_token));
    expectRefused(await whoIs(last.access_token));
  });

  test('a refresh is not repeated any more: after ten seconds it ends the session', async () => {
    const first = await logIn(service);
    const second = await refreshed(first.refresh_token);
    const age = (seconds: number) =>
      query(service, `UPDATE refresh_tokens SET used_at = used_at - make_interval(secs => $2) WHERE session_id = $1`, [
        sessionOf(first),
        seconds,
      ]);
    await age(10);
    expectRefused(await refresh(first.refresh_token));
    expectRefused(await whoIs(second.access_token));
    expectRefused(await refresh(second.refresh_token));
    expect(
      await query(service, `SELECT action, outcome FROM audit_log WHERE target->>'id' = $1`, [sessionOf(first)]),
    ).toEqual([{ action: 'session.reuse', outcome: 'refused' }]);
  });

  test('a session that was not refreshed ends', async () => {
    const pair = await logIn(service);
    await query(service, 'UPDATE refresh_tokens SET expires_at = now() WHERE session_id = $1', [sessionOf(pair)]);
    expectRefused(await refresh(pair.refresh_token));
  });

  test('a session that is out ends by the settings of now, when they have become shorter', async () => {
    const [idle, old] = [await logIn(service), await logIn(service)];
    const minutesAgo = `now() - interval '10 minutes'`;
    await query(service, `UPDATE refresh_tokens SET issued_at = ${minutesAgo} WHERE session_id = $1`, [
      sessionOf(idle),
    ]);
    await query(service, `UPDATE sessions SET created_at = ${minutesAgo} WHERE id = $1`, [sessionOf(old)]);
    const shorter = Object.fromEntries(
      ['SESSION_TIMEOUT', 'SESSION_MAX_AGE'].map((setting) => [`SECURITY__AUTHENTICATION__${setting}`, '300']),
    );
    const strict = await startApi({ env: { LOG_LEVEL: 'warn', ...service.stores, JWT_SECRET, ...shorter } });
    try {
      const there = new Client(strict.url);
      expectRefused(await there.post('/v1/auth/refresh', { refresh_token: idle.refresh_token }));
      const headers = { authorization: `Bearer ${old.access_token}` };
      expectRefused(await there.get('/v1/auth/me', { headers }));
    } finally {
      await strict.stop();
    }
    expect((await whoIs(old.access_token)).status).toBe(200);
    await refreshed(idle.refresh_token);
  });

  test('a session ends however often it was refreshed', async () => {
    const pair = await logIn(service);
    const born = (daysAgo: number) =>
      query(service, `UPDATE sessions SET created_at = now() - make_interval(days => $2) WHERE id = $1`, [
        sessionOf(pair),
        daysAgo,
      ]);
    await born(6);
    const second = await refreshed(pair.refresh_token);
    await born(7);
    expectRefused(await refresh(second.refresh_token));
    await logIn(service);
    expect(await query(service, 'SELECT id FROM sessions WHERE id = $1', [sessionOf(pair)])).toEqual([]);
  });
});

onRealStores('on two nodes', () => {
  let second: Awaited<ReturnType<typeof startApi>>;
  let there: Client;
  beforeAll(async () => {
    second = await startApi({ env: { LOG_LEVEL: 'warn', ...service.stores, JWT_SECRET } });
    there = new Client(second.url);
  });
  afterAll(() => second.stop());

  const whoIsThere = (token: string) => there.get('/v1/auth/me', { headers: { authorization: `Bearer ${token}` } });

  test('fifty refreshes at once with one token leave one chain alive', async () => {
    const { refresh_token: token } = await logIn(service);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, number) =>
        (number % 2 ? anyone : there).post('/v1/auth/refresh', { refresh_token: token }),
      ),
    );
    const pairs = answers.map(({ json }) => tokenPairSchema.parse(json));
    expect(new Set(pairs.map((pair) => pair.refresh_token)).size).toBe(1);
  });

  test('a logout on one ends the session on the other within a second', async () => {
    const pair = await logIn(service);
    expect((await whoIsThere(pair.access_token)).status).toBe(200);
    await logOut(pair.access_token);
    await eventually('refused', async () => (await whoIsThere(pair.access_token)).status === 401, 1000);
    expectRefused(await there.post('/v1/auth/refresh', { refresh_token: pair.refresh_token }));
  });
});
