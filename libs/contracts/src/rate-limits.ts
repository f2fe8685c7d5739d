import { z } from 'zod';

export const TIERS = ['free', 'basic', 'pro', 'enterprise'] as const;
export type Tier = (typeof TIERS)[number];

/** What a tier may have beyond single entries. */
export const FEATURES = ['bulk', 'monitoring'] as const;
export type Feature = (typeof FEATURES)[number];

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
  })
  .prefault({});
