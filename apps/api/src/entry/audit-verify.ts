import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { BrokenChain, verifyAudit } from '../platform/audit/audit-verification.js';
import { readEnvironment, StartRefused } from '../platform/env.js';
import { requireDatabase, startEmbeddedPostgres } from '../platform/postgres/embedded.js';

const USAGE = `npm run audit:verify -- [--from SEQ] [--head SEQ:HASH]

  --from SEQ        begins there and takes the entry before it as it is
  --head SEQ:HASH   the end of the log at an earlier time, as you have written it down; of the entry before --from or a later one

Reads the database of DATABASE_URL, or the embedded one in DATA_DIR while the service is stopped. Ends with 1 when the
log is not what was written, and with 2 when it cannot be read.`;

async function run(): Promise<void> {
  const { from, anchor } = readArguments();
  const database = await open();
  try {
    const query = async <Row>(sql: string, parameters: readonly unknown[]) =>
      (await database.client.query(sql, [...parameters])).rows as Row[];
    const { first, head } = await verifyAudit(query, { from, anchor });
    const what = head.seq < first ? 'it has no entries' : `entries ${first} to ${head.seq}`;
    process.stdout.write(`the audit log is what was written: ${what}\nhead ${head.seq}:${head.hash}\n`);
  } finally {
    await database.stop();
  }
}

function readArguments() {
  try {
    const { values } = parseArgs({ options: { from: { type: 'string', default: '1' }, head: { type: 'string' } } });
    if (!/^[1-9]\d{0,14}$/.test(values.from)) throw new Error();
    const from = Number(values.from);
    const anchor = values.head === undefined ? undefined : headOf(values.head);
    // Nothing would tie it to the entries that are looked at.
    if (anchor && anchor.seq < from - 1) throw new Error();
    return { from, anchor: anchor?.seq === 0 ? undefined : anchor };
  } catch {
    throw new StartRefused([USAGE]);
  }
}

/** The head of an empty log, `0:`, is where every log begins. */
function headOf(text: string) {
  const [, seq, hash = ''] = /^(?:([1-9]\d{0,14}):([0-9a-f]{64})|0:)$/.exec(text) ?? [];
  if (seq === undefined && text !== '0:') throw new Error();
  return { seq: Number(seq ?? 0), hash };
}

async function open(): Promise<{ readonly client: Client; stop(): Promise<void> }> {
  // eslint-disable-next-line no-restricted-syntax -- an entry point: here the environment comes in
  const { DATABASE_URL, DATA_DIR } = readEnvironment(process.env);
  if (DATABASE_URL !== undefined) {
    const client = new Client({ connectionString: DATABASE_URL });
    await client.connect();
    return { client, stop: () => client.end() };
  }
  requireDatabase(DATA_DIR);
  const embedded = await startEmbeddedPostgres(DATA_DIR);
  const client = new Client({ host: embedded.socketDir, user: 'postgres', database: 'postgres' });
  await client.connect();
  return {
    client,
    stop: async () => {
      await client.end();
      await embedded.stop();
    },
  };
}

try {
  await run();
} catch (error) {
  process.stderr.write(
    `${error instanceof BrokenChain ? 'the audit log is broken at ' : ''}${(error as Error).message}\n`,
  );
  process.exitCode = error instanceof BrokenChain ? 1 : 2;
}
