import { type AuditLink, hashLink } from './audit-chain.js';

const PAGE = 1000;

/** Rows of a query. */
type Query = <Row>(sql: string, parameters: readonly unknown[]) => Promise<Row[]>;

/** Where the log ended at some time, as it was written down elsewhere. */
interface AuditHead {
  readonly seq: number;
  /** In hexadecimal. */
  readonly hash: string;
}

interface Verified {
  readonly first: number;
  readonly head: AuditHead;
}

/** The first entry at which the log is not what was written, and in what way. */
export class BrokenChain extends Error {
  constructor(
    readonly seq: number,
    readonly how: 'changed' | 'missing' | 'inserted' | 'head' | 'anchor',
    readonly reason: string,
  ) {
    super(`entry ${seq}: ${reason}`);
  }
}

interface StoredLink extends Omit<AuditLink, 'seq'> {
  readonly seq: string;
  readonly hash: Buffer;
}

interface Verification {
  /** The first entry to look at; the one before it is taken as it is. */
  readonly from: number;
  readonly anchor?: AuditHead | undefined;
}

/**
 * Reads the log from one entry to its end and computes every hash again. Entries that are added meanwhile are left out.
 * @throws BrokenChain
 */
export async function verifyAudit(query: Query, { from, anchor }: Verification): Promise<Verified> {
  const head = await headOf(query);
  let hash: Uint8Array = from === 1 ? new Uint8Array() : await hashAt(query, from - 1);
  let expected = from;
  for await (const row of rowsFrom(query, from, head.seq)) {
    const seq = Number(row.seq);
    if (seq < expected) throw new BrokenChain(seq, 'inserted', 'there is one too many');
    if (seq > expected) throw missing(expected, seq - 1);
    if (!isDate(row.at) || !hashLink(hash, { ...row, seq }).equals(row.hash)) {
      throw new BrokenChain(seq, 'changed', 'it is not what was written, or the one before it is not');
    }
    if (anchor?.seq === seq) expectAnchor(row.hash, anchor);
    ({ hash } = row);
    expected++;
  }
  if (expected <= head.seq) throw missing(expected, head.seq);
  if (Buffer.from(hash).toString('hex') !== head.hash) {
    throw new BrokenChain(head.seq, 'head', 'it is not the end that audit_head tells of');
  }
  if (anchor && anchor.seq > head.seq) throw missing(head.seq + 1, anchor.seq);
  if (anchor && anchor.seq < from) expectAnchor(await hashAt(query, anchor.seq), anchor);
  return { first: from, head };
}

/** @throws BrokenChain when there are entries outside of what the head tells of */
async function headOf(query: Query): Promise<AuditHead> {
  // One statement: a change that is being made is either in all parts of its answer or in none.
  const [head] = await query<{ seq: string; hash: string; heads: string; least: string; most: string }>(
    `SELECT seq, encode(hash, 'hex') AS hash, (SELECT count(*) FROM audit_head) AS heads,
            (SELECT coalesce(min(seq), 1) FROM audit_log) AS least, (SELECT coalesce(max(seq), 0) FROM audit_log) AS most
     FROM audit_head`,
    [],
  );
  if (head?.heads !== '1') throw new BrokenChain(0, 'head', 'audit_head has to have one row');
  const { seq, hash, least, most } = head;
  if (Number(least) < 1) throw new BrokenChain(Number(least), 'inserted', 'the log begins with entry 1');
  if (Number(most) > Number(seq)) {
    throw new BrokenChain(Number(seq) + 1, 'inserted', `the log ends with entry ${seq}, says audit_head`);
  }
  return { seq: Number(seq), hash };
}

async function* rowsFrom(query: Query, from: number, end: number): AsyncGenerator<StoredLink> {
  let next = from;
  let seen = 0;
  let rows: StoredLink[];
  do {
    rows = await query<StoredLink>(
      `SELECT seq, at, action, outcome, actor::text, target::text, before::text, after::text, hash
       FROM audit_log WHERE seq >= $1 AND seq <= $2 ORDER BY seq OFFSET $3 LIMIT ${PAGE}`,
      [next, end, seen],
    );
    yield* rows;
    // Not from the next one on: where the last is there twice, both are to be seen.
    next = Number(rows.at(-1)?.seq);
    seen = 1;
  } while (rows.length === PAGE);
}

/** Postgres also knows `infinity`, and years that nobody else does. */
function isDate(at: unknown): boolean {
  return at instanceof Date && !Number.isNaN(at.getTime());
}

async function hashAt(query: Query, seq: number): Promise<Buffer> {
  const [row] = await query<{ hash: Buffer }>('SELECT hash FROM audit_log WHERE seq = $1', [seq]);
  if (!row) throw missing(seq, seq);
  return row.hash;
}

function missing(first: number, last: number): BrokenChain {
  const which = first === last ? 'it is missing' : `it is missing, and so is all up to ${last}`;
  return new BrokenChain(first, 'missing', which);
}

function expectAnchor(hash: Buffer, { seq, hash: wanted }: AuditHead): void {
  if (hash.toString('hex') === wanted) return;
  throw new BrokenChain(seq, 'anchor', 'it is not the one whose hash was written down: the log was written anew');
}
