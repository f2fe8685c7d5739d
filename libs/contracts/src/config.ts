import { z } from 'zod';
import { rateLimitsSchema } from './rate-limits.js';
import { securitySchema } from './security.js';
import { serverSchema } from './server.js';
import { sourcesSchema } from './sources.js';

export const EVICTION_POLICIES = ['lru', 'lfu', 'ttl', 'random', 'reject'] as const;
export type EvictionPolicy = (typeof EVICTION_POLICIES)[number];

export const COMPRESSION_ALGORITHMS = ['lz4', 'zstd', 'gzip'] as const;
export type CompressionAlgorithm = (typeof COMPRESSION_ALGORITHMS)[number];

export const CONSISTENCY_LEVELS = ['eventual', 'quorum', 'all'] as const;
export type ConsistencyLevel = (typeof CONSISTENCY_LEVELS)[number];

const ttlDefault = (seconds: number) =>
  z
    .number()
    .int()
    .min(0)
    .max(315_360_000)
    .default(seconds)
    .meta({ description: 'Seconds that an entry lives which was stored without a ttl; 0 means no expiry' });

const deadlineMs = (milliseconds: number) =>
  z
    .number()
    .int()
    .min(10)
    .max(60_000)
    .default(milliseconds)
    .meta({ description: 'Milliseconds after which a call to this layer is given up' });

const addressSchema = z
  .string()
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[\w.-]+):\d{1,5}$/, 'must be host:port, such as redis-1:6379');

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
        eviction_policy: z.enum(EVICTION_POLICIES).default('lru').meta({
          description:
            'Which entry goes when L1 is full: `lru` the least recently used, `lfu` the least often used of late, `ttl` the one that expires first, `random` any, `reject` none: writes get 507',
        }),
        ttl_default: ttlDefault(300),
        outage_grace: z.number().int().min(0).max(86_400).default(60).meta({
          description:
            'Seconds that copies in L1 are served, marked STALE, while the node neither hears of changes nor reaches a shared layer; 0: not at all',
        }),
      })
      .prefault({}),
    l2: z
      .strictObject({
        type: z.enum(['auto', 'embedded', 'redis']).default('auto').meta({
          description:
            '`auto`: Redis where REDIS_URL or `nodes` is set; else nothing where L3 is configured; else the embedded store in DATA_DIR',
        }),
        nodes: z.array(addressSchema).max(16).default([]).meta({
          description:
            'Addresses (`host:port`) of the Redis server and its replicas, of which the master is used, or of the Sentinels where `sentinel_master` is set. Win over the address in REDIS_URL, which still gives user, password, TLS and database',
        }),
        sentinel_master: z
          .string()
          .min(1)
          .max(128)
          .optional()
          .meta({ description: 'Name under which the Sentinels know the master' }),
        max_connections: z
          .number()
          .int()
          .min(1)
          .max(1000)
          .default(100)
          .meta({ description: 'Connections that one node opens at most; more than one only under load' }),
        ttl_default: ttlDefault(3600),
        deadline_ms: deadlineMs(500),
      })
      .prefault({}),
    l3: z
      .strictObject({
        type: z.literal('distributed').default('distributed'),
        cluster_size: z.number().int().min(3).max(1000).default(3).meta({
          description:
            'Masters that the cluster should have: a node that is added becomes a master while there are fewer',
        }),
        replication_factor: z.number().int().min(1).max(6).default(2).meta({
          description: 'Copies that there should be of each entry, that of the master included',
        }),
        consistency_level: z.enum(CONSISTENCY_LEVELS).default('eventual').meta({
          description:
            'Replicas that a write with `options.replicate` waits for: `eventual` none, `quorum` so many that with the master they are a majority, `all`. With `eventual` reads may come from replicas',
        }),
        ttl_default: ttlDefault(86_400),
        deadline_ms: deadlineMs(1000),
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
        coherence: z
          .strictObject({
            max_staleness_ms: z.number().int().min(200).max(10_000).default(1000).meta({
              description:
                'Milliseconds for which a node trusts its L1 without having heard from the other nodes: the longest that an old value can be served while the connections between them fail',
            }),
          })
          .prefault({}),
        strategies: z
          .strictObject({
            default_strategy: z.enum(['write-through', 'write-behind', 'write-around']).default('write-through'),
            write_behind: z
              .strictObject({
                max_attempts: z.number().int().min(1).max(1000).default(20).meta({
                  description:
                    'Attempts to bring a write to its source, after which it is a dead letter. While the breaker of the source is open nothing is attempted',
                }),
                backoff_ms: z.number().int().min(10).max(60_000).default(500).meta({
                  description:
                    'Milliseconds before the second attempt; twice as many before each one after that, and by chance up to half less',
                }),
                max_backoff_ms: z.number().int().min(10).max(3_600_000).default(60_000),
              })
              .prefault({}),
          })
          .prefault({}),
        compression: z
          .strictObject({
            enabled: z.boolean().default(true).meta({
              description: 'Whether values are compressed in the shared layers without being asked to',
            }),
            algorithm: z.enum(COMPRESSION_ALGORITHMS).default('lz4'),
            min_size_bytes: z
              .number()
              .int()
              .min(0)
              .max(64 * 1024 * 1024)
              .default(1024)
              .meta({ description: 'Smaller values are compressed only where `options.compress` says so' }),
          })
          .prefault({}),
        sources: sourcesSchema,
        encryption: z
          .strictObject({
            prefixes: z.array(z.string().min(1).max(512)).max(100).default([]).meta({
              description:
                'Keys that begin with one of these are encrypted in the shared layers, whatever their writer says',
            }),
          })
          .prefault({}),
        events: z
          .strictObject({
            heartbeat: z.number().int().min(1).max(60).default(15).meta({
              description: 'Seconds after which a stream of events on which nothing was sent shows that it is alive',
            }),
            max_streams: z
              .number()
              .int()
              .min(1)
              .max(10_000)
              .default(50)
              .meta({ description: 'Streams of events that one credential may have open on one node' }),
            buffer_mb: z.number().int().min(1).max(1024).default(16).meta({
              description:
                'Mebibytes that the latest events may take on one node: readers can be so far behind, and go on there',
            }),
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
    security: securitySchema,
    rate_limits: rateLimitsSchema,
    server: serverSchema,
  })
  .meta({ id: 'Config' });

export type Config = z.infer<typeof configSchema>;
