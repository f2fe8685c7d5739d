import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Client as Postgres } from 'pg';
import { createClient, RESP_TYPES } from 'redis';

/** What the files of a folder hold, each byte as a character. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) => readFileSync(path.join(file.parentPath, file.name), 'latin1'));
}

/** Everything that the database of a Redis holds, each byte as a character: names, and values in the form of backups. */
export async function redisDump(url: string): Promise<string> {
  const client = createClient({ url }).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  await client.connect();
  // Or what is looked for would be hidden in what is left of it.
  await client.configSet('rdbcompression', 'no');
  const texts: string[] = [];
  for await (const keys of client.scanIterator()) {
    for (const key of keys) {
      const dumped = (await client.dump(key)) as Buffer | null;
      texts.push(key.toString('latin1'), dumped?.toString('latin1') ?? '');
    }
  }
  client.destroy();
  return texts.join('\n');
}

/** Everything that a database holds, as text. */
export async function postgresDump(url: string): Promise<string> {
  const postgres = new Postgres({ connectionString: url });
  await postgres.connect();
  const tables = await postgres.query<{ name: string }>(
    `SELECT quote_ident(table_name) AS name FROM information_schema.tables WHERE table_schema = 'public'`,
  );
  const texts: string[] = [];
  for (const { name } of tables.rows) {
    const { rows } = await postgres.query<{ text: string }>(`SELECT each::text AS text FROM ${name} AS each`);
    texts.push(...rows.map(({ text }) => text));
    // Binary columns are shown in hexadecimal: what is hidden in them is looked for as it is.
    texts.push(
      ...rows.flatMap(({ text }) =>
        [...text.matchAll(/\\x([0-9a-f]+)/g)].map(([, hex]) => Buffer.from(hex!, 'hex').toString('latin1')),
      ),
    );
  }
  await postgres.end();
  return texts.join('\n');
}
