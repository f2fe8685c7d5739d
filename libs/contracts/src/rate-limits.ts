import { z } from 'zod';

export const TIERS = ['free', 'basic', 'pro', 'enterprise'] as const;
export type Tier = (typeof TIERS)[number];

/** What a tier may have beyond single entries. */
export const FEATURES = ['bulk', 'monitoring'] as const;
export type Feature = (typeof FEATURES)[number];

export const LIMIT_STRATEGIES = ['token-bucket', 'sliding-window', 'fixed-window', 'leaky-bucket'] as const;
export type LimitStrategy = (typeof LIMIT_STRATEGIES)[number];

const tier = (requestsPerHour: number, burstSize: number, cacheSizeMb: number | null, features: readonly Feature[]) =>
  z
    .strictObject({
      requests_per_hour: z.number().int().min(1).max(6_000_000_000).default(requestsPerHour),
      burst_size: z.number().int().min(1).max(10_000_000).default(burstSize),
      cache_size_mb: z.number().int().min(1).max(1_000_000_000).nullable().default(cacheSizeMb).meta({
        description: 'MiB that the entries of a namespace may take by what a key of the tier writes; null: any',
      }),
      features: z.array(z.enum(FEATURES)).default([...features]),
    })
    .prefault({});

const limit = z.number().int().min(1).max(6_000_000_000);
const windowSeconds = z.number().int().min(1).max(86_400);

const dimension = (strategy: LimitStrategy, defaultLimit: number, subject: string) => ({
  enabled: z.boolean().default(false),
  strategy: z.enum(LIMIT_STRATEGIES).default(strategy),
  limit: limit.default(defaultLimit).meta({ description: `Requests per window, ${subject}` }),
  window: windowSeconds.default(60).meta({ description: 'Seconds' }),
  burst: z.number().int().min(1).max(10_000_000).default(10_000).meta({
    description: 'Requests that a bucket lets through at once; the strategies with a window have no use for it',
  }),
});

export const rateLimitsSchema = z
  .strictObject({
    enabled: z.boolean().default(true),
    default_tier: z.enum(TIERS).default('basic').meta({ description: 'Tier of an API key made without one' }),
    tiers: z
      .strictObject({
        free: tier(1_000, 50, 100, []),
        basic: tier(10_000, 200, 1024, FEATURES),
        pro: tier(100_000, 1_000, 10 * 1024, FEATURES),
        enterprise: tier(36_000_000, 20_000, null, FEATURES),
      })
      .prefault({}),
    key: z
      .strictObject({
        enabled: z.boolean().default(true),
        strategy: z.enum(LIMIT_STRATEGIES).default('token-bucket'),
      })
      .prefault({})
      .meta({ description: 'Of each API key and user: what its tier or its own `rate_limit` says' }),
    endpoint: z
      .strictObject({
        ...dimension('sliding-window', 600_000, 'of each route on one node, by all callers together'),
        routes: z
          .record(z.string().regex(/^[A-Z]+ \/\S*$/), z.strictObject({ limit, window: windowSeconds }))
          .default({})
          .meta({
            description: 'Limits of single routes, by method and path as the OpenAPI document has them',
            example: { 'POST /v1/auth/login': { limit: 100, window: 60 } },
          }),
      })
      .prefault({}),
    ip: z
      .strictObject(dimension('fixed-window', 60_000, 'of each address, of which a /64 of IPv6 is one'))
      .prefault({}),
    global: z.strictObject(dimension('leaky-bucket', 6_000_000, 'by all callers together')).prefault({}),
  })
  .prefault({});
