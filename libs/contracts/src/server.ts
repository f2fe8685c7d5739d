import { z } from 'zod';
import { corsSchema } from './cors.js';
import { overloadSchema } from './overload.js';

export const serverSchema = z
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
    trusted_proxies: z
      .array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], 'must be an IP address or a CIDR block'))
      .max(1000)
      .default([])
      .meta({
        description:
          'Addresses of the proxies before this service, such as `10.0.0.0/8`: only what they say in `X-Forwarded-For` is believed. Read at the start',
      }),
    overload: overloadSchema,
    cors: corsSchema,
    docs: z.boolean().optional().meta({
      description: 'Whether `/docs` and `/docs-json` are served; left out: everywhere but in production',
    }),
  })
  .prefault({});
