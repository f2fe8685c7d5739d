import { createHash } from 'node:crypto';

/** A row of the audit log as it is stored: what is structured is the very text. */
export interface AuditLink {
  readonly seq: number;
  readonly at: Date;
  readonly action: string;
  readonly outcome: 'done' | 'refused';
  readonly actor: string;
  readonly target: string | null;
  readonly before: string | null;
  readonly after: string | null;
}

/**
 * The hash of a row: SHA-256 of the hash before it and of everything that the row says. Whoever changes, inserts or
 * removes a row has to write every later one anew, and the head.
 */
export function hashLink(previous: Uint8Array, link: AuditLink): Buffer {
  const { seq, at, action, outcome, actor, target, before, after } = link;
  const text = JSON.stringify([seq, at.toISOString(), action, outcome, actor, target, before, after]);
  return createHash('sha256').update(previous).update(text).digest();
}
