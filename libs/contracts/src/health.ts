import { z } from 'zod';
import { timestampSchema } from './common.js';

export const COMPONENT_STATUSES = ['healthy', 'degraded', 'unhealthy'] as const;

const componentHealthSchema = z
  .object({
    status: z.enum(COMPONENT_STATUSES),
    response_time_ms: z
      .number()
      .nullable()
      .meta({ description: 'How long the check took; null when it got no answer' }),
    type: z.string().optional().meta({ example: 'redis' }),
    memory_usage_percent: z.number().optional(),
    entries: z.number().int().optional(),
    connections: z
      .object({ active: z.number().int(), max: z.number().int() })
      .optional()
      .meta({ description: 'Connections of this node' }),
    nodes: z
      .object({ healthy: z.number().int(), unhealthy: z.number().int(), total: z.number().int() })
      .optional()
      .meta({ description: 'Nodes of the cluster, as this node can reach them' }),
    error: z.string().optional().meta({ description: 'Why the component is not healthy' }),
  })
  .meta({ id: 'ComponentHealth' });
export type ComponentHealth = z.infer<typeof componentHealthSchema>;

export const healthQuerySchema = z.strictObject({
  detailed: z
    .enum(['true', 'false'])
    .default('false')
    .transform((text) => text === 'true')
    .meta({ description: 'Include the health of each component' }),
  timeout: z.coerce.number().min(0.1).max(60).default(5).meta({ description: 'Seconds to wait for each component' }),
});
export type HealthQuery = z.infer<typeof healthQuerySchema>;

export const healthSchema = z
  .object({
    status: z.enum(COMPONENT_STATUSES),
    timestamp: timestampSchema,
    uptime: z.string().meta({ example: '15d 4h 32m' }),
    version: z.string(),
    components: z.record(z.string(), componentHealthSchema).optional(),
    unreadable_entries: z
      .object({
        no_keys: z.int().meta({ description: 'Sealed, and this node has no encryption keys' }),
        unknown_key: z.int().meta({ description: 'Sealed with a key that this node does not have' }),
        tampered: z.int().meta({ description: 'Not the bytes that were sealed, or not for this key' }),
        damaged: z.int().meta({ description: 'Not the bytes that were compressed' }),
      })
      .optional()
      .meta({
        description: 'How often this node, since it has started, found stored entries that it could not read',
      }),
    overall_performance: z
      .object({
        requests_per_second: z.number(),
        average_response_time_ms: z.number().nullable(),
        cache_hit_ratio: z.number().nullable().meta({ description: 'Of all reads since this node has started' }),
        error_rate: z.number().nullable(),
      })
      .meta({ description: 'This node over the last minute; null where there was no traffic to measure' }),
  })
  .meta({ id: 'Health' });
export type Health = z.infer<typeof healthSchema>;

export const probeSchema = z
  .object({
    status: z.enum(['ok', 'error', 'shutting_down']),
    info: z.record(z.string(), z.unknown()).optional(),
    error: z.record(z.string(), z.unknown()).optional(),
    details: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: 'Probe' });
