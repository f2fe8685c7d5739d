import { createHmac, randomBytes } from 'node:crypto';
import { type Answer, type Client, entryPath } from './support/client.js';
import { createApiKey, logIn } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { type Service, startService } from './support/service.js';
import { remember } from './support/unharmed.js';

const JWT_SECRET = randomBytes(32).toString('base64url');

type Claims = Record<string, unknown>;

let service: Service;
let client: Client;
let note: Awaited<ReturnType<typeof remember>>;
let token: string;
let apiKey: string;

beforeAll(async () => {
  service = await startService({ JWT_SECRET });
  client = service.client.with({});
  note = await remember(service);
  token = (await logIn(service)).access_token;
  apiKey = await createApiKey(service.client, {});
});
afterAll(async () => {
  try {
    await note.expectUnharmed();
  } finally {
    client.close();
    await service.stop();
  }
});

const read = (headers: Record<string, string>, path = entryPath('witness')) => client.get(path, { headers });
const withToken = (text: string) => read({ authorization: `Bearer ${text}` });

function expectUnauthenticated(answer: Answer, reason: RegExp): void {
  const details = expectError(answer, 401, 'AUTHENTICATION_FAILED');
  expect(details).toEqual({ reason: expect.stringMatching(reason) as string });
  expect(answer.headers['www-authenticate']).toBe('Bearer');
}

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const claims = (): Claims => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Claims;

function sign(payload: Claims, { alg = 'HS256', hash = 'sha256', secret = JWT_SECRET } = {}): string {
  const signed = `${base64url({ alg, typ: 'JWT' })}.${base64url(payload)}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest('base64url')}`;
}

/** The text with the character at `index` replaced by another of the same kind. */
const changedAt = (text: string, index: number) =>
  text.slice(0, index) + (text[index] === 'A' ? 'B' : 'A') + text.slice(index + 1);

describe('an access token', () => {
  test('of_the_same_claims_and_secret_is_good_so_that_the_rest_here_means_something', async () => {
    expect((await withToken(token)).status).toBe(200);
    expect((await withToken(sign(claims()))).status).toBe(200);
  });

  const nowSeconds = Math.floor(Date.now() / 1000);
  test.each<[name: string, made: () => string, reason: RegExp]>([
    ['that has expired', () => sign({ ...claims(), exp: nowSeconds - 1 }), /has expired/],
    ['that does not say when it expires', () => sign({ ...claims(), exp: undefined }), /not valid/],
    ['that is not valid yet', () => sign({ ...claims(), nbf: nowSeconds + 3600 }), /not valid/],
    ['signed with another secret', () => sign(claims(), { secret: 'x'.repeat(43) }), /not valid/],
    ['signed with an empty secret', () => sign(claims(), { secret: '' }), /not valid/],
    ['of another algorithm', () => sign(claims(), { alg: 'HS512', hash: 'sha512' }), /not valid/],
    ['that names RS256', () => sign(claims(), { alg: 'RS256' }), /not valid/],
    ['of alg none', () => `${base64url({ alg: 'none', typ: 'JWT' })}.${base64url(claims())}.`, /not valid/],
    ['of alg none with a signature', () => sign(claims(), { alg: 'none' }), /not valid/],
    ['of alg NONE', () => `${base64url({ alg: 'NONE' })}.${base64url(claims())}.`, /not valid/],
    ['without its signature', () => `${token.split('.').slice(0, 2).join('.')}.`, /not valid/],
    ['with other claims under its signature', () => withPayload({ ...claims(), sub: 'somebody' }), /not valid/],
    ['with its signature changed', () => changedAt(token, token.lastIndexOf('.') + 5), /not valid/],
    ['with its header changed', () => changedAt(token, 5), /not valid/],
    ['of another issuer', () => sign({ ...claims(), iss: 'somebody' }), /not valid/],
    ['for another audience', () => sign({ ...claims(), aud: 'something' }), /not valid/],
    ['of another type', () => sign({ ...claims(), typ: 'refresh' }), /not valid/],
    ['of a session that never was', () => sign({ ...claims(), sid: 'ses_x' }), /session has ended/],
    ['of a user that never was', () => sign({ ...claims(), sub: 'usr_x' }), /not valid/],
    ['of claims that are no object', () => sign([] as unknown as Claims), /not valid/],
    ['that is three dots', () => '...', /not valid/],
    ['of 10 KB', () => `a.${'b'.repeat(10_000)}.c`, /not valid/],
  ])('%s', async (_name, made, reason) => {
    expectUnauthenticated(await withToken(made()), reason);
  });

  function withPayload(payload: Claims): string {
    const [header, , signature] = token.split('.');
    return `${header!}.${base64url(payload)}.${signature!}`;
  }
});

describe('an API key', () => {
  test('is_good_as_it_is_in_all_three_places', async () => {
    expect((await read({ 'x-api-key': apiKey })).status).toBe(200);
    expect((await withToken(apiKey)).status).toBe(200);
    expect((await read({}, `${entryPath('witness')}?api_key=${apiKey}`)).status).toBe(200);
  });

  test('with_any_one_character_changed_is_refused', async () => {
    for (let index = 0; index < apiKey.length; index++) {
      expectUnauthenticated(await read({ 'x-api-key': changedAt(apiKey, index) }), /unknown, expired or revoked/);
    }
  });

  test.each<[name: string, made: () => string]>([
    ['that is empty', () => ''],
    ['cut short', () => apiKey.slice(0, -1)],
    ['with one character more', () => `${apiKey}A`],
    ['in other letters', () => apiKey.toUpperCase()],
    ['that is a prefix', () => 'ck_live_'],
    ['twice', () => `${apiKey}, ${apiKey}`],
    ['that is SQL', () => `' OR '1'='1`],
    ['of 10 KB', () => 'k'.repeat(10_000)],
    ['beyond ASCII', () => '\u00e9'.repeat(46)],
  ])('%s_is_refused', async (_name, made) => {
    expectUnauthenticated(await read({ 'x-api-key': made() }), /unknown, expired or revoked/);
  });
});

test.each<Record<string, string>>([
  {},
  { authorization: '' },
  { authorization: 'Bearer' },
  { authorization: 'Basic YWRtaW46YWRtaW4=' },
  { authorization: 'Digest username="admin"' },
  { cookie: 'session=1' },
])('no_credential_in_%j_is_401_and_says_what_to_send', async (headers) => {
  expectUnauthenticated(await read(headers), /send X-API-Key or Authorization: Bearer/);
});

test('whether_an_entry_is_there_is_not_told_to_strangers', async () => {
  for (const method of ['GET', 'HEAD', 'DELETE', 'PUT']) {
    const body = method === 'PUT' ? { value: 1 } : undefined;
    for (const key of ['witness', 'not-there']) {
      expect((await client.send(method, entryPath(key), { body })).status).toBe(401);
    }
  }
});
