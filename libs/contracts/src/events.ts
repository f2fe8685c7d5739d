import { z } from 'zod';
import { timestampSchema } from './common.js';
import { keyPrefixSchema } from './cache.js';

export const eventsQuerySchema = z.strictObject({
  prefix: keyPrefixSchema.optional().meta({ description: 'Only of keys that begin so', example: 'user:' }),
});

const atSchema = timestampSchema.meta({ description: 'When the node that sends the event heard of it' });

export const setEventSchema = z.object({
  key: z.string(),
  version: z.string().meta({ description: 'As the ETag of the entry has it' }),
  at: atSchema,
});

export const goneEventSchema = z.object({ key: z.string(), at: atSchema });

export const invalidateEventSchema = z
  .object({
    prefix: z.string().meta({ description: 'How the keys begin; empty: all of them' }),
    pattern: z.string().optional().meta({ description: 'A glob that the keys match as well' }),
    tag: z.string().optional().meta({ description: 'A tag that the entries carry as well' }),
    at: atSchema,
  })
  .meta({ description: 'The entries of which all of this holds are gone, or go one by one' });

export const noticeEventSchema = z.object({
  reason: z.enum(['position_unknown', 'changes_missed', 'too_slow', 'node_stopping', 'not_authorized']),
  message: z.string(),
});
export type NoticeEvent = z.infer<typeof noticeEventSchema>;

/** What the line `data` of each kind of event holds. */
export const cacheEventSchema = z
  .union([
    setEventSchema.meta({ title: 'set' }),
    goneEventSchema.meta({ title: 'delete, expire' }),
    invalidateEventSchema.meta({ title: 'invalidate' }),
    noticeEventSchema.meta({ title: 'reset, overflow, end' }),
  ])
  .meta({ id: 'CacheEvent' });
