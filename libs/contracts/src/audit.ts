import { z } from 'zod';
import { timestampSchema } from './common.js';

const HASH = {
  description: 'SHA-256, in hexadecimal',
  example: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
};
const OUTCOMES = ['done', 'refused'] as const;

const auditEntrySchema = z
  .object({
    seq: z.number().int().min(1).meta({ description: 'Place in the log, without gaps', example: 1042 }),
    at: timestampSchema,
    action: z.string().meta({ description: 'What was done: a noun and a verb', example: 'api_key.create' }),
    outcome: z.enum(OUTCOMES),
    actor: z.object({
      type: z.enum(['user', 'api_key', 'oauth2', 'anonymous', 'system']).meta({
        description: '`anonymous`: nobody that is known; `system`: the service itself',
      }),
      id: z.string().nullable(),
      name: z.string().nullable().meta({ description: 'The e-mail address of a user, the name of an API key' }),
      address: z.string().nullable().meta({ description: 'Where the request came from', example: '192.0.2.7' }),
      request_id: z.string().nullable().meta({ description: '`X-Request-Id` of the request' }),
    }),
    target: z.object({ type: z.string(), id: z.string() }).nullable().meta({ description: 'What it was done to' }),
    before: z.record(z.string(), z.unknown()).nullable().meta({ description: 'What was there, without secrets' }),
    after: z.record(z.string(), z.unknown()).nullable().meta({
      description: 'What is there now, without secrets; of what was refused, why. `repeats`: how often it came again',
    }),
    hash: z.string().meta({ ...HASH, description: 'SHA-256 of the hash before it and of all that the entry says' }),
  })
  .meta({ id: 'AuditEntry' });
export type AuditRecord = z.infer<typeof auditEntrySchema>;

export const auditPageSchema = z
  .object({
    entries: z.array(auditEntrySchema).meta({ description: 'Newest first' }),
    cursor: z.string().nullable().meta({ description: 'For the next page; null on the last one' }),
    head: z.object({ seq: z.number().int().min(0), hash: z.string().meta(HASH) }).meta({
      description: 'Where the log ends. Kept elsewhere, it shows later whether the log was written anew',
    }),
  })
  .meta({ id: 'AuditPage' });
export type AuditPage = z.infer<typeof auditPageSchema>;

const filters = z.strictObject({
  actor: z.string().min(1).max(254).optional().meta({ description: 'Id or name of who did it' }),
  action: z
    .string()
    .max(100)
    .regex(/^[a-z_]+\.([a-z_]+|\*)$/, 'must be a noun and a verb, such as api_key.create or api_key.*')
    .optional()
    .meta({ description: 'What was done; `api_key.*` for all that was done to API keys', example: 'api_key.*' }),
  target: z.string().min(1).max(600).optional().meta({ description: 'Id of what it was done to' }),
  outcome: z.enum(OUTCOMES).optional(),
  address: z.string().min(1).max(45).optional().meta({ description: 'Where the request came from' }),
  from: z.iso.datetime({ offset: true }).optional().meta({ description: 'The first moment, RFC 3339' }),
  to: z.iso.datetime({ offset: true }).optional().meta({ description: 'The first moment after, RFC 3339' }),
});

function isInOrder({ from, to }: { from?: string | undefined; to?: string | undefined }): boolean {
  return from === undefined || to === undefined || Date.parse(from) <= Date.parse(to);
}
const OUT_OF_ORDER = { path: ['to'], error: 'must not be before `from`' };

export const auditFiltersSchema = filters.refine(isInOrder, OUT_OF_ORDER);
export type AuditFilters = z.infer<typeof auditFiltersSchema>;

const queries = filters.extend({
  cursor: z
    .string()
    .regex(/^[1-9]\d{0,14}$/, 'is not one that a page came with')
    .optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
export const auditQuerySchema = queries.refine(isInOrder, OUT_OF_ORDER);
export type AuditQuery = z.infer<typeof auditQuerySchema>;
