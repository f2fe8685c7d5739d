import { z } from 'zod';

export const TIERS = ['free', 'basic', 'pro', 'enterprise'] as const;
export type Tier = (typeof TIERS)[number];

const tier = (requestsPerHour: number, burstSize: number) =>
  z
    .strictObject({
      requests_per_hour: z.number().int().min(1).max(6_000_000_000).default(requestsPerHour),
      burst_size: z.number().int().min(1).max(10_000_000).default(burstSize),
    })
    .prefault({});

export const rateLimitsSchema = z
  .strictObject({
    enabled: z.boolean().default(true),
    default_tier: z.enum(TIERS).default('basic').meta({ description: 'Tier of an API key made without one' }),
    tiers: z
      .strictObject({
        free: tier(1_000, 50),
        basic: tier(10_000, 200),
        pro: tier(100_000, 1_000),
        enterprise: tier(36_000_000, 20_000),
      })
      .prefault({}),
  })
  .prefault({});
