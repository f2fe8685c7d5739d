import { z } from 'zod';
import { namespaceSchema } from './common.js';
import { TIERS } from './rate-limits.js';
import { grantSchema, ROLES } from './permissions.js';

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

export const cacheSizeSchema = z
  .object({
    used_bytes: z.number().int().nullable().meta({ description: 'null while it is not known' }),
    limit_bytes: z.number().int().nullable().meta({ description: 'null: there is none' }),
  })
  .meta({ id: 'CacheSize', description: 'What the entries of the namespace take, keys and headers included' });
export type CacheSize = z.infer<typeof cacheSizeSchema>;

export const identitySchema = z
  .object({
    type: z.enum(['user', 'api_key', 'oauth2']),
    id: z.string(),
    name: z
      .string()
      .meta({ description: 'The e-mail address of a user, the name of an API key, the subject of an outside token' }),
    role: z.enum(ROLES).nullable().meta({ description: 'null for who is no user' }),
    permissions: z.array(grantSchema),
    namespace: namespaceSchema,
    key_prefixes: z.array(z.string()).meta({ description: 'Empty: every key of the namespace' }),
    tier: z.enum(TIERS),
    cache_size: cacheSizeSchema,
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
