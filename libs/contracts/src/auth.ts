import { z } from 'zod';
import { namespaceSchema, timestampSchema } from './common.js';
import { TIERS } from './rate-limits.js';
import { grantSchema, ROLES } from './permissions.js';

const MAX_KEY_LIFETIME_SECONDS = 10 * 365 * 24 * 3600;

export const loginRequestSchema = z
  .strictObject({
    email: z.email().max(254).meta({ example: 'admin@example.com' }),
    password: z.string().min(1).max(1024).meta({ example: 'correct horse battery staple' }),
  })
  .meta({ id: 'LoginRequest' });
export type LoginRequest = z.infer<typeof loginRequestSchema>;

export const refreshRequestSchema = z
  .strictObject({ refresh_token: z.string().min(1).max(256).meta({ example: 'rt_abc123def456' }) })
  .meta({ id: 'RefreshRequest' });
export type RefreshRequest = z.infer<typeof refreshRequestSchema>;

export const tokenPairSchema = z
  .object({
    access_token: z.string().meta({ description: 'A JWT to be sent as `Authorization: Bearer`' }),
    refresh_token: z.string().meta({
      description: 'Good for one refresh, which may be retried for 10 seconds; using it again later ends the session',
    }),
    token_type: z.literal('Bearer'),
    expires_in: z.number().int().meta({ description: 'Seconds until the access token expires', example: 900 }),
  })
  .meta({ id: 'TokenPair' });
export type TokenPair = z.infer<typeof tokenPairSchema>;

export const identitySchema = z
  .object({
    type: z.enum(['user', 'api_key']),
    id: z.string(),
    name: z.string().meta({ description: 'The e-mail address of a user, the name of an API key' }),
    role: z.enum(ROLES).nullable().meta({ description: 'null for an API key' }),
    permissions: z.array(grantSchema),
    namespace: namespaceSchema,
    key_prefixes: z.array(z.string()).meta({ description: 'Empty: every key of the namespace' }),
    tier: z.enum(TIERS),
  })
  .meta({ id: 'Identity' });
export type Identity = z.infer<typeof identitySchema>;

export const rateLimitSchema = z
  .strictObject({
    requests_per_minute: z.number().int().min(1).max(100_000_000).meta({ example: 1000 }),
    burst_size: z.number().int().min(1).max(10_000_000).meta({ example: 100 }),
  })
  .meta({ id: 'RateLimit' });
export type RateLimit = z.infer<typeof rateLimitSchema>;

export const createApiKeyRequestSchema = z
  .strictObject({
    name: z.string().trim().min(1).max(100).meta({ example: 'Production Cache Access' }),
    permissions: z
      .array(grantSchema)
      .min(1)
      .max(20)
      .meta({ example: ['cache:read', 'cache:write'] }),
    expires_in: z
      .number()
      .int()
      .min(1)
      .max(MAX_KEY_LIFETIME_SECONDS)
      .optional()
      .meta({ description: 'Seconds until the key expires; never when left out', example: 2592000 }),
    namespace: namespaceSchema.optional(),
    key_prefixes: z
      .array(z.string().min(1).max(512))
      .max(32)
      .optional()
      .meta({ description: 'Limits the API key to cache keys that start with one of these', example: ['user:'] }),
    tier: z.enum(TIERS).optional(),
    rate_limit: rateLimitSchema.optional().meta({ description: "Instead of the tier's limits" }),
  })
  .meta({ id: 'CreateApiKeyRequest' });
export type CreateApiKeyRequest = z.infer<typeof createApiKeyRequestSchema>;

export const apiKeySchema = z
  .object({
    key_id: z.string().meta({ example: 'key_01hv3z' }),
    key_hint: z.string().meta({ description: 'The first characters of the key', example: 'ck_live_7Hq2' }),
    name: z.string(),
    permissions: z.array(grantSchema),
    namespace: namespaceSchema,
    key_prefixes: z.array(z.string()),
    tier: z.enum(TIERS),
    rate_limit: rateLimitSchema,
    created_at: timestampSchema,
    created_by: z.string(),
    expires_at: timestampSchema.nullable(),
    last_used_at: timestampSchema.nullable(),
  })
  .meta({ id: 'ApiKey' });
export type ApiKey = z.infer<typeof apiKeySchema>;

export const createdApiKeySchema = apiKeySchema
  .extend({ api_key: z.string().meta({ description: 'Shown this once', example: 'ck_live_abc123def456ghi789' }) })
  .meta({ id: 'CreatedApiKey' });
export type CreatedApiKey = z.infer<typeof createdApiKeySchema>;

export const apiKeyListSchema = z.object({ api_keys: z.array(apiKeySchema) }).meta({ id: 'ApiKeyList' });
export type ApiKeyList = z.infer<typeof apiKeyListSchema>;
