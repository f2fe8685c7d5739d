import {
  type UserList,
  userListSchema,
  userSchema,
  type UserWithPassword,
  userWithPasswordSchema,
} from '@cache-system/contracts';
import { hash } from '@node-rs/argon2';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type Answer, Client } from './support/client.js';
import { readAudit } from './support/audit.js';
import { adminClient } from './support/credentials.js';
import { query } from './support/database.js';
import { expectError, expectExactly, expectViolation } from './support/expectations.js';
import { mintKey } from './support/keys.js';
import { onRealStores, type Service, startService } from './support/service.js';

const USERS = '/v1/admin/users';
const JWT_SECRET = 'a secret of this test, long enough to sign tokens with';
const PASSWORD = 'the password of this test';
const NEW_PASSWORD = 'another password of this test';

let service: Service;
let anyone: Client;
let admin: Client;
beforeAll(async () => {
  service = await startService({ JWT_SECRET });
  anyone = service.client.with({});
  admin = await adminClient(service);
});
afterAll(() => service.stop());

let made = 0;
const newEmail = () => `user-${++made}@example.com`;

async function makeUser(fields: object = {}, maker = admin): Promise<UserWithPassword> {
  const answer = await maker.post(USERS, { email: newEmail(), role: 'viewer', password: PASSWORD, ...fields });
  expect({ status: answer.status, json: answer.json }).toMatchObject({ status: 201 });
  return expectExactly(userWithPasswordSchema, answer.json);
}

const logInWith = (email: string, password: string) => anyone.post('/v1/auth/login', { email, password });
const refresh = (token: string) => anyone.post('/v1/auth/refresh', { refresh_token: token });
const whoIs = (client: Client) => client.get('/v1/auth/me');
const change = (id: string, fields: object, changer = admin) => changer.patch(`${USERS}/${id}`, fields);

/** Somebody who has logged in. */
async function enter(email: string, password = PASSWORD): Promise<{ client: Client; refreshToken: string }> {
  const answer = await logInWith(email, password);
  expect({ status: answer.status, json: answer.json }).toMatchObject({ status: 200 });
  const pair = answer.json as { access_token: string; refresh_token: string };
  return { client: anyone.with({ authorization: `Bearer ${pair.access_token}` }), refreshToken: pair.refresh_token };
}

async function list(search = ''): Promise<UserList> {
  return expectExactly(userListSchema, (await admin.get(`${USERS}?${search}`)).json);
}

const expectRefused = (answer: Answer) => expectError(answer, 401, 'AUTHENTICATION_FAILED');
const expectForbidden = (answer: Answer) => expectError(answer, 403, 'INSUFFICIENT_PERMISSIONS');
const expectConflict = (answer: Answer, reason: string) =>
  expect(expectError(answer, 409, 'CACHE_KEY_CONFLICT')).toEqual({ reason });

describe('a new user', () => {
  test('logs in with the password that was given, and may do what the role may', async () => {
    const user = await makeUser({ role: 'operator' });
    expect(user).toEqual({
      id: expect.stringMatching(/^usr_[0-9a-f]{20}$/) as string,
      email: user.email,
      role: 'operator',
      disabled: false,
      created_at: expect.any(String) as string,
      last_login_at: null,
    });
    const { client } = await enter(user.email);
    expect((await whoIs(client)).json).toMatchObject({ id: user.id, name: user.email, role: 'operator' });
    expect((await client.get(USERS)).status).toBe(200);
    expectForbidden(await client.post(USERS, { email: newEmail(), role: 'viewer' }));
    const { last_login_at: lastLogin } = userSchema.parse((await admin.get(`${USERS}/${user.id}`)).json);
    expect(Date.parse(lastLogin!)).toBeGreaterThanOrEqual(Date.parse(user.created_at));
  });

  test('without a password gets one that is shown once', async () => {
    const { password, ...user } = await makeUser({ password: undefined });
    const { client } = await enter(user.email, password);
    expect((await whoIs(client)).status).toBe(200);
    const read = await admin.get(`${USERS}/${user.id}`);
    expectExactly(userSchema, read.json);
    const all = await admin.get(USERS);
    expect(read.text + all.text).not.toContain(password!);
  });

  test('has an e-mail address of their own, in whatever case', async () => {
    const { email } = await makeUser();
    const again = await admin.post(USERS, { email: email.toUpperCase(), role: 'admin', password: NEW_PASSWORD });
    expectConflict(again, 'email_taken');
    expectRefused(await logInWith(email, NEW_PASSWORD));
  });

  test.each<[string, object, string]>([
    ['a short password', { password: '12345678901' }, 'password'],
    ['a role that is not there', { role: 'root' }, 'role'],
    ['no role', { role: undefined }, 'role'],
    ['no e-mail address', { email: 'ada' }, 'email'],
    ['an id', { id: 'usr_mine' }, ''],
    ['a hash', { password_hash: '$argon2id$' }, ''],
    ['permissions', { permissions: ['*'] }, ''],
    ['a time of making', { created_at: '2020-01-01T00:00:00.000Z' }, ''],
  ])('with %s is malformed', async (_, fields, path) => {
    const answer = await admin.post(USERS, { email: newEmail(), role: 'viewer', password: PASSWORD, ...fields });
    expectViolation(answer, path, /./);
  });
});

describe('the list of users', () => {
  test('comes by page, in order, each user once', async () => {
    const emails = await Promise.all(Array.from({ length: 5 }, async () => (await makeUser()).email));
    const seen: string[] = [];
    let cursor: string | null = '';
    let pages = 0;
    do {
      const page: UserList = await list(`limit=2&email=user-${cursor && `&cursor=${cursor}`}`);
      expect(page.users.length).toBeLessThanOrEqual(2);
      seen.push(...page.users.map(({ email }) => email));
      cursor = page.cursor;
      pages++;
    } while (cursor !== null);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(emails));
    expect(pages).toBe(Math.ceil(seen.length / 2));
  });

  test('is narrowed by role, state and a part of the address', async () => {
    const [operator, disabled] = [await makeUser({ role: 'operator' }), await makeUser()];
    await change(disabled.id, { disabled: true });
    const emailsOf = async (search: string) => (await list(search)).users.map(({ email }) => email);
    expect(await emailsOf(`role=operator&email=${operator.email.toUpperCase()}`)).toEqual([operator.email]);
    expect(await emailsOf(`role=admin&email=${operator.email}`)).toEqual([]);
    expect(await emailsOf('disabled=true')).toContain(disabled.email);
    expect(await emailsOf('disabled=true')).not.toContain(operator.email);
    expect(await emailsOf('disabled=false')).not.toContain(disabled.email);
    // No pattern: these are characters like any other.
    expect(await emailsOf('email=%25')).toEqual([]);
    expect(await emailsOf('email=user_1')).toEqual([]);
  });

  test.each([
    'limit=0',
    'limit=1e9',
    'limit=x',
    'role=root',
    'disabled=maybe',
    'order=email',
    `email=${'x'.repeat(300)}`,
  ])('with %s is malformed', async (search) => {
    expectError(await admin.get(`${USERS}?${search}`), 400, 'INVALID_REQUEST');
  });
});

describe('a change of a user', () => {
  test('of the role holds at once for tokens that are out', async () => {
    const user = await makeUser();
    const { client } = await enter(user.email);
    expectForbidden(await client.get(USERS));
    expect((await change(user.id, { role: 'operator' })).json).toMatchObject({ role: 'operator', email: user.email });
    expect((await client.get(USERS)).status).toBe(200);
    await change(user.id, { role: 'viewer' });
    expectForbidden(await client.get(USERS));
  });

  test('that disables them ends all sessions at once, for good', async () => {
    const user = await makeUser();
    const sessions = [await enter(user.email), await enter(user.email)];
    expect((await change(user.id, { disabled: true })).json).toMatchObject({ disabled: true });
    const wrong = await logInWith(user.email, 'not the password');
    const right = await logInWith(user.email, PASSWORD);
    expect(expectRefused(right)).toEqual(expectRefused(wrong));
    await change(user.id, { disabled: false });
    for (const { client, refreshToken } of sessions) {
      expectRefused(await whoIs(client));
      expectRefused(await refresh(refreshToken));
    }
    expect((await logInWith(user.email, PASSWORD)).status).toBe(200);
  });

  test('of the password ends all sessions', async () => {
    const user = await makeUser();
    const { client, refreshToken } = await enter(user.email);
    const answer = expectExactly(userWithPasswordSchema, (await change(user.id, { password: NEW_PASSWORD })).json);
    expect(answer.password).toBeUndefined();
    expectRefused(await whoIs(client));
    expectRefused(await refresh(refreshToken));
    expectRefused(await logInWith(user.email, PASSWORD));
    await enter(user.email, NEW_PASSWORD);
  });

  test('can have a password made', async () => {
    const user = await makeUser();
    const { password } = expectExactly(userWithPasswordSchema, (await change(user.id, { password: null })).json);
    await enter(user.email, password);
  });

  test.each<[string, unknown]>([
    ['nothing', {}],
    ['a short password', { password: 'short' }],
    ['an e-mail address', { email: 'other@example.com' }],
    ['a text for a truth', { disabled: 'false' }],
    ['a time of disabling', { disabled_at: null }],
    ['its prototype', '{"__proto__":{"role":"admin"}}'],
    ['a list', []],
  ])('to %s is malformed', async (_, body) => {
    const { id } = await makeUser();
    expectError(await admin.patch(`${USERS}/${id}`, body), 400, 'INVALID_REQUEST');
    expect((await admin.get(`${USERS}/${id}`)).json).toMatchObject({ role: 'viewer', disabled: false });
  });

  test('that changes nothing is none: it ends nothing, and the audit log has no entry of it', async () => {
    const user = await makeUser();
    const { client } = await enter(user.email);
    expect((await change(user.id, { role: 'viewer', disabled: false })).json).toMatchObject({ role: 'viewer' });
    expect((await whoIs(client)).status).toBe(200);
    expect((await readAudit(admin, { target: user.id, action: 'user.update' })).entries).toEqual([]);
  });

  test('of who is not there finds nobody', async () => {
    expectError(await change('usr_not_there', { disabled: true }), 404, 'RESOURCE_NOT_FOUND');
    expectError(await admin.get(`${USERS}/usr_not_there`), 404, 'RESOURCE_NOT_FOUND');
  });

  test('is none of their own role or password', async () => {
    const user = await makeUser({ role: 'admin' });
    const { client } = await enter(user.email);
    expectForbidden(await change(user.id, { role: 'admin' }, client));
    expectForbidden(await change(user.id, { role: 'viewer', disabled: false }, client));
    expectForbidden(await change(user.id, { password: NEW_PASSWORD }, client));
    expect((await change(user.id, { disabled: true }, client)).status).toBe(200);
    expectRefused(await whoIs(client));
  });

  test('and none at all is made or seen by an API key, which has one namespace while users have all', async () => {
    const user = await makeUser();
    const { api_key: key } = await mintKey(admin, { permissions: ['*'], tier: 'enterprise' });
    for (const client of [service.client, service.client.with({ 'x-api-key': key })]) {
      expectForbidden(await client.post(USERS, { email: newEmail(), role: 'viewer' }));
      expectForbidden(await client.get(USERS));
      expectForbidden(await client.get(`${USERS}/${user.id}`));
      for (const fields of [{ role: 'admin' }, { disabled: true }, { password: null }]) {
        expectForbidden(await change(user.id, fields, client));
      }
    }
    expect((await admin.get(`${USERS}/${user.id}`)).json).toMatchObject({ role: 'viewer', disabled: false });
  });
});

describe('the last administrator', () => {
  let alone: Service;
  let first: Client;
  let firstId: string;
  beforeAll(async () => {
    alone = await startService({ JWT_SECRET });
    first = await adminClient(alone);
    firstId = (await idOf(first))!;
  });
  afterAll(() => alone.stop());

  const idOf = async (client: Client) => ((await whoIs(client)).json as { id?: string }).id;
  const enterAlone = async (email: string, password: string) => {
    const { json } = await alone.client.with({}).post('/v1/auth/login', { email, password });
    return alone.client.with({ authorization: `Bearer ${(json as { access_token: string }).access_token}` });
  };

  test('cannot be disabled', async () => {
    expectConflict(await change(firstId, { disabled: true }, first), 'last_admin');
    expect((await whoIs(first)).status).toBe(200);
  });

  test('is left when two disable or demote each other at once', async () => {
    const { email, id } = await makeUser({ role: 'admin' }, first);
    for (const fields of [{ disabled: true }, { role: 'viewer' }, { disabled: true }, { role: 'operator' }]) {
      const clients = [await adminClient(alone), await enterAlone(email, PASSWORD)];
      const answers = await Promise.all([change(id, fields, clients[0]), change(firstId, fields, clients[1])]);
      const statuses = answers.map(({ status }) => status);
      expect(statuses.filter((status) => status === 200)).toHaveLength(1);
      // Whoever comes second is nobody any more, or meets the last one.
      expect([401, 403, 409]).toContain(statuses.find((status) => status !== 200));
      const winner = clients[statuses.indexOf(200)]!;
      const loserId = statuses[0] === 200 ? id : firstId;
      const healed = 'role' in fields ? { role: 'admin' } : { disabled: false };
      expect((await change(loserId, healed, winner)).status).toBe(200);
    }
  });
});

describe('a change of the own password', () => {
  const changePassword = (client: Client, current: string, next: string) =>
    client.post('/v1/auth/change-password', { current_password: current, new_password: next });

  test('ends the other sessions and no more', async () => {
    const { email } = await makeUser();
    const [mine, other] = [await enter(email), await enter(email)];
    expect((await changePassword(mine.client, PASSWORD, NEW_PASSWORD)).status).toBe(204);
    expect((await whoIs(mine.client)).status).toBe(200);
    expect((await refresh(mine.refreshToken)).status).toBe(200);
    expectRefused(await whoIs(other.client));
    expectRefused(await refresh(other.refreshToken));
    expectRefused(await logInWith(email, PASSWORD));
    await enter(email, NEW_PASSWORD);
  });

  test.each<[string, object, string, RegExp]>([
    ['the wrong current one', { current_password: 'the wrong password' }, 'current_password', /wrong/],
    ['one that is short', { new_password: '12345678901' }, 'new_password', /12/],
    ['the same one', { new_password: PASSWORD }, 'new_password', /must not be the current/],
    ['none', { new_password: undefined }, 'new_password', /./],
  ])('to %s is refused', async (_, fields, path, reason) => {
    const { email } = await makeUser();
    const { client } = await enter(email);
    const body = { current_password: PASSWORD, new_password: NEW_PASSWORD, ...fields };
    expectViolation(await client.post('/v1/auth/change-password', body), path, reason);
    await enter(email);
  });

  test('is no way to guess it', async () => {
    const { email } = await makeUser();
    const { client } = await enter(email);
    const guesses = Array.from({ length: 12 }, () => changePassword(client, 'the wrong password', NEW_PASSWORD));
    const answers = await Promise.all(guesses);
    const slowed = answers.filter(({ status }) => status !== 400);
    expect(slowed.length).toBeGreaterThan(0);
    for (const answer of slowed) expectError(answer, 429, 'RATE_LIMIT_EXCEEDED');
  });

  test('of which several come at once is one', async () => {
    const { email } = await makeUser();
    const { client } = await enter(email);
    const passwords = ['the first of new passwords', 'the second of new passwords', 'the third of new passwords'];
    const answers = await Promise.all(passwords.map((each) => changePassword(client, PASSWORD, each)));
    const won = answers.findIndex(({ status }) => status === 204);
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    for (const { status } of answers.filter((_, index) => index !== won)) expect([400, 409]).toContain(status);
    await enter(email, passwords[won]);
  });

  test('is nothing for an API key', async () => {
    expectForbidden(await changePassword(service.client, PASSWORD, NEW_PASSWORD));
  });
});

/** What only the database tells, or nodes that share one. */
onRealStores('on real stores', () => {
  test('a password is hashed anew at a login when the parameters have changed, also at several at once', async () => {
    const { id, email } = await makeUser();
    const outdated = await hash(PASSWORD, { memoryCost: 8192, timeCost: 2, parallelism: 1 });
    await query(service, 'UPDATE users SET password_hash = $2 WHERE id = $1', [id, outdated]);
    await Promise.all([enter(email), enter(email), enter(email)]);
    const [row] = await query(service, 'SELECT password_hash FROM users WHERE id = $1', [id]);
    expect(row).toEqual({ password_hash: expect.stringMatching(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/) as string });
    await enter(email);
  });

  test('everything is in the audit log, without a password', async () => {
    const { id, email } = await makeUser();
    await logInWith(email, 'a wrong password of this test');
    const { client } = await enter(email);
    await client.post('/v1/auth/change-password', { current_password: PASSWORD, new_password: NEW_PASSWORD });
    await change(id, { role: 'operator' });
    const { password } = userWithPasswordSchema.parse((await change(id, { password: null })).json);
    const leaving = await enter(email, password);
    await leaving.client.post('/v1/auth/logout');
    const rows = await query(
      service,
      `SELECT action, outcome, actor->>'name' AS actor, before->>'role' AS was, after->>'role' AS role,
         actor::text || target::text || coalesce(before::text, '') || coalesce(after::text, '') AS text
       FROM audit_log WHERE target->>'id' IN ($1, $2) OR actor->>'id' = $1 ORDER BY seq`,
      [id, email],
    );
    const { adminEmail } = service.api;
    expect(rows.map(({ action, outcome, actor, was, role }) => [action, outcome, actor, was, role])).toEqual([
      ['user.create', 'done', adminEmail, null, 'viewer'],
      ['user.login', 'refused', null, null, null],
      ['user.login', 'done', email, null, null],
      ['user.change_password', 'done', email, null, null],
      ['user.update', 'done', adminEmail, 'viewer', 'operator'],
      ['user.update', 'done', adminEmail, 'operator', 'operator'],
      ['user.login', 'done', email, null, null],
      ['user.logout', 'done', email, null, null],
    ]);
    const text = rows.map((row) => String(row['text'])).join('\n');
    for (const secret of [PASSWORD, NEW_PASSWORD, password!, 'a wrong password', '$argon2']) {
      expect(text).not.toContain(secret);
    }
  });

  describe('of two nodes', () => {
    let second: Awaited<ReturnType<typeof startApi>>;
    let there: Client;
    beforeAll(async () => {
      second = await startApi({ env: { LOG_LEVEL: 'warn', ...service.stores, JWT_SECRET } });
      there = new Client(second.url);
    });
    afterAll(() => second.stop());

    test('a user whom one has disabled is out at the other within a second', async () => {
      const user = await makeUser();
      const { client } = await enter(user.email);
      const ask = () => there.get('/v1/auth/me', { headers: client.headers });
      expect((await ask()).status).toBe(200);
      await change(user.id, { disabled: true });
      const disabledAt = performance.now();
      let lastGrantAt = disabledAt;
      await eventually('refused', async () => {
        const sentAt = performance.now();
        const { status } = await ask();
        if (status === 200) lastGrantAt = sentAt;
        return status === 401;
      });
      expect(lastGrantAt - disabledAt).toBeLessThan(1000);
      expectRefused(await there.post('/v1/auth/login', { email: user.email, password: PASSWORD }));
    });

    test('administrators who disable each other at once leave one, also where a third could do without both', async () => {
      await makeUser({ role: 'admin' });
      const [a, b] = [await makeUser({ role: 'admin' }), await makeUser({ role: 'admin' })];
      const [clientA, clientB] = [(await enter(a.email)).client, (await enter(b.email)).client];
      const statuses = (
        await Promise.all([
          change(b.id, { disabled: true }, clientA),
          there.patch(`${USERS}/${a.id}`, { disabled: true }, { headers: clientB.headers }),
        ])
      ).map(({ status }) => status);
      expect(statuses.filter((status) => status === 200)).toHaveLength(1);
      expect([401, 403]).toContain(statuses.find((status) => status !== 200));
    });

    test('an administrator whom one has demoted changes nothing at the other from that moment on', async () => {
      const former = await makeUser({ role: 'admin' });
      const { client } = await enter(former.email);
      const wish = () => there.post(USERS, { email: newEmail(), role: 'viewer' }, { headers: client.headers });
      expect((await wish()).status).toBe(201);
      await change(former.id, { role: 'viewer' });
      expectForbidden(await wish());
    });

    test('administrators who disable each other at once leave one', async () => {
      const others = await list('role=admin&disabled=false');
      const [a, b] = [await makeUser({ role: 'admin' }), await makeUser({ role: 'admin' })];
      const [clientA, clientB] = [(await enter(a.email)).client, (await enter(b.email)).client];
      for (const { id } of others.users) await change(id, { disabled: true }, clientA);
      const answers = await Promise.all([
        change(b.id, { disabled: true }, clientA),
        there.patch(`${USERS}/${a.id}`, { disabled: true }, { headers: clientB.headers }),
      ]);
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
      const winner = answers[0].status === 200 ? clientA : clientB;
      expect((await whoIs(winner)).json).toMatchObject({ role: 'admin' });
    });
  });
});
