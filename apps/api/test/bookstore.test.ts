import path from 'node:path';
import { Client } from 'pg';
import { startPostgres } from '../../../tools/harness/postgres-process.mjs';
import { spawnTied } from '../../../tools/harness/tied-process.mjs';
import { onRealStores } from './support/service.js';

const STORY = path.join(__dirname, '../../../examples/bookstore/story.mjs');
/** What was called, and what came of it: the price, and the layer that it came from. */
const LINE = /^ {2}(GET|PUT|POST|UPDATE) .*$/gm;

onRealStores('the bookstore of examples/', () => {
  test('shows the new price after each of its changes, from the cache again', async () => {
    const { exitCode, output } = await play('');
    expect({ exitCode, output }).toEqual({
      exitCode: 0,
      output: expect.stringContaining('It went as expected') as string,
    });
    expect(
      output.match(LINE)?.map((line) =>
        line
          .trim()
          .replaceAll(/ {2,}|, seen after .*/g, ' ')
          .trim(),
      ),
    ).toEqual([
      'GET /books/2 39.99 SOURCE MISS',
      'GET /books/2 39.99 L1 HIT',
      'GET /books 39.99 MISS',
      'GET /books 39.99 L1 HIT',
      'PUT /books/2/price 39.99 → 44.99',
      'GET /books/2 44.99 SOURCE MISS',
      'GET /books 44.99 MISS',
      'GET /books 44.99 L1 HIT',
      'UPDATE bookstore.books SET price = 34.99 WHERE id = 2 44.99 → 34.99',
      'GET /books/2 34.99 L1 HIT',
      'GET /books 44.99 L1 HIT',
      'POST /v1/cache/invalidate {"tags":["book:2"]}',
      'GET /books 34.99 MISS',
      'GET /books 34.99 L1 HIT',
    ]);
  });

  test('leaves a database as it was, and one alone that has a schema of that name', async () => {
    const server = await startPostgres();
    const database = new Client({ connectionString: server.url });
    await database.connect();
    const tables = async () => {
      const sql = `SELECT FROM pg_tables WHERE schemaname IN ('bookstore', 'cache_system')`;
      return (await database.query(sql)).rowCount;
    };
    expect(await play(server.url)).toMatchObject({ exitCode: 0 });
    expect(await tables()).toBe(0);

    await database.query('CREATE SCHEMA bookstore; CREATE TABLE bookstore.books (of_somebody_else text)');
    const refused = await play(server.url);
    expect(refused).toMatchObject({ exitCode: 1 });
    expect(refused.output).toContain('The database has a schema bookstore already');
    expect(await tables()).toBe(1);
    await database.end();
    await server.stop();
  });
});

/** @param databaseUrl '' for a Postgres that the story starts itself */
async function play(databaseUrl: string): Promise<{ exitCode: number | null; output: string }> {
  const story = spawnTied(process.execPath, [STORY], { env: { ...process.env, DATABASE_URL: databaseUrl } });
  return { exitCode: await story.ended, output: story.output() };
}
