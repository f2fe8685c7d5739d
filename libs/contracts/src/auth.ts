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
    refresh_token: z.string().meta({ description: 'Good for one refresh; using it twice ends the session' }),
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
