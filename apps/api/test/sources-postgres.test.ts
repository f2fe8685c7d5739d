import { eventually } from '../../../tools/harness/eventually.mjs';
import { ConnectionNotSet } from '../src/sources/postgres-connection.js';
import {
  BOOKS,
  type BooksDatabase,
  definitionOf,
  load,
  startBooksDatabase,
  store,
  text,
} from './support/postgres-source.js';
import { SourceRefused, SourceTimeout, SourceUnavailable } from '../src/sources/source.js';
import { failure, never } from './support/source-calls.js';
import { installWatch, removeWatch } from '../src/sources/watch-installation.js';
import { markHorizonSql, NotWatchable, pruneSql, watchedTable } from '../src/sources/watch-sql.js';
import { onRealStores, STORES } from './support/service.js';

/** They need a Postgres server; the run on embedded stores has none, and the one on real stores is part of every test run. */

let books: BooksDatabase;
let database: BooksDatabase['client'];
beforeAll(async () => {
  if (STORES !== 'real') return;
  books = await startBooksDatabase();
  database = books.client;
});
beforeEach(() => books.reset());
afterAll(async () => {
  if (STORES === 'real') await books.stop();
});

onRealStores('a source in a table', () => {
  test.each([
    ['json', `'{"a": 1.10, "b": 12345678901234567890}'`, '{"a": 1.10, "b": 12345678901234567890}'],
    ['jsonb', `'12345678901234567890.50'`, '12345678901234567890.50'],
    ['text', `'"é€😀"'`, '"é€😀"'],
    ['varchar(20)', `'1'`, '1'],
    ['bytea', `'[1]'::bytea`, '[1]'],
    ['jsonb', 'NULL', 'null'],
  ])('answers %s %s as the database has it', async (type, sql, expected) => {
    await database.query(`CREATE TABLE shop.values (id text PRIMARY KEY, value ${type})`);
    await database.query(`INSERT INTO shop.values VALUES ('1', ${sql})`);
    const source = books.open({ table: 'shop.values', key_column: 'id', value_column: 'value' }, { ttl: 5 });
    const value = { contentType: 'application/json', bytes: Buffer.from(expected) };
    expect(await load(source, '1')).toEqual({ status: 'found', value, ttlSeconds: 5 });
  });

  test('answers the row where it has no value column', async () => {
    await database.query(`INSERT INTO shop.books VALUES (1, '{"a":1}')`);
    expect(await text(books.open({ table: 'shop.books', key_column: 'id' }), '1')).toBe('{"id":1,"book":{"a": 1}}');
  });

  test.each(['2', '01', ' 1', '1.0', 'x', '', '99999999999999999999'])('misses %j when it has 1', async (key) => {
    await database.query(`INSERT INTO shop.books VALUES (1, '1')`);
    expect(await text(books.open(), key)).toBe('missing');
  });

  test('takes names as they are, whatever they hold', async () => {
    await database.query(`CREATE TABLE shop."B""; DROP" ("Key ""k" text PRIMARY KEY, "v'$1" text)`);
    const odd = { table: `shop.B"; DROP`, key_column: `Key "k`, value_column: `v'$1`, writable: true, watch: true };
    const source = books.open(odd);
    await installWatch(definitionOf(odd), books.variables);
    for (const key of [`'; DROP TABLE shop.books; --`, `\\`, `"`, `$1`]) {
      await store(source, key, '"1"');
      expect(await text(source, key)).toBe('"1"');
    }
  });

  test('refuses a value that is too large, and a column that holds no values', async () => {
    await database.query(`INSERT INTO shop.books VALUES (1, '"123456789"')`);
    expect(await failure(load(books.open({ ...BOOKS, max_bytes: 10 }), '1'))).toMatchObject({ reason: 'too_large' });
    expect(await failure(load(books.open({ ...BOOKS, value_column: 'id' }), '1'))).toMatchObject({ reason: 'query' });
    const missing = await failure(load(books.open({ ...BOOKS, value_column: 'none' }), '1'));
    expect(missing).toMatchObject({ constructor: SourceRefused, reason: 'query' });
  });

  test('is written to where that is allowed, as often as it likes', async () => {
    expect('store' in books.open() || 'remove' in books.open()).toBe(false);
    const source = books.open({ ...BOOKS, writable: true });
    for (const value of ['1', '{"a": 2}', '{"a": 2}']) await store(source, '7', value);
    expect(await text(source, '7')).toBe('{"a": 2}');
    for (const key of ['book:7', 'book:7', 'book:x']) await source.remove?.(key, 1, never());
    expect(await text(source, '7')).toBe('missing');
  });

  test('refuses what the table cannot hold, and stores nothing', async () => {
    const source = books.open({ ...BOOKS, writable: true });
    expect(await failure(store(source, '07', '1'))).toMatchObject({ reason: 'key' });
    for (const [key, value] of [
      ['x', '1'],
      ['1', '{'],
      ['1', Buffer.from([0x22, 0xff, 0x22])],
    ] as const) {
      expect(await failure(store(source, key, value))).toMatchObject({ reason: 'query' });
    }
    await database.query(`ALTER TABLE shop.books DROP CONSTRAINT books_pkey`);
    expect(await failure(store(source, '1', '1'))).toMatchObject({ reason: 'query' });
    expect((await database.query('SELECT FROM shop.books')).rowCount).toBe(0);
  });
});

onRealStores('a source behind a query', () => {
  test('answers its one row', async () => {
    const source = books.open({ query: `SELECT $1 AS id, 2 AS n WHERE $1 <> 'x' -- all` });
    expect([await text(source, `a'b`), await text(source, 'x')]).toEqual([`{"id":"a'b","n":2}`, 'missing']);
  });

  test.each([`SELECT $1 FROM generate_series(1, 2)`, `DELETE FROM shop.books WHERE id::text = $1`, `SELECT $1 FROM x`])(
    'is refused: %s',
    async (query) =>
      expect(await failure(load(books.open({ query }), '1'))).toMatchObject({
        constructor: SourceRefused,
        reason: 'query',
      }),
  );
});

onRealStores('a database that fails', () => {
  const running = async () =>
    (await database.query(`SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT row%pg_sleep%' AND state = 'active'`))
      .rowCount;
  const slow = { query: 'SELECT pg_sleep(60) FROM (SELECT $1) AS key', max_connections: 1 };
  const impatient = { soft_timeout_ms: 100, hard_timeout_ms: 300 };

  test('by being slow is not waited for, and what it was asked ends', async () => {
    const startedAtMs = performance.now();
    expect(await failure(load(books.open(slow, impatient), '1'))).toBeInstanceOf(SourceTimeout);
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
    await eventually('the query ends', async () => (await running()) === 0);
  });

  test('does not keep a caller who goes away, nor its connection', async () => {
    const source = books.open({ query: `SELECT pg_sleep(CASE $1 WHEN 'slow' THEN 60 ELSE 0 END)`, max_connections: 1 });
    const caller = new AbortController();
    const call = failure(source.load('book:slow', undefined, caller.signal));
    await eventually('the query runs', async () => (await running()) === 1);
    caller.abort(new Error('gone'));
    expect(await call).toMatchObject({ message: 'gone' });
    expect(await load(source, 'fast')).toMatchObject({ status: 'found' });
  });

  test('by breaking idle connections is not noticed', async () => {
    const source = books.open();
    await load(source, '1');
    await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%books'`);
    expect(await text(source, '1')).toBe('missing');
  });

  test('by not being there, or not answering, fails and is found again', async () => {
    const source = books.open(BOOKS, { ...impatient, breaker: { failures: 100, open_ms: 10 } });
    books.proxy.reset();
    expect(await failure(load(source, '1'))).toBeInstanceOf(SourceUnavailable);
    await books.proxy.pass();
    expect(await text(source, '1')).toBe('missing');
    books.proxy.stall();
    expect(await failure(load(source, '1'))).toBeInstanceOf(SourceTimeout);
    await books.proxy.pass();
    expect(await text(source, '1')).toBe('missing');
  });

  test('because its address is not set is known at once', () =>
    expect(() => books.open({ ...BOOKS, connection_env: 'OTHER' })).toThrow(ConnectionNotSet));
});

onRealStores('a watch', () => {
  const insert = (id: number, client = books.client) =>
    client.query(`INSERT INTO shop.books VALUES ($1, '1') ON CONFLICT (id) DO UPDATE SET book = '2'`, [id]);
  const install = () => installWatch(definitionOf(), books.variables);
  async function watchFromNow(...of: Parameters<BooksDatabase['watch']>) {
    await install();
    const watching = books.watch(...of);
    await watching.hears('all', 'on');
    watching.told.length = 0;
    return watching;
  }

  test('tells within a second of what anybody does to the table', async () => {
    const { told, hears } = await watchFromNow();
    for (const [sql, ...keys] of [
      [`INSERT INTO shop.books VALUES (1, '1'), (2, '1')`, 'book:1', 'book:2'],
      [`UPDATE shop.books SET book = '2' WHERE id = 1`, 'book:1'],
      [`UPDATE shop.books SET id = 3 WHERE id = 1`, 'book:1', 'book:3'],
      [`DELETE FROM shop.books WHERE id = 2`, 'book:2'],
      [`TRUNCATE shop.books`, 'all'],
      // So many at once that telling each would be dearer.
      [`INSERT INTO shop.books SELECT n, '1' FROM generate_series(1, 10001) AS n`, 'all'],
    ] as const) {
      const startedAtMs = performance.now();
      await database.query(sql);
      await hears(...keys);
      expect(performance.now() - startedAtMs).toBeLessThan(1000);
      expect(told).toEqual(keys);
      told.length = 0;
    }
  });

  test('tells of changes that become visible out of order, and of none that is undone', async () => {
    const { told, hears } = await watchFromNow();
    const [early, undone] = await Promise.all([books.connect(), books.connect()]);
    for (const client of [early, undone]) await client.query('BEGIN');
    await insert(1, early);
    await insert(2, undone);
    await insert(3);
    await hears('book:3');
    await early.query('COMMIT');
    await undone.query('ROLLBACK');
    await hears('book:1');
    await Promise.all([early.end(), undone.end()]);
    expect(told).toEqual(['book:3', 'book:1']);
  });

  test('tells of every change of many writers at once, while its connection breaks', async () => {
    const { told, hears } = await watchFromNow();
    const writers = await Promise.all(Array.from({ length: 6 }, books.connect));
    await Promise.all(
      writers.map(async (client, writer) => {
        for (let n = 0; n < 100; n++) {
          await client.query('BEGIN');
          await insert(writer * 100 + n, client);
          await client.query(n % 3 === 0 ? 'SELECT pg_sleep(0.01)' : 'SELECT 1');
          await client.query('COMMIT');
          if (writer === 0 && n % 30 === 10) books.proxy.reset();
          if (writer === 0 && n % 30 === 20) await books.proxy.pass();
        }
      }),
    );
    await books.proxy.pass();
    await hears(...Array.from({ length: 600 }, (_, id) => `book:${id}`));
    expect(told).not.toContain('all');
    await Promise.all(writers.map((client) => client.end()));
  });

  test.each(['reset', 'stall'] as const)('tells what was missed through a %s once it is back', async (fault) => {
    const { told, hears } = await watchFromNow();
    books.proxy[fault]();
    await hears('off');
    await insert(1);
    await books.proxy.pass();
    await hears('on', 'book:1');
    expect(told).not.toContain('all');
  });

  test('tells again what was not taken', async () => {
    let failing = false;
    const { told, hears } = await watchFromNow(definitionOf(), () => failing);
    failing = true;
    await insert(1);
    await hears('off');
    failing = false;
    await hears('book:1');
    expect(told).not.toContain('all');
  });

  test('that is not installed says so, and begins when it is; also when table or triggers go', async () => {
    const { told, hears } = books.watch();
    for (const lose of [
      `ALTER TABLE shop.books DISABLE TRIGGER ALL`,
      `DROP TABLE shop.books; CREATE TABLE shop.books (id integer PRIMARY KEY, book jsonb)`,
      `DROP SCHEMA cache_system CASCADE`,
    ]) {
      await hears('off: not installed');
      await install();
      await hears('all', 'on');
      told.length = 0;
      await database.query(lose);
    }
    await hears('off: not installed');
  });

  test('that lost its triggers for a moment takes everything for changed', async () => {
    const { told, hears } = await watchFromNow();
    await database.query(`ALTER TABLE shop.books DISABLE TRIGGER ALL`);
    await insert(1);
    await install();
    await hears('all');
    expect(told).not.toContain('book:1');
  });

  test('is installed and removed as often as one likes, by several at once', async () => {
    const remove = () => removeWatch(definitionOf(), books.variables);
    await Promise.all(Array.from({ length: 4 }, install));
    const { hears } = await watchFromNow();
    await insert(1);
    await hears('book:1');
    await Promise.all(Array.from({ length: 4 }, remove));
    await insert(2);
    await database.query('DROP SCHEMA cache_system');
    await remove();
    expect(() => books.watch(definitionOf({ query: 'SELECT $1' }))).toThrow(NotWatchable);
  });

  test('tells nothing once it is closed, also when the server does not answer', async () => {
    const { told, close } = await watchFromNow();
    books.proxy.stall();
    await close();
    await books.proxy.pass();
    await insert(1);
    expect(told).toEqual([]);
  });

  test('keeps changes that somebody may not have seen, and prunes the others bit by bit', async () => {
    await install();
    const watched = watchedTable(definitionOf());
    const kept = async () => (await database.query(`SELECT FROM ${watched.changes} WHERE key IS NOT NULL`)).rowCount;
    const late = await books.connect();
    await late.query('BEGIN');
    await insert(1, late);
    await late.query('SAVEPOINT nested');
    await insert(2, late);
    await insert(3);
    await database.query(markHorizonSql(watched), [0]);
    await late.query('COMMIT');
    await late.end();
    await database.query(pruneSql(watched), [0, 10]);
    expect(await kept()).toBe(3);
    await database.query(markHorizonSql(watched), [0]);
    await database.query(pruneSql(watched), [3600, 10]);
    expect(await kept()).toBe(3);
    expect((await database.query(pruneSql(watched), [0, 2])).rowCount).toBe(2);
    await database.query(pruneSql(watched), [0, 10]);
    expect(await kept()).toBe(0);
  });
});
