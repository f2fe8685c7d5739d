import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type AuditLink, hashLink } from './audit-chain.js';

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
export class AuditLog {
  /**
   * Adds an entry in the transaction that makes the change: there are both or neither. Other changes wait from here to
   * the end of the transaction, so it is the last thing to do in one.
   */
  async record(transaction: EntityManager, entry: AuditEntry): Promise<void> {
    const [head] = await transaction.query<{ seq: string; hash: Buffer }[]>(
      'SELECT seq, hash FROM audit_head FOR UPDATE',
    );
    if (!head) throw new Error('audit_head has no row');
    const link: AuditLink = {
      seq: Number(head.seq) + 1,
      at: new Date(),
      action: entry.action,
      outcome: entry.outcome ?? 'done',
      actor: JSON.stringify(entry.actor),
      target: textOf(entry.target),
      before: textOf(entry.before),
      after: textOf(entry.after),
    };
    const hash = hashLink(head.hash, link);
    const { seq, at, action, outcome, actor, target, before, after } = link;
    await transaction.query(
      `INSERT INTO audit_log (seq, at, action, outcome, actor, target, before, after, hash)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [seq, at, action, outcome, actor, target, before, after, hash],
    );
    await transaction.query('UPDATE audit_head SET seq = $1, hash = $2', [seq, hash]);
  }
}

function textOf(value: object | undefined): string | null {
  return value === undefined ? null : JSON.stringify(value);
}
