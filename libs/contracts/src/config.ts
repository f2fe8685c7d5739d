import { z } from 'zod';

export const TIERS = ['free', 'basic', 'pro', 'enterprise'] as const;
export type Tier = (typeof TIERS)[number];

const ttlDefault = (seconds: number) =>
  z
    .number()
    .int()
    .min(0)
    .max(315_360_000)
    .default(seconds)
    .meta({ description: 'Seconds that an entry lives which was stored without a ttl; 0 means no expiry' });

const deadlineMs = z
  .number()
  .int()
  .min(10)
  .max(60_000)
  .default(500)
  .meta({ description: 'Milliseconds after which a call to this layer is given up' });

const tier = (requestsPerHour: number, burstSize: number) =>
  z
    .strictObject({
      requests_per_hour: z.number().int().min(1).max(6_000_000_000).default(requestsPerHour),
      burst_size: z.number().int().min(1).max(10_000_000).default(burstSize),
    })
    .prefault({});

const layersSchema = z
  .strictObject({
    l1: z
      .strictObject({
        type: z.literal('memory').default('memory'),
        size_mb: z
          .number()
          .int()
          .min(64)
          .max(8192)
          .default(256)
          .meta({ description: 'Mebibytes that the entries in the memory of one node may take' }),
        eviction_policy: z.enum(['lru']).default('lru'),
        ttl_default: ttlDefault(300),
      })
      .prefault({}),
    l2: z
      .strictObject({
        type: z
          .enum(['auto', 'embedded', 'redis'])
          .default('auto')
          .meta({ description: '`auto`: Redis where REDIS_URL is set, else the embedded store in DATA_DIR' }),
        ttl_default: ttlDefault(3600),
        deadline_ms: deadlineMs,
      })
      .prefault({}),
  })
  .prefault({});

/** The whole configuration with its defaults, under the names of the API's documents. */
export const configSchema = z
  .strictObject({
    cache: z
      .strictObject({
        layers: layersSchema,
        strategies: z
          .strictObject({
            default_strategy: z.enum(['write-through', 'write-behind', 'write-around']).default('write-through'),
          })
          .prefault({}),
        limits: z
          .strictObject({
            max_value_bytes: z
              .number()
              .int()
              .min(1)
              .max(64 * 1024 * 1024)
              .default(1024 * 1024),
          })
          .prefault({}),
      })
      .prefault({}),
    security: z
      .strictObject({
        authentication: z
          .strictObject({
            methods: z
              .array(z.enum(['api_key', 'jwt']))
              .min(1)
              .default(['api_key', 'jwt']),
            session_timeout: z
              .number()
              .int()
              .min(300)
              .max(86_400)
              .default(3600)
              .meta({ description: 'Seconds after which a session that was not refreshed ends' }),
            database_outage_grace: z.number().int().min(0).max(3600).default(60).meta({
              description: 'Seconds that credentials seen before go on working while the database does not answer',
            }),
            access_token_ttl: z.number().int().min(60).max(3600).default(900),
            api_key_in_query: z
              .boolean()
              .default(true)
              .meta({ description: 'Whether `?api_key=` is taken; URLs tend to end up in logs of proxies' }),
          })
          .prefault({}),
      })
      .prefault({}),
    rate_limits: z
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
      .prefault({}),
    server: z
      .strictObject({
        drain_timeout: z
          .number()
          .int()
          .min(0)
          .max(300)
          .default(25)
          .meta({ description: 'Seconds that requests in flight get to finish after SIGTERM' }),
        headers_timeout: z.number().int().min(1).max(300).default(10),
        request_timeout: z.number().int().min(1).max(3600).default(30),
        max_connections: z.number().int().min(1).max(1_000_000).default(20_000),
      })
      .prefault({}),
  })
  .meta({ id: 'Config' });

export type Config = z.infer<typeof configSchema>;
