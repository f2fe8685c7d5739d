import { type AuditPage, auditPageSchema, type AuditRecord } from '@cache-system/contracts';
import type { Client } from './client.js';
import { expectExactly } from './expectations.js';

/** A page of the audit log. */
export async function readAudit(client: Client, query: Record<string, string> = {}): Promise<AuditPage> {
  const answer = await client.get(`/v1/admin/audit?${new URLSearchParams(query).toString()}`);
  if (answer.status !== 200) throw new Error(`no audit log: ${answer.status} ${answer.text}`);
  return expectExactly(auditPageSchema, answer.json);
}

/** All pages, newest first. */
export async function readWholeAudit(client: Client, query: Record<string, string> = {}): Promise<AuditRecord[]> {
  const entries: AuditRecord[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: AuditPage = await readAudit(client, { ...query, ...(cursor !== '' && { cursor }) });
    entries.push(...page.entries);
    ({ cursor } = page);
  }
  return entries;
}

/** A change by an administrator that changes nothing else: there is no such dead letter. */
export async function auditedChange(client: Client, key: string, namespace = 'default'): Promise<void> {
  const answer = await client.post('/v1/admin/write-behind/discard', { records: [{ namespace, key }] });
  if (answer.status !== 200) throw new Error(`no change: ${answer.status} ${answer.text}`);
}

/** The key of a change made so. */
export function keyOf({ after }: AuditRecord): string | undefined {
  const { records = [] } = (after ?? {}) as { records?: { key: string }[] };
  return records[0]?.key;
}
