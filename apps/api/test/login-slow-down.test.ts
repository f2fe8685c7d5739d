import { setTimeout as sleep } from 'node:timers/promises';
import { Client as Postgres } from 'pg';
import { startApi } from '../../../tools/harness/api-process.mjs';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { readAudit } from './support/audit.js';
import { type Answer, Client } from './support/client.js';
import { adminClient } from './support/credentials.js';
import { query } from './support/database.js';
import { expectError } from './support/expectations.js';
import { onRealStores, type Service, startService, testOnRealStores } from './support/service.js';

const PASSWORD = 'the password of this test';
/** Failures after which it gets slower: of an account from one address, from everywhere, of an address for all accounts. */
const [FREE, FREE_OF_ACCOUNT, FREE_OF_ADDRESS] = [5, 10, 20];
const LONG_SECONDS = 3;

let service: Service;
let admin: Client;
beforeAll(async () => {
  service = await startService();
  admin = await adminClient(service);
});
afterAll(() => service.stop());

let addresses = 1;
/** Somebody at an address of their own: any of 127.0.0.0/8 is one of this machine. */
const stranger = (url = service.api.url) => new Client(url, {}, `127.0.1.${++addresses}`);
let accounts = 0;
const nobody = () => `nobody-${++accounts}@example.com`;
async function somebody(): Promise<string> {
  const email = `somebody-${++accounts}@example.com`;
  const { status } = await admin.post('/v1/admin/users', { email, role: 'viewer', password: PASSWORD });
  expect(status).toBe(201);
  return email;
}

const logIn = (client: Client, email: string, password = PASSWORD) =>
  client.post('/v1/auth/login', { email, password });
const guess = (client: Client, email: string) => logIn(client, email, 'a wrong password');

/** Guesses, and waits as it is told to, until the wait is long enough to show something while it lasts. */
async function guessUntilSlow(next: () => Promise<Answer>): Promise<number> {
  for (let guesses = 0; ; guesses++) {
    const answer = await next();
    if (answer.status !== 429) {
      expectError(answer, 401, 'AUTHENTICATION_FAILED');
      continue;
    }
    const seconds = waitOf(answer);
    if (seconds >= LONG_SECONDS) return guesses;
    await sleep(seconds * 1000);
  }
}

function waitOf(answer: Answer): number {
  const details = expectError(answer, 429, 'RATE_LIMIT_EXCEEDED');
  const { reason, limit, window, reset_at: resetAt, retry_after: seconds } = details;
  expect(reason).toBe('too many failed logins, or too many at once');
  expect([FREE, FREE_OF_ACCOUNT, FREE_OF_ADDRESS]).toContain(limit);
  expect(window).toBe(3600);
  expect(answer.headers['retry-after']).toBe(String(seconds));
  expect(Date.parse(String(resetAt))).toBeGreaterThan(0);
  return Number(seconds);
}

/** The most guesses that waits of 1, 2, 4 … seconds let through in a time that they took. */
const allowedIn = (seconds: number) => FREE + 1 + Math.floor(Math.log2(1 + seconds));

async function guessAtOnce(clients: readonly Client[], email: string): Promise<{ through: number; allowed: number }> {
  const startedAt = performance.now();
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, index) => guess(clients[index % clients.length]!, email)),
  );
  const through = answers.filter(({ status }) => status === 401);
  for (const answer of answers.filter((each) => !through.includes(each))) expect(waitOf(answer)).toBeGreaterThan(0);
  return { through: through.length, allowed: allowedIn((performance.now() - startedAt) / 1000) };
}

describe('failed logins', () => {
  test('make the next ones wait, the right password as well, for as long as is said', async () => {
    const [client, email] = [stranger(), await somebody()];
    expect(await guessUntilSlow(() => guess(client, email))).toBeGreaterThan(FREE);
    const seconds = waitOf(await logIn(client, email));
    await sleep(seconds * 1000);
    expect((await logIn(client, email)).status).toBe(200);
  });

  test('of which many come at once are no more than of many in a row', async () => {
    for (const email of [await somebody(), nobody()]) {
      const { through, allowed } = await guessAtOnce([stranger()], email);
      expect(through).toBeGreaterThanOrEqual(FREE);
      expect(through).toBeLessThanOrEqual(allowed);
    }
  });

  test('that have to wait make nobody wait longer', async () => {
    const [client, email] = [stranger(), nobody()];
    await guessUntilSlow(() => guess(client, email));
    const waits: number[] = [];
    for (let each = 0; each < 30; each++) {
      const answer = await guess(client, email);
      if (answer.status === 401) break;
      waits.push(waitOf(answer));
    }
    expect([...waits].sort((a, b) => b - a)).toEqual(waits);
  });

  test('at an account from one address do not keep its owner out at another', async () => {
    const [client, email] = [stranger(), await somebody()];
    await guessUntilSlow(() => guess(client, email));
    expect((await logIn(stranger(), email)).status).toBe(200);
  });

  test('at an account from many addresses keep its owner out for half a minute at most', async () => {
    const email = await somebody();
    expect(await guessUntilSlow(() => guess(stranger(), email))).toBeGreaterThan(FREE_OF_ACCOUNT);
    const seconds = waitOf(await logIn(stranger(), email));
    expect(seconds).toBeLessThanOrEqual(30);
    await sleep(seconds * 1000);
    expect((await logIn(stranger(), email)).status).toBe(200);
  });

  test('from an address make it wait at every account, and nobody elsewhere', async () => {
    const [client, email] = [stranger(), await somebody()];
    expect(await guessUntilSlow(() => guess(client, nobody()))).toBeGreaterThan(FREE_OF_ADDRESS);
    expect(waitOf(await logIn(client, email))).toBeGreaterThan(0);
    expect((await logIn(stranger(), email)).status).toBe(200);
  });

  test('are in the audit log once they are slowed down, by their address', async () => {
    const client = stranger();
    const email = nobody();
    await guessUntilSlow(() => guess(client, email));
    const from = `127.0.1.${addresses}`;
    await eventually('they are written', async () => {
      const { entries } = await readAudit(admin, { action: 'rate_limit.reject' });
      const told = entries.map(({ after }) => JSON.stringify(after));
      return told.some((text) => text.includes(`"dimension":"login","subject":"${from}"`));
    });
  });

  test('are forgotten when the right password comes, of that account', async () => {
    const [client, email] = [stranger(), await somebody()];
    for (let round = 0; round < 2; round++) {
      for (let each = 0; each < FREE; each++) expect((await guess(client, email)).status).toBe(401);
      expect((await logIn(client, email)).status).toBe(200);
    }
  });

  test('do not tell an account that is there from one that is not, by status, headers or body', async () => {
    const [there, missing] = [await somebody(), nobody()];
    const [atThere, atMissing] = [stranger(), stranger()];
    for (let each = 0; each <= FREE; each++) {
      const [one, other] = [await guess(atThere, there), await guess(atMissing, missing)];
      expect(one.status).toBe(401);
      expect(told(one)).toEqual(told(other));
    }
    // Several at once: whatever the machine takes, some have to wait.
    const both = [guess.bind(null, atThere, there), guess.bind(null, atMissing, missing)];
    const bursts = await Promise.all(both.map((each) => Promise.all(Array.from({ length: 8 }, () => each()))));
    const [one, other] = bursts.map((answers) => answers.find(({ status }) => status === 429)!);
    expect(told(one!)).toEqual(told(other!));
  });
});

onRealStores('on two nodes', () => {
  let second: Awaited<ReturnType<typeof startApi>>;
  beforeAll(async () => {
    second = await startApi({ env: { LOG_LEVEL: 'warn', ...service.stores } });
  });
  afterAll(() => second.stop());

  test('failed logins are counted together', async () => {
    const from = `127.0.2.1`;
    const clients = [new Client(service.api.url, {}, from), new Client(second.url, {}, from)];
    const { through, allowed } = await guessAtOnce(clients, nobody());
    expect(through).toBeLessThanOrEqual(allowed);
  });
});

testOnRealStores('failures are forgotten after an hour, also where people log in meanwhile', async () => {
  const [client, email] = [stranger(), await somebody()];
  for (let each = 0; each < FREE_OF_ACCOUNT; each++) expect((await guess(stranger(), email)).status).toBe(401);
  for (let half = 0; half < 2; half++) {
    await query(service, `UPDATE login_failures SET attempted_at = attempted_at - interval '35 minutes'`);
    expect((await logIn(client, email)).status).toBe(200);
  }
  for (let each = 0; each < FREE_OF_ACCOUNT; each++) expect((await guess(stranger(), email)).status).toBe(401);
});

testOnRealStores('a login that succeeds does not end the wait that another has brought about meanwhile', async () => {
  const email = await somebody();
  const postgres = new Postgres({ connectionString: service.stores['DATABASE_URL'] });
  await postgres.connect();
  const counted = (subjects: number, since: string) =>
    eventually('the attempt is counted', async () => {
      const rows = await query(service, 'SELECT 1 FROM login_failures WHERE attempted_at > $1', [since]);
      return rows.length === subjects;
    });
  try {
    await postgres.query('BEGIN');
    await postgres.query('LOCK TABLE users IN ACCESS EXCLUSIVE MODE');
    const since = (await postgres.query<{ now: string }>('SELECT clock_timestamp()::text AS now')).rows[0]!.now;
    const right = logIn(stranger(), email);
    await counted(3, since);
    await query(service, 'UPDATE login_failures SET failures = 100 WHERE attempted_at > $1', [since]);
    const wrong = guess(stranger(), email);
    await counted(5, since);
    await postgres.query('ROLLBACK');
    expect((await right).status).toBe(200);
    expect((await wrong).status).toBe(401);
    waitOf(await logIn(stranger(), email));
  } finally {
    await postgres.end();
  }
});

/** Everything of an answer but what differs between any two: ids and times. */
function told({ status, headers, json }: Answer) {
  const { error } = json as { error: { details: Record<string, unknown>; metadata: Record<string, unknown> } };
  const { reset_at: _at, retry_after: _after, ...details } = error.details;
  const { request_id: _id, timestamp: _time, response_time_ms: _ms, ...metadata } = error.metadata;
  const names = Object.keys(headers).filter((name) => !['date', 'x-request-id', 'x-response-time'].includes(name));
  const fixed = names.filter((name) => !['content-length', 'retry-after'].includes(name));
  const values = fixed.map((name) => headers[name]);
  return { status, names, values, error: { ...error, details, metadata } };
}
