import { z } from 'zod';
import { timestampSchema } from './common.js';

/** Ten years: a longer ttl is more likely milliseconds sent for seconds than meant. */
const MAX_TTL_SECONDS = 315_360_000;

const ttlRule = `must be a whole number of seconds from 0 (no expiry) to ${MAX_TTL_SECONDS}`;
const ttlSchema = z
  .int({ error: ttlRule })
  .min(0, ttlRule)
  .max(MAX_TTL_SECONDS, ttlRule)
  .meta({ description: 'Seconds to live; 0 means no expiry', example: 3600 });
const ttlQuerySchema = z
  .string()
  .regex(/^\d{1,9}$/, ttlRule)
  .transform(Number)
  .pipe(ttlSchema)
  .meta({ description: 'Seconds to live; 0 means no expiry. Wins over `options.ttl`', example: 3600 });

const booleanQuerySchema = z
  .enum(['true', 'false'], { error: 'must be true or false' })
  .transform((text) => text === 'true');

const formatQuerySchema = z
  .enum(['json'], { error: 'must be json' })
  .optional()
  .meta({ description: 'Format of the response' });

export const STRATEGIES = ['write-through', 'write-behind', 'write-around'] as const;
export type Strategy = (typeof STRATEGIES)[number];

export const MERGE_STRATEGIES = ['deep', 'shallow', 'replace'] as const;
export type MergeStrategy = (typeof MERGE_STRATEGIES)[number];

const jsonValueSchema = z.json().meta({ id: 'JsonValue', description: 'Any JSON value, null included' });

export const LAYERS = ['L1', 'L2', 'L3'] as const;
const layerSchema = z.enum(LAYERS);
export type LayerName = z.infer<typeof layerSchema>;

export const readQuerySchema = z.strictObject({
  include_metadata: booleanQuerySchema.optional().meta({ description: 'Include the metadata of the entry' }),
  format: formatQuerySchema,
});
export type ReadQuery = z.infer<typeof readQuerySchema>;

export const writeQuerySchema = z.strictObject({
  ttl: ttlQuerySchema.optional(),
  strategy: z.enum(STRATEGIES).optional(),
  format: formatQuerySchema,
});
export type WriteQuery = z.infer<typeof writeQuerySchema>;

export const patchQuerySchema = z.strictObject({ ttl: ttlQuerySchema.optional(), format: formatQuerySchema });

export const deleteQuerySchema = z.strictObject({
  cascade: booleanQuerySchema
    .optional()
    .meta({ description: 'false: drop the copies in L1 of every node and leave the entry in the layers below' }),
  format: formatQuerySchema,
});
export type DeleteQuery = z.infer<typeof deleteQuerySchema>;

const ifVersionSchema = z.string().min(1).max(64).meta({
  description: 'Only if the entry has this version (its ETag without the quotes); else 409',
  example: '1768472100000042',
});

export const writeOptionsSchema = z
  .strictObject({
    ttl: ttlSchema.optional(),
    if_version: ifVersionSchema.optional(),
    replicate: z.boolean().optional().meta({
      description:
        'Wait until replicas of L3 have confirmed the write, as many as `consistency_level` says: `eventual` none, `quorum` so many that with the master they are a majority, `all`. Too few in time is 504 with `stored: true`',
    }),
  })
  .meta({ id: 'WriteOptions' });
export type WriteOptions = z.infer<typeof writeOptionsSchema>;

/** Body of PUT and POST. The value itself stays text: it is stored as it came. */
export const writeRequestSchema = z
  .strictObject({ value: jsonValueSchema, options: writeOptionsSchema.optional() })
  .meta({ id: 'WriteRequest' });

export const patchRequestSchema = z
  .strictObject({
    value: jsonValueSchema,
    merge_strategy: z.enum(MERGE_STRATEGIES).optional(),
    options: writeOptionsSchema.optional(),
  })
  .meta({ id: 'PatchRequest' });

export const jsonPatchSchema = z
  .array(
    z.object({
      op: z.enum(['add', 'remove', 'replace', 'move', 'copy', 'test']),
      path: z.string(),
      from: z.string().optional(),
      value: jsonValueSchema.optional(),
    }),
  )
  .max(1000)
  .meta({ id: 'JsonPatch', description: 'RFC 6902' });

export const touchRequestSchema = z.strictObject({ ttl: ttlSchema }).meta({ id: 'TouchRequest' });
export type TouchRequest = z.infer<typeof touchRequestSchema>;

export const incrementRequestSchema = z
  .strictObject({
    by: z.number().default(1).meta({ description: 'Added to the value; negative to count down', example: 1 }),
    initial: z.number().default(0).meta({ description: 'Value that a missing entry starts from', example: 0 }),
    ttl: ttlSchema.optional().meta({ description: 'Without it an existing entry keeps its expiry' }),
  })
  .meta({ id: 'IncrementRequest' });

export const readMetadataSchema = z
  .object({
    created_at: timestampSchema,
    updated_at: timestampSchema,
    expires_at: timestampSchema.nullable(),
    hit_count: z.number().int().meta({ description: 'Reads that this node answered from the entry since it holds it' }),
    size_bytes: z.number().int().meta({ description: 'Bytes of the value as stored' }),
    cache_layer: layerSchema,
    version: z.string(),
  })
  .meta({ id: 'ReadMetadata' });

export const readResponseSchema = z
  .object({ key: z.string(), value: jsonValueSchema, metadata: readMetadataSchema.optional() })
  .meta({ id: 'ReadResponse' });

export const writeResponseSchema = z
  .object({
    key: z.string(),
    status: z.enum(['created', 'updated']),
    metadata: z.object({
      created_at: timestampSchema,
      updated_at: timestampSchema,
      expires_at: timestampSchema.nullable(),
      size_bytes: z.number().int(),
      compression_ratio: z.number().meta({ description: 'Stored bytes over raw bytes' }),
      replicated_to: z.array(z.string()).meta({ description: 'Names of the replicas that have confirmed the write' }),
      version: z.string(),
    }),
    cache_layers: z.array(layerSchema).meta({ description: 'The layers that hold the entry now' }),
  })
  .meta({ id: 'WriteResponse' });

export const touchResponseSchema = z
  .object({
    key: z.string(),
    status: z.literal('touched'),
    metadata: z.object({
      created_at: timestampSchema,
      updated_at: timestampSchema,
      expires_at: timestampSchema.nullable(),
      version: z.string(),
    }),
  })
  .meta({ id: 'TouchResponse' });

export const incrementResponseSchema = writeResponseSchema
  .extend({ value: z.number() })
  .meta({ id: 'IncrementResponse' });
