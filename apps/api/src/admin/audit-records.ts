import type { AuditFilters, AuditPage, AuditQuery, AuditRecord } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Principal } from '../auth/principal.js';
import { type Actor, AuditLog } from '../platform/audit/audit-log.js';

const COLUMNS = `seq, at, action, outcome, actor, target, before, after, encode(hash, 'hex') AS hash`;
const EXPORT_PAGE = 500;
/** So many rows a query of the export looks at, in which its filters may find nothing: it is to end in time. */
const EXPORT_STRETCH = 20_000;

interface Row extends Omit<AuditRecord, 'seq' | 'at'> {
  readonly seq: string;
  readonly at: Date;
}

/** What of the audit log somebody may see and wants to. */
class Selection {
  private readonly terms: string[] = [];
  readonly parameters: unknown[] = [];

  /** @param term with `?` where the value is to stand */
  add(term: string, value: unknown): void {
    this.parameters.push(value);
    this.terms.push(term.replaceAll('?', `$${this.parameters.length}`));
  }

  get sql(): string {
    return this.terms.length === 0 ? 'true' : this.terms.join(' AND ');
  }
}

/** The audit log as administrators read it. No query outlasts its page, however long somebody takes to read. */
@Injectable()
export class AuditRecords {
  constructor(
    private readonly database: DataSource,
    private readonly audit: AuditLog,
  ) {}

  /** Newest first. What is added meanwhile moves no page. */
  async page(viewer: Principal, { cursor, limit, ...filters }: AuditQuery): Promise<AuditPage> {
    const selection = select(viewer, filters);
    if (cursor !== undefined) selection.add('seq < ?', cursor);
    const { sql, parameters } = selection;
    const rows = await this.database.query<Row[]>(
      `SELECT ${COLUMNS} FROM audit_log WHERE ${sql} ORDER BY seq DESC LIMIT ${limit + 1}`,
      parameters,
    );
    const entries = rows.slice(0, limit).map(view);
    const isLast = rows.length <= limit;
    return { entries, cursor: isLast ? null : String(entries.at(-1)?.seq), head: await this.head() };
  }

  /** Oldest first, up to where the log ends now: each part some lines of JSON, or none. */
  async *lines(viewer: Principal, filters: AuditFilters): AsyncGenerator<string, void, undefined> {
    const { seq: end } = await this.head();
    let seq = 0;
    while (seq < end) {
      const last = Math.min(end, seq + EXPORT_STRETCH);
      const selection = select(viewer, filters);
      selection.add('seq > ?', seq);
      selection.add('seq <= ?', last);
      const rows = await this.database.query<Row[]>(
        `SELECT ${COLUMNS} FROM audit_log WHERE ${selection.sql} ORDER BY seq LIMIT ${EXPORT_PAGE}`,
        selection.parameters,
      );
      yield rows.map((row) => `${JSON.stringify(view(row))}\n`).join('');
      seq = rows.length < EXPORT_PAGE ? last : Number(rows.at(-1)?.seq);
    }
  }

  /** To be called before the export begins: what is not recorded is not exported. */
  async recordExport(actor: Actor, filters: AuditFilters): Promise<void> {
    await this.database.transaction((transaction) =>
      this.audit.record(transaction, { action: 'audit.export', actor, after: filters }),
    );
  }

  private async head(): Promise<AuditPage['head']> {
    const [head] = await this.database.query<{ seq: string; hash: string }[]>(
      `SELECT seq, encode(hash, 'hex') AS hash FROM audit_head`,
    );
    if (!head) throw new Error('audit_head has no row');
    return { seq: Number(head.seq), hash: head.hash };
  }
}

/**
 * Who is limited to no namespace sees everything. An API key sees what keys of its namespace did; one that is limited to
 * prefixes, and whoever else is limited, what they did themselves: entries tell e-mail addresses, network addresses and
 * keys of the cache.
 */
function select({ type, id, namespace, keyPrefixes }: Principal, filters: AuditFilters): Selection {
  const selection = new Selection();
  if (keyPrefixes.length > 0 || (namespace !== null && type !== 'api_key')) selection.add(`actor->>'id' = ?`, id);
  else if (namespace !== null) {
    selection.add(`actor->>'id' IN (SELECT id FROM api_keys WHERE namespace = ?)`, namespace);
  }
  const { actor, action, target, outcome, address, from, to } = filters;
  if (actor !== undefined) selection.add(`(actor->>'id' = ? OR actor->>'name' = ?)`, actor);
  if (action?.endsWith('*')) selection.add(`action LIKE ?`, `${likeText(action.slice(0, -1))}%`);
  else if (action !== undefined) selection.add('action = ?', action);
  if (target !== undefined) selection.add(`target->>'id' = ?`, target);
  if (outcome !== undefined) selection.add('outcome = ?', outcome);
  if (address !== undefined) selection.add(`actor->>'address' = ?`, address);
  if (from !== undefined) selection.add('at >= ?', from);
  if (to !== undefined) selection.add('at < ?', to);
  return selection;
}

/** A text that LIKE takes as it is: `_` stands for any character there. */
function likeText(text: string): string {
  return text.replaceAll('_', '\\_');
}

function view({ seq, at, ...row }: Row): AuditRecord {
  return { seq: Number(seq), at: at.toISOString(), ...row };
}
