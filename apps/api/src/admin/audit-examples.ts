import type { AuditPage, AuditRecord } from '@cache-system/contracts';

const entry: AuditRecord = {
  seq: 1042,
  at: '2026-01-15T10:30:00.000Z',
  action: 'api_key.create',
  outcome: 'done',
  actor: {
    type: 'user',
    id: 'usr_3f2a1b0c9d8e7f6a5b4c',
    name: 'admin@example.com',
    address: '192.0.2.7',
    request_id: 'req_0123456789000001',
  },
  target: { type: 'api_key', id: 'key_0a1b2c3d4e5f6a7b8c9d' },
  before: null,
  after: { name: 'Production Cache Access', permissions: ['cache:read', 'cache:write'], namespace: 'default' },
  hash: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
};

const page: AuditPage = { entries: [entry], cursor: '1042', head: { seq: entry.seq, hash: entry.hash } };

/** Responses that the OpenAPI document shows. */
export const auditExamples = { page, lines: `${JSON.stringify(entry)}\n` };
