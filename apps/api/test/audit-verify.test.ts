import path from 'node:path';
import { Client as Postgres } from 'pg';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { createTemporaryFolder } from '../../../tools/harness/tied-process.mjs';
import { hashLink } from '../src/platform/audit/audit-chain.js';
import { auditedChange, keyOf, readAudit } from './support/audit.js';
import { logIn } from './support/credentials.js';
import { expectError } from './support/expectations.js';
import { runCommand } from './support/process.js';
import { onRealStores, type Service, startService } from './support/service.js';

const verify = runCommand.bind(null, 'audit-verify');

const INTACT = /^the audit log is what was written: entries 1 to (\d+)\nhead (\1:[0-9a-f]{64})\n$/;

describe('on the embedded database the command', () => {
  test('verifies the log of a service that is stopped, and disturbs none that runs', async () => {
    const folder = createTemporaryFolder('audit');
    const env = { DATA_DIR: path.join(folder.path, 'data') };
    const service = await startService({ ...env, DATABASE_URL: '', REDIS_URL: '', REDIS_CLUSTER_NODES: '' });
    for (const key of ['a', 'b', 'c']) await auditedChange(service.client, key);
    const { head } = await readAudit(service.client);
    const refused = await verify(env);
    expect(refused.output).toMatch(/in use by another process/);
    expect(refused.exitCode).toBe(2);
    await auditedChange(service.client, 'd');
    await service.stop();
    const { exitCode, output } = await verify(env, '--head', `${head.seq}:${head.hash}`);
    expect(output).toMatch(INTACT);
    expect(exitCode).toBe(0);
    folder.remove();
  });

  test('makes no database where there is none', async () => {
    const folder = createTemporaryFolder('audit');
    const { exitCode, output } = await verify({ DATA_DIR: path.join(folder.path, 'data') });
    expect(output).toMatch(/no database is in/);
    expect(exitCode).toBe(2);
    folder.remove();
  });

  test.each([
    ['--from', '0'],
    ['--from', 'x'],
    ['--head', '12'],
    ['--head', 'x:y'],
    ['--from', '9', '--head', `7:${'0'.repeat(64)}`],
    ['--fix'],
  ])('takes no %s %s', async (...args) => {
    const { exitCode, output } = await verify({}, ...args);
    expect(output).toMatch(/^npm run audit:verify/);
    expect(exitCode).toBe(2);
  });
});

onRealStores('on Postgres', () => {
  let service: Service;
  let database: Postgres;
  let env: Record<string, string>;
  beforeAll(async () => {
    service = await startService();
    env = { DATABASE_URL: service.stores['DATABASE_URL']! };
    database = new Postgres({ connectionString: env['DATABASE_URL'] });
    await database.connect();
    for (let i = 1; i <= 9; i++) await auditedChange(service.client, `change ${i}`);
    await database.query('CREATE TABLE kept AS TABLE audit_log; CREATE TABLE kept_head AS TABLE audit_head');
  });
  afterEach(() =>
    database.query(`
      TRUNCATE audit_log, audit_head;
      ALTER TABLE audit_log DROP CONSTRAINT IF EXISTS audit_log_pkey, ADD PRIMARY KEY (seq);
      INSERT INTO audit_log TABLE kept;
      INSERT INTO audit_head TABLE kept_head`),
  );
  afterAll(async () => {
    await database.end();
    await service.stop();
  });

  const seqOf = async (key: string) =>
    (await readAudit(service.client)).entries.find((entry) => keyOf(entry) === key)!.seq;

  async function expectBroken(seq: number, reason: RegExp, ...args: string[]): Promise<void> {
    const { exitCode, output } = await verify(env, ...args);
    expect(output).toMatch(new RegExp(`^the audit log is broken at entry ${seq}: `));
    expect(output).toMatch(reason);
    expect(exitCode).toBe(1);
  }

  /** What somebody does who owns the database and knows how the log is made: writes everything from there on anew. */
  async function sealAnew(from: number): Promise<void> {
    const { rows } = await database.query<Record<string, string | null> & { at: Date; hash: Buffer }>(
      'SELECT seq, at, action, outcome, actor::text, target::text, before::text, after::text, hash FROM audit_log ORDER BY seq',
    );
    let previous = rows.find(({ seq }) => Number(seq) === from - 1)?.hash ?? Buffer.alloc(0);
    for (const row of rows.filter(({ seq }) => Number(seq) >= from)) {
      previous = hashLink(previous, { ...row, seq: Number(row['seq']) } as never);
      await database.query('UPDATE audit_log SET hash = $2 WHERE seq = $1', [row['seq'], previous]);
    }
    await database.query('UPDATE audit_head SET hash = $1', [previous]);
  }

  test('an untouched log is what was written, from any entry on, also while it grows', async () => {
    const growing = (async () => {
      for (let i = 0; i < 40; i++) await auditedChange(service.client, `beside ${i}`);
    })();
    for (const args of [[], ['--from', '5']]) {
      const { exitCode, output } = await verify(env, ...args);
      expect(output).toMatch(/^the audit log is what was written: entries [15] to \d+\n/);
      expect(exitCode).toBe(0);
    }
    await growing;
    const { output } = await verify(env);
    const { head } = await readAudit(service.client);
    expect(output).toContain(`head ${head.seq}:${head.hash}\n`);
  });

  test.each([
    [`after = '{"records":[]}'`],
    [`at = at + interval '1 millisecond'`],
    [`at = 'infinity'`],
    [`actor = json_build_object('type', 'system')`],
    [`outcome = 'refused'`],
    [`action = 'write_behind.replay'`],
    [`target = '{"type":"user","id":"usr_1"}'`],
    [`before = '{}'`],
    [`hash = sha256('other')`],
  ])('an entry that was changed is found: %s', async (change) => {
    const seq = await seqOf('change 5');
    await database.query(`UPDATE audit_log SET ${change} WHERE seq = $1`, [seq]);
    await expectBroken(seq, /not what was written/, '--from', String(seq - 2));
  });

  test('an entry that was removed is found, the last as well', async () => {
    const [middle, last] = [await seqOf('change 5'), await seqOf('change 9')];
    await database.query('DELETE FROM audit_log WHERE seq = $1', [last]);
    await expectBroken(last, /is missing/);
    await database.query('DELETE FROM audit_log WHERE seq BETWEEN $1 AND $1 + 1', [middle]);
    await expectBroken(middle, new RegExp(`is missing, and so is all up to ${middle + 1}`));
  });

  test('an entry that was removed is found although the others were numbered anew', async () => {
    const seq = await seqOf('change 5');
    await database.query('DELETE FROM audit_log WHERE seq = $1', [seq]);
    await database.query('UPDATE audit_log SET seq = -seq WHERE seq > $1', [seq]);
    await database.query('UPDATE audit_log SET seq = -seq - 1 WHERE seq < 0');
    await database.query('UPDATE audit_head SET seq = seq - 1');
    await expectBroken(seq, /not what was written/);
  });

  test('an entry that was put in is found: at the end, at the start, twice', async () => {
    const { head } = await readAudit(service.client);
    const copy = (seq: number) =>
      database.query(
        `INSERT INTO audit_log SELECT $1, at, action, outcome, actor, target, before, after, hash FROM audit_log WHERE seq = $2`,
        [seq, head.seq],
      );
    await copy(head.seq + 1);
    await expectBroken(head.seq + 1, /the log ends with entry/);
    await database.query('DELETE FROM audit_log WHERE seq > $1', [head.seq]);
    await copy(0);
    await expectBroken(0, /the log begins with entry 1/);
    await database.query('DELETE FROM audit_log WHERE seq < 1');
    await database.query('ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey');
    await copy(head.seq);
    await expectBroken(head.seq, /one too many/);
  });

  test('a head that is not the end of the log is found', async () => {
    const { head } = await readAudit(service.client);
    await database.query(`UPDATE audit_head SET hash = sha256('other')`);
    await expectBroken(head.seq, /not the end that audit_head tells of/);
    await database.query('DELETE FROM audit_head');
    await expectBroken(0, /audit_head has to have one row/);
  });

  test('a log that was written anew is found with a head that was written down', async () => {
    const { head } = await readAudit(service.client);
    const seq = await seqOf('change 5');
    await database.query(`UPDATE audit_log SET actor = json_build_object('type', 'system') WHERE seq = $1`, [seq]);
    await sealAnew(seq);
    expect((await verify(env)).output).toMatch(INTACT);
    const anchor = `${head.seq}:${head.hash}`;
    await expectBroken(head.seq, /the log was written anew/, '--head', anchor);
    await auditedChange(service.client, 'later');
    await expectBroken(head.seq, /the log was written anew/, '--head', anchor, '--from', String(head.seq + 1));
  });

  test('a log that was cut at its end is found with a head that was written down', async () => {
    const { head } = await readAudit(service.client);
    await database.query('DELETE FROM audit_log WHERE seq = $1', [head.seq]);
    await database.query(
      'UPDATE audit_head SET seq = seq - 1, hash = (SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1)',
    );
    expect((await verify(env)).output).toMatch(INTACT);
    await expectBroken(head.seq, /is missing/, '--head', `${head.seq}:${head.hash}`);
  });

  test('a change whose transaction fails leaves no entry and no gap', async () => {
    const { head: before } = await readAudit(service.client);
    await database.query(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
      CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON audit_log DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION refuse()`);
    const discard = { records: [{ namespace: 'default', key: 'refused' }] };
    const answer = await service.client.post('/v1/admin/write-behind/discard', discard);
    expectError(answer, 500, 'INTERNAL_SERVER_ERROR');
    await database.query('DROP TRIGGER refuse ON audit_log');
    await auditedChange(service.client, 'afterwards');
    const { entries, head } = await readAudit(service.client);
    expect(head.seq).toBe(before.seq + 1);
    expect(keyOf(entries[0]!)).toBe('afterwards');
    expect((await verify(env)).output).toMatch(INTACT);
  });

  test('a long log is exported whole, and holds nothing up while nobody reads it', async () => {
    const COUNT = 10_000;
    const { head } = await readAudit(service.client);
    let hash: Buffer = Buffer.from(head.hash, 'hex');
    const actor = JSON.stringify({ type: 'system', id: null, name: null, address: null, request_id: null });
    const after = JSON.stringify({ text: 'x'.repeat(1000) });
    const at = new Date();
    const rows = Array.from({ length: COUNT }, (_, i) => {
      const seq = head.seq + 1 + i;
      const link = { seq, at, action: 'test.fill', outcome: 'done', actor, target: null, before: null, after } as const;
      hash = hashLink(hash, link);
      return { seq, hash };
    });
    await database.query(
      `INSERT INTO audit_log SELECT seq, $3::timestamptz, 'test.fill', 'done', $4::json, NULL, NULL, $5::json, hash
       FROM unnest($1::bigint[], $2::bytea[]) AS row (seq, hash)`,
      [rows.map(({ seq }) => seq), rows.map((row) => row.hash), at.toISOString(), actor, after],
    );
    await database.query('UPDATE audit_head SET seq = $1, hash = $2', [head.seq + COUNT, hash]);
    expect((await verify(env)).output).toMatch(INTACT);

    const response = await fetch(`${service.api.url}/v1/admin/audit/export?action=test.fill`, {
      headers: { ...service.client.headers },
    });
    // An API key sees nothing of what it did not do.
    expect(await response.text()).toBe('');
    const { access_token: token } = await logIn(service);
    const exported = await fetch(`${service.api.url}/v1/admin/audit/export`, {
      headers: { authorization: `Bearer ${token}` },
    });
    // Nobody reads yet: what is not read stays in the database, and no query is left open for it.
    await auditedChange(service.client, 'beside');
    await eventually('no query is open', async () => {
      const { rows: open } = await database.query(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' AND query LIKE '%FROM audit_log WHERE seq%'`,
      );
      return open.length === 0;
    });
    const lines = (await exported.text()).trimEnd().split('\n');
    // Both exports are in it themselves.
    expect(lines.length).toBeGreaterThanOrEqual(head.seq + COUNT + 2);
    expect(lines.map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual(lines.map((_, i) => i + 1));
  });
});
