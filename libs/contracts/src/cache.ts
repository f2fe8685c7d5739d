import { z } from 'zod';
import { timestampSchema } from './common.js';
import { COMPRESSION_ALGORITHMS } from './config.js';
import { explainSchema } from './explain.js';
import { placeSchema } from './layers.js';

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

export const FORMATS = ['json', 'msgpack', 'protobuf', 'bson'] as const;

const formatQuerySchema = z
  .enum(FORMATS, { error: `must be one of ${FORMATS.join(', ')}` })
  .optional()
  .meta({ description: 'Format of the response' });

export const STRATEGIES = ['write-through', 'write-behind', 'write-around'] as const;
export type Strategy = (typeof STRATEGIES)[number];

export const MERGE_STRATEGIES = ['deep', 'shallow', 'replace'] as const;
export type MergeStrategy = (typeof MERGE_STRATEGIES)[number];

const jsonValueSchema = z.json().meta({ id: 'JsonValue', description: 'Any JSON value, null included' });

export const readQuerySchema = z.strictObject({
  lease: z
    .string()
    .regex(/^\d{1,3}$/, 'must be 1 to 300 seconds')
    .transform(Number)
    .pipe(z.int().min(1, 'must be 1 to 300 seconds').max(300, 'must be 1 to 300 seconds'))
    .optional()
    .meta({
      description:
        'Seconds for which the first caller that misses gets the right to fill the key: 404 with `X-Cache-Lease`, to be sent with the PUT. Needs `cache:write`',
      example: 10,
    }),
  include_metadata: booleanQuerySchema.optional().meta({ description: 'Include the metadata of the entry' }),
  explain: booleanQuerySchema.optional().meta({
    description: 'Say why the answer is what it is, in `explain`, or in the `details` of an error. Never 304',
  }),
  format: formatQuerySchema,
});
export type ReadQuery = z.infer<typeof readQuerySchema>;
/** Without a body there is nothing to explain in. */
export const headQuerySchema = readQuerySchema.omit({ explain: true });

export const writeQuerySchema = z.strictObject({
  ttl: ttlQuerySchema.optional(),
  strategy: z.enum(STRATEGIES).optional(),
  format: formatQuerySchema,
});
export type WriteQuery = z.infer<typeof writeQuerySchema>;

export const objectWriteQuerySchema = z.strictObject({ ttl: ttlQuerySchema.optional() });
export const objectQuerySchema = z.strictObject({});

export const patchQuerySchema = z.strictObject({ ttl: ttlQuerySchema.optional(), format: formatQuerySchema });

/** As long as a key may be. */
const MAX_KEY_CHARACTERS = 512;
const MAX_TAGS = 32;
export const MAX_BULK_KEYS = 1000;

/** Layers speak UTF-8, which has no lone surrogates: those would come back as other characters. */
const WELL_FORMED = /^\P{Surrogate}*$/u;

const tagSchema = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\u0000-\u001f\u007f-\u009f]*$/u, 'must not contain control characters')
  .regex(WELL_FORMED, 'must be well-formed Unicode')
  .meta({ example: 'product' });
const textSchema = z.string().min(1).max(MAX_KEY_CHARACTERS).regex(WELL_FORMED, 'must be well-formed Unicode');
const patternSchema = textSchema.meta({
  description: 'A glob: `*` any text, `?` one character, `[a-z]` one of these, `\\` takes the next one literally',
  example: 'user:*',
});
export const keyPrefixSchema = textSchema.meta({ example: 'user:' });
const dryRunSchema = booleanQuerySchema
  .optional()
  .meta({ description: 'Count what would be deleted, with a sample, and delete nothing' });

export const deleteQuerySchema = z
  .strictObject({
    pattern: patternSchema.optional().meta({
      description: 'Delete all keys that match this glob instead; the key in the path does not matter then',
    }),
    dry_run: dryRunSchema,
    cascade: booleanQuerySchema
      .optional()
      .meta({ description: 'false: drop the copies in L1 of every node and leave the entry in the layers below' }),
    format: formatQuerySchema,
  })
  .refine(({ pattern, dry_run }) => dry_run === undefined || pattern !== undefined, {
    path: ['dry_run'],
    error: 'is for a pattern',
  })
  .refine(({ pattern, cascade }) => cascade === undefined || pattern === undefined, {
    path: ['cascade'],
    error: 'is for one key, not for a pattern',
  });
export type DeleteQuery = z.infer<typeof deleteQuerySchema>;

const ifVersionSchema = z.string().min(1).max(64).meta({
  description: 'Only if the entry has this version (its ETag without the quotes); else 409',
  example: '1768472100000042',
});

const staleSchema = z.int().min(0).max(MAX_TTL_SECONDS).optional();

export const writeOptionsSchema = z
  .strictObject({
    ttl: ttlSchema.optional(),
    if_version: ifVersionSchema.optional(),
    tags: z
      .array(tagSchema)
      .max(MAX_TAGS)
      .optional()
      .meta({
        description: 'By which the entry can be invalidated together with others',
        example: ['user', 'session'],
      }),
    compress: z
      .union([z.boolean(), z.enum(COMPRESSION_ALGORITHMS)])
      .optional()
      .meta({
        description:
          'true: compress in the shared layers with the configured algorithm, whatever the size; false: do not; left out: as configured. Kept only where it pays',
      }),
    encrypt: z.boolean().optional().meta({
      description: 'Encrypt in the shared layers (AES-256-GCM); always for keys in `cache.encryption.prefixes`',
    }),
    ttl_jitter: z.number().min(0).max(1).optional().meta({
      description: 'Shorten the ttl by chance, by up to this part of it, so that entries do not all end at once',
    }),
    sliding: z.boolean().optional().meta({ description: 'Each read renews the ttl' }),
    stale_while_revalidate: staleSchema.meta({
      description:
        'Seconds after the ttl in which the entry, if its key has a source, is still served (`STALE`) while one caller fetches it anew',
    }),
    stale_if_error: staleSchema.meta({
      description: 'Seconds after the ttl in which the entry, if its key has a source, is served where that fails',
    }),
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
    size_bytes: z.number().int().meta({ description: 'Bytes of the value, before it is compressed' }),
    cache_layer: placeSchema,
    version: z.string(),
  })
  .meta({ id: 'ReadMetadata' });

export const readResponseSchema = z
  .object({
    key: z.string(),
    value: jsonValueSchema,
    metadata: readMetadataSchema.optional(),
    explain: explainSchema.optional(),
  })
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
    cache_layers: z.array(placeSchema).meta({ description: 'The layers that hold the entry now' }),
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

export const deleteManyQuerySchema = z
  .strictObject({
    pattern: patternSchema.optional(),
    tag: tagSchema.optional(),
    dry_run: dryRunSchema,
    format: formatQuerySchema,
  })
  .refine(({ pattern, tag }) => (pattern === undefined) !== (tag === undefined), 'needs either pattern or tag');
export type DeleteManyQuery = z.infer<typeof deleteManyQuerySchema>;

export const listQuerySchema = z.strictObject({
  pattern: patternSchema.optional(),
  prefix: keyPrefixSchema.optional(),
  tag: tagSchema.optional(),
  cursor: z.string().max(12_000).optional().meta({ description: '`cursor` of the page before' }),
  limit: z
    .string()
    .regex(/^\d{1,4}$/, 'must be 1 to 1000')
    .transform(Number)
    .pipe(z.int().min(1).max(1000))
    .optional()
    .meta({ description: 'Keys on a page, 100 unless given', example: 100 }),
  format: formatQuerySchema,
});
export type ListQuery = z.infer<typeof listQuerySchema>;

const listedSchema = z.object({
  key: z.string(),
  created_at: timestampSchema,
  updated_at: timestampSchema,
  expires_at: timestampSchema.nullable(),
  version: z.string(),
  size_bytes: z.number().int(),
  tags: z.array(z.string()).optional(),
});

export const listResponseSchema = z
  .object({
    keys: z.array(listedSchema),
    cursor: z.string().nullable().meta({
      description: 'For the next page; null on the last. A page may be short, or empty, and not the last',
    }),
  })
  .meta({ id: 'ListResponse' });

/** What a deletion of many entries has come to. */
const deletionSchema = z.object({
  deleted: z.number().int().meta({ description: 'Entries that were deleted; with `dry_run` those that would be' }),
  pattern: z.string().optional(),
  tag: z.string().optional(),
  dry_run: z.literal(true).optional(),
  sample: z.array(z.string()).optional().meta({ description: 'Some of the keys, with `dry_run`' }),
  duration_ms: z.number().int(),
});

export const deletionJobSchema = z
  .object({
    id: z.string(),
    status: z.enum(['running', 'done', 'failed']),
    pattern: z.string().optional(),
    prefix: z.string().optional(),
    tag: z.string().optional(),
    dry_run: z.literal(true).optional(),
    scanned: z.number().int(),
    deleted: z.number().int(),
    started_at: timestampSchema,
    ended_at: timestampSchema.nullable(),
    reason: z.string().optional().meta({ description: 'Of a failure' }),
  })
  .meta({ id: 'DeletionJob' });
export type DeletionJob = z.infer<typeof deletionJobSchema>;

export const deleteManyResponseSchema = deletionSchema
  .extend({
    job: deletionJobSchema.optional().meta({ description: 'Where it takes longer, it goes on: ask for the job' }),
  })
  .meta({ id: 'DeleteManyResponse' });

export const invalidateRequestSchema = z
  .strictObject({
    keys: z.array(z.string()).min(1).max(MAX_BULK_KEYS).optional(),
    tags: z.array(tagSchema).min(1).max(MAX_TAGS).optional(),
    pattern: patternSchema.optional(),
    prefix: keyPrefixSchema.optional(),
    dry_run: z.boolean().optional(),
  })
  .refine(
    ({ keys, tags, pattern, prefix }) => [keys, tags, pattern, prefix].some((each) => each !== undefined),
    'needs keys, tags, pattern or prefix',
  )
  .meta({ id: 'InvalidateRequest' });
export type InvalidateRequest = z.infer<typeof invalidateRequestSchema>;

export const invalidateResponseSchema = z
  .object({
    invalidated: z
      .object({
        keys: z.number().int().optional(),
        tags: z.number().int().optional(),
        pattern: z.number().int().optional(),
        prefix: z.number().int().optional(),
      })
      .meta({
        description:
          'Entries that were deleted, by what was asked; for tags how many of them entries had been stored with',
      }),
    dry_run: z.literal(true).optional(),
    sample: z.array(z.string()).optional(),
    jobs: z.array(deletionJobSchema).optional(),
    duration_ms: z.number().int(),
  })
  .meta({ id: 'InvalidateResponse' });

const maxConcurrentSchema = z
  .int()
  .min(1)
  .max(1000)
  .optional()
  .meta({ description: 'How many of the keys are worked on at a time; all at once unless given' });

const bulkKeysSchema = z.array(z.string()).min(1).max(MAX_BULK_KEYS);

export const bulkGetRequestSchema = z
  .strictObject({
    keys: bulkKeysSchema,
    options: z
      .strictObject({ include_metadata: z.boolean().optional(), max_concurrent: maxConcurrentSchema })
      .optional(),
  })
  .meta({ id: 'BulkGetRequest' });
export type BulkGetRequest = z.infer<typeof bulkGetRequestSchema>;

const itemErrorSchema = z.string().meta({ description: 'What went wrong with this key' });

export const bulkGetResponseSchema = z
  .object({
    results: z.record(
      z.string(),
      z.object({
        status: z.enum(['hit', 'miss', 'error']),
        value: jsonValueSchema.optional(),
        cache_layer: placeSchema.optional(),
        metadata: readMetadataSchema.optional(),
        error: itemErrorSchema.optional(),
        code: z.string().optional().meta({ description: 'Error code, as of the call for one key' }),
      }),
    ),
    summary: z.object({
      total_keys: z.number().int(),
      hits: z.number().int(),
      misses: z.number().int(),
      errors: z.number().int().optional(),
      hit_ratio: z.number(),
    }),
  })
  .meta({ id: 'BulkGetResponse' });

export const bulkSetEntrySchema = z.strictObject({
  key: z.string(),
  value: jsonValueSchema,
  ttl: ttlSchema.optional(),
  options: writeOptionsSchema.optional(),
});

/** Body of a bulk set; the values stay as they came. */
export const bulkSetRequestSchema = z
  .strictObject({
    entries: z.array(bulkSetEntrySchema).min(1).max(MAX_BULK_KEYS),
    options: z
      .strictObject({
        ...writeOptionsSchema.omit({ if_version: true }).shape,
        strategy: z.enum(STRATEGIES).optional(),
        max_concurrent: maxConcurrentSchema,
      })
      .optional()
      .meta({ description: 'For all entries that do not say otherwise themselves' }),
  })
  .meta({ id: 'BulkSetRequest' });

export const bulkSetResponseSchema = z
  .object({
    results: z.record(
      z.string(),
      z.object({
        status: z.enum(['created', 'updated', 'error']),
        version: z.string().optional(),
        expires_at: timestampSchema.nullable().optional(),
        cache_layers: z.array(placeSchema).optional(),
        error: itemErrorSchema.optional(),
        code: z.string().optional(),
      }),
    ),
    summary: z.object({
      total_keys: z.number().int(),
      created: z.number().int(),
      updated: z.number().int(),
      errors: z.number().int(),
    }),
  })
  .meta({ id: 'BulkSetResponse' });

export const bulkDeleteRequestSchema = z
  .strictObject({
    keys: bulkKeysSchema,
    options: z.strictObject({ max_concurrent: maxConcurrentSchema }).optional(),
  })
  .meta({ id: 'BulkDeleteRequest' });
export type BulkDeleteRequest = z.infer<typeof bulkDeleteRequestSchema>;

export const bulkDeleteResponseSchema = z
  .object({
    results: z.record(
      z.string(),
      z.object({
        status: z.enum(['deleted', 'miss', 'error']),
        deleted_from: z.array(placeSchema).optional(),
        error: itemErrorSchema.optional(),
        code: z.string().optional(),
      }),
    ),
    summary: z.object({
      total_keys: z.number().int(),
      deleted: z.number().int(),
      misses: z.number().int(),
      errors: z.number().int(),
    }),
  })
  .meta({ id: 'BulkDeleteResponse' });
