import { z } from 'zod';
import { rateLimitSchema } from './auth.js';
import { namespaceSchema, timestampSchema } from './common.js';
import { grantSchema, PERMISSIONS } from './permissions.js';
import { TIERS } from './rate-limits.js';

const MAX_LIFETIME_SECONDS = 10 * 365 * 24 * 3600;
const MAX_OVERLAP_SECONDS = 7 * 24 * 3600;

export const API_KEY_STATES = ['active', 'disabled', 'expired', 'revoked'] as const;
export type ApiKeyState = (typeof API_KEY_STATES)[number];

export const API_KEY_ENVIRONMENTS = ['live', 'test'] as const;
export type ApiKeyEnvironment = (typeof API_KEY_ENVIRONMENTS)[number];

/** A text for people: in one line, and of characters that every store keeps as they are. */
const line = z
  .string()
  .regex(/^[^\p{Cc}\p{Cs}\u2028\u2029]*$/u, 'must not contain control characters, line breaks or half surrogate pairs');

const addressSchema = z
  .union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6().regex(/\/\d+$/)], {
    error: 'must be an IP address or a range of them, such as 203.0.113.7 or 2001:db8::/32',
  })
  .meta({ example: '203.0.113.0/24' });

/** What may be said of a key when it is made, and later on. */
const fields = {
  name: line.trim().min(1).max(100).meta({ example: 'Production Cache Access' }),
  permissions: z
    .array(grantSchema)
    .min(1)
    .max(20)
    .meta({ example: ['cache:read', 'cache:write'] }),
  expires_in: z.number().int().min(1).max(MAX_LIFETIME_SECONDS),
  key_prefixes: z
    .array(line.min(1).max(512))
    .max(32)
    .meta({ description: 'Limits the API key to cache keys that start with one of these', example: ['user:'] }),
  tier: z.enum(TIERS),
  allowed_ips: z.array(addressSchema).max(64).meta({
    description: 'Limits the API key to clients with these IPv4 and IPv6 addresses, or from these ranges',
  }),
};

export const createApiKeyRequestSchema = z
  .strictObject({
    name: fields.name,
    permissions: fields.permissions,
    expires_in: fields.expires_in
      .optional()
      .meta({ description: 'Seconds until the key expires; never when left out', example: 2592000 }),
    namespace: namespaceSchema.optional(),
    key_prefixes: fields.key_prefixes.optional(),
    tier: fields.tier.optional(),
    rate_limit: rateLimitSchema.optional().meta({ description: "Instead of the tier's limits" }),
    allowed_ips: fields.allowed_ips.optional(),
    environment: z.enum(API_KEY_ENVIRONMENTS).optional().meta({
      description:
        'What the key begins with: `ck_live_`, or `ck_test_` for people and secret scanners to tell it by. Nothing else depends on it',
    }),
  })
  .meta({ id: 'CreateApiKeyRequest' });
export type CreateApiKeyRequest = z.infer<typeof createApiKeyRequestSchema>;

export const changeApiKeyRequestSchema = z
  .strictObject({
    name: fields.name,
    permissions: fields.permissions,
    expires_in: fields.expires_in
      .nullable()
      .meta({ description: 'Seconds from now until the key expires; null: never', example: 2592000 }),
    key_prefixes: fields.key_prefixes,
    tier: fields.tier,
    rate_limit: rateLimitSchema.nullable().meta({ description: "null: the tier's limits again" }),
    allowed_ips: fields.allowed_ips,
    disabled: z.boolean().meta({ description: 'Whether the key is refused for the time being' }),
  })
  .partial()
  .refine((change) => Object.keys(change).length > 0, 'must have a field to change')
  .meta({ id: 'ChangeApiKeyRequest', example: { permissions: ['cache:read'] } });
export type ChangeApiKeyRequest = z.infer<typeof changeApiKeyRequestSchema>;

export const rotateApiKeyRequestSchema = z
  .strictObject({
    overlap_seconds: z.number().int().min(0).max(MAX_OVERLAP_SECONDS).meta({
      description: 'For how long the key goes on working as it was before; 0: it stops at once',
      example: 86400,
    }),
  })
  .meta({ id: 'RotateApiKeyRequest' });
export type RotateApiKeyRequest = z.infer<typeof rotateApiKeyRequestSchema>;

export const apiKeySchema = z
  .object({
    key_id: z.string().meta({ example: 'key_01hv3z' }),
    key_hint: z.string().meta({ description: 'The first characters of the key', example: 'ck_live_7Hq2' }),
    name: z.string(),
    environment: z.enum(API_KEY_ENVIRONMENTS),
    state: z.enum(API_KEY_STATES).meta({
      description: '`revoked` before `expired` before `disabled`, where more than one holds',
    }),
    permissions: z.array(grantSchema),
    namespace: namespaceSchema,
    key_prefixes: z.array(z.string()).meta({ description: 'Empty: every key of the namespace' }),
    tier: z.enum(TIERS),
    rate_limit: rateLimitSchema,
    has_own_rate_limit: z.boolean().meta({ description: "Whether `rate_limit` is the key's own, or its tier's" }),
    allowed_ips: z.array(z.string()).meta({ description: 'Empty: from everywhere' }),
    disabled: z.boolean(),
    created_at: timestampSchema,
    created_by: z.string(),
    expires_at: timestampSchema.nullable(),
    last_used_at: timestampSchema.nullable().meta({ description: 'To about a minute' }),
    rotated_at: timestampSchema.nullable(),
    previous_valid_until: timestampSchema.nullable().meta({
      description: 'Until when the key works as it was before it was rotated; null when it does not',
    }),
    revoked_at: timestampSchema.nullable(),
  })
  .meta({ id: 'ApiKey' });
export type ApiKey = z.infer<typeof apiKeySchema>;

export const createdApiKeySchema = apiKeySchema
  .extend({ api_key: z.string().meta({ description: 'Shown this once', example: 'ck_live_abc123def456ghi789' }) })
  .meta({ id: 'CreatedApiKey' });
export type CreatedApiKey = z.infer<typeof createdApiKeySchema>;

export const apiKeyQuerySchema = z.strictObject({
  name: z.string().min(1).max(100).optional().meta({ description: 'A part of the name, in upper or lower case' }),
  permission: z.enum(PERMISSIONS).optional().meta({ description: 'Keys that hold it, by a wildcard too' }),
  namespace: namespaceSchema.optional(),
  tier: z.enum(TIERS).optional(),
  environment: z.enum(API_KEY_ENVIRONMENTS).optional(),
  state: z.enum(API_KEY_STATES).optional().meta({ description: 'All but those that are revoked, if left out' }),
  cursor: z
    .string()
    .regex(/^key_[0-9a-f]{20}$/, 'must be one that a page has given')
    .optional()
    .meta({ description: 'Of the page before' }),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
export type ApiKeyQuery = z.infer<typeof apiKeyQuerySchema>;

export const apiKeyListSchema = z
  .object({
    api_keys: z.array(apiKeySchema).meta({ description: 'Newest first' }),
    cursor: z.string().nullable().meta({ description: 'For the next page; null on the last one' }),
  })
  .meta({ id: 'ApiKeyList' });
export type ApiKeyList = z.infer<typeof apiKeyListSchema>;
