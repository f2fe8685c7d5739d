import { z } from 'zod';

export const overloadSchema = z
  .strictObject({
    max_in_flight: z.number().int().min(1).max(100_000).default(1000).meta({
      description:
        'Requests that one node works on at the same time; others get 503. For `/v1/admin`, `/v1/config` and `/v1/monitor` twice as many, for health checks any number. Four times as many may have a body and no answer',
    }),
    max_event_loop_delay_ms: z.number().int().min(5).max(60_000).default(25).meta({
      description:
        'Milliseconds by which the event loop may be late, and that a request may wait to begin, before fewer are taken at the same time',
    }),
    max_body_mb: z.number().int().min(1).max(65_536).default(256).meta({
      description:
        'Mebibytes of request bodies, whole or in part, that one node holds; beyond, requests with a body get 503, and at a quarter more the newest unfinished are cut off',
    }),
  })
  .prefault({});
