import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { type AuditLink, hashLink } from './audit-chain.js';
import { AuditNotes, type Note } from './audit-notes.js';

/** Who did something, and from where. */
export interface Actor {
  /** `anonymous`: nobody that is known, such as a login that failed. `system`: this service itself. */
  readonly type: 'user' | 'api_key' | 'oauth2' | 'anonymous' | 'system';
  readonly id: string | null;
  /** The e-mail address of a user, the name of an API key, the subject of a token of an outside issuer. */
  readonly name: string | null;
  readonly address: string | null;
  readonly request_id: string | null;
}

export interface AuditEntry {
  /** What was done: a noun and a verb, such as `api_key.create`. */
  readonly action: string;
  /** `done` when left out. */
  readonly outcome?: 'done' | 'refused';
  readonly actor: Actor;
  readonly target?: { readonly type: string; readonly id: string };
  /** What was there and what is there now, without secrets. */
  readonly before?: object;
  readonly after?: object;
}

/** The record of what was changed, by whom, from where: rows that are only ever added, each sealed by a hash of all before it. */
@Injectable()
export class AuditLog implements OnApplicationShutdown {
  private readonly notes: AuditNotes<AuditEntry>;

  constructor(database: DataSource) {
    this.notes = new AuditNotes((notes) => database.transaction((transaction) => append(transaction, notes)));
  }

  /**
   * Adds an entry in the transaction that makes the change: there are both or neither. Other changes wait from here to
   * the end of the transaction, so it is the last thing to do in one.
   */
  async record(transaction: EntityManager, entry: AuditEntry): Promise<void> {
    await append(transaction, [{ at: new Date(), entry }]);
  }

  /**
   * Adds an entry of what is part of no change, such as a request that was refused. The caller waits for nothing and
   * nothing fails. The same action of the same actor from the same address, and of the same group where one is named, is
   * there once at once and then once a minute, with `repeats` in its `after`; while the database is away for long entries are lost, which the log of the process tells.
   */
  note(entry: AuditEntry, group?: string): void {
    this.notes.add(entry, group);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.notes.close();
  }
}

async function append(transaction: EntityManager, notes: readonly Note<AuditEntry>[]): Promise<void> {
  const [head] = await transaction.query<{ seq: string; hash: Buffer }[]>(
    'SELECT seq, hash FROM audit_head FOR UPDATE',
  );
  if (!head) throw new Error('audit_head has no row');
  let { hash } = head;
  const rows = notes.map(({ at, entry }, index) => {
    const link = linkOf(Number(head.seq) + 1 + index, at, entry);
    hash = hashLink(hash, link);
    return { ...link, at: at.toISOString(), hash };
  });
  const columns = COLUMNS.map((column) => rows.map((row) => row[column]));
  await transaction.query(
    `INSERT INTO audit_log (seq, at, action, outcome, actor, target, before, after, hash)
     SELECT seq, at, action, outcome, actor::json, target::json, before::json, after::json, hash
     FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[])
       AS row (seq, at, action, outcome, actor, target, before, after, hash)`,
    columns,
  );
  await transaction.query('UPDATE audit_head SET seq = $1, hash = $2', [Number(head.seq) + rows.length, hash]);
}

const COLUMNS = ['seq', 'at', 'action', 'outcome', 'actor', 'target', 'before', 'after', 'hash'] as const;

function linkOf(
  seq: number,
  at: Date,
  { action, outcome = 'done', actor, target, before, after }: AuditEntry,
): AuditLink {
  return {
    seq,
    at,
    action,
    outcome,
    actor: textOf(actor),
    target: target ? textOf(target) : null,
    before: before ? textOf(before) : null,
    after: after ? textOf(after) : null,
  };
}

/** JSON that Postgres can look into: it knows neither NUL nor half of a surrogate pair. */
function textOf(value: object): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'string' ? Buffer.from(part).toString().replaceAll('\0', '\ufffd') : part,
  );
}
