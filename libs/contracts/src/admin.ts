import { z } from 'zod';
import { timestampSchema } from './common.js';

const NODE_ID = { description: 'Of a node of a Redis Cluster its own id (CLUSTER MYID)' };
const EXAMPLE_ID = '07c37dfeb235213a872192d90877d0cd55635b91';

export const apiNodeSchema = z
  .object({
    id: z.string().meta({ example: 'cache-1' }),
    name: z.string().meta({ description: 'NODE_NAME' }),
    is_self: z.boolean().meta({ description: 'It is the node that answers' }),
    state: z.enum(['serving', 'draining', 'silent']).meta({
      description: '`silent`: it has not been heard of lately',
    }),
    last_heard_ms: z.number().int().min(0).meta({ description: 'Milliseconds since it was last heard of' }),
    version: z.string().nullable().meta({ description: 'null where only that node itself knows it' }),
    uptime_seconds: z.number().int().nullable(),
  })
  .meta({ id: 'ApiNode' });
export type ApiNode = z.infer<typeof apiNodeSchema>;

export const storageNodeSchema = z
  .object({
    id: z.string().meta({ ...NODE_ID, example: EXAMPLE_ID }),
    type: z.enum(['embedded', 'redis', 'redis_cluster']),
    address: z.string().nullable().meta({ description: '`host:port`', example: '10.0.0.5:6379' }),
    hostname: z.string().nullable().meta({ description: 'The host name that it announces' }),
    role: z.enum(['master', 'replica']),
    master_id: z.string().nullable().meta({ description: 'Of a replica' }),
    replicas: z.array(z.string()).meta({ description: 'Ids of its replicas' }),
    health: z.enum(['healthy', 'degraded', 'unhealthy']).meta({
      description:
        '`degraded`: it answers, but is not what it should be; `unhealthy`: it does not answer or the others hold it for dead',
    }),
    problems: z.array(z.string()).meta({ description: 'Why it is not healthy' }),
    slots: z
      .object({
        count: z.number().int(),
        ranges: z.array(z.object({ from: z.number().int(), to: z.number().int() })),
        moving: z.number().int().meta({ description: 'Slots that are on the move to or from it right now' }),
      })
      .nullable()
      .meta({ description: 'null where there are no slots' }),
    keys: z.number().int().nullable().meta({ description: 'Keys in it; null when it does not tell' }),
    memory: z
      .object({ used_bytes: z.number().int(), max_bytes: z.number().int().nullable() })
      .nullable()
      .meta({ description: '`max_bytes` is null where no limit is set' }),
    replication: z
      .object({ link: z.enum(['up', 'down']), lag_bytes: z.number().int().nullable() })
      .nullable()
      .meta({
        description: 'Of a replica: its connection to its master, and what it has received and not yet applied',
      }),
    version: z.string().nullable(),
    uptime_seconds: z.number().int().nullable(),
    connected_clients: z.number().int().nullable(),
    operations_per_second: z.number().int().nullable(),
  })
  .meta({ id: 'StorageNode' });
export type StorageNode = z.infer<typeof storageNodeSchema>;

export const clusterStatusSchema = z
  .object({
    state: z.enum(['ok', 'degraded', 'fail']).meta({
      description: '`ok`: all slots are served and all nodes agree; `degraded`: all are served, yet something is wrong',
    }),
    slots_assigned: z.number().int().meta({ description: 'Of 16384' }),
    slots_ok: z.number().int().meta({ description: 'Slots whose master answers' }),
    slots_moving: z.number().int(),
    masters: z.number().int().meta({ description: 'Masters that serve slots' }),
    replicas: z.number().int(),
    wanted_masters: z.number().int().meta({ description: 'cache.layers.l3.cluster_size' }),
    wanted_copies: z.number().int().meta({ description: 'cache.layers.l3.replication_factor' }),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'ClusterStatus' });
export type ClusterStatus = z.infer<typeof clusterStatusSchema>;

export const nodeListSchema = z
  .object({
    api_nodes: z.array(apiNodeSchema),
    storage_nodes: z.array(storageNodeSchema),
    cluster: clusterStatusSchema.nullable().meta({ description: 'null where no Redis Cluster is configured' }),
  })
  .meta({ id: 'NodeList' });
export type NodeList = z.infer<typeof nodeListSchema>;

export const nodeSchema = z.union([apiNodeSchema, storageNodeSchema]).meta({ id: 'Node' });
export type Node = z.infer<typeof nodeSchema>;

export const addNodeRequestSchema = z
  .strictObject({
    address: z
      .string()
      .max(300)
      .regex(/^(\[[0-9A-Fa-f:.]+\]|[\w.-]+):\d{1,5}$/, 'must be host:port, such as redis-7:6379')
      .meta({ description: 'Where the API nodes and the nodes of the cluster reach it', example: '10.0.0.11:6379' }),
    role: z.enum(['auto', 'master', 'replica']).default('auto').meta({
      description:
        '`auto`: a master while the cluster has fewer than `cache.layers.l3.cluster_size`; else a replica where a master has fewer than `replication_factor - 1`; else a master',
    }),
    replica_of: z
      .string()
      .regex(/^[0-9a-f]{40}$/, 'must be the id of a node: 40 hexadecimal digits')
      .optional()
      .meta({ description: 'The master that it becomes a replica of; the one with the fewest replicas if left out' }),
  })
  .refine(({ role, replica_of: replicaOf }) => replicaOf === undefined || role !== 'master', {
    path: ['replica_of'],
    message: 'a master replicates nobody',
  })
  .meta({ id: 'AddNodeRequest' });
export type AddNodeRequest = z.infer<typeof addNodeRequestSchema>;

export const JOB_STATES = ['pending', 'running', 'paused', 'completed', 'failed', 'cancelled'] as const;
export type JobState = (typeof JOB_STATES)[number];

export const JOB_STEPS = ['meet', 'replicate', 'move_slots', 'move_replicas', 'forget', 'reset', 'settle'] as const;
export type JobStep = (typeof JOB_STEPS)[number];

export const nodeJobSchema = z
  .object({
    id: z.string().meta({ example: 'job_4b1c9d0e7f2a3b5c6d8e' }),
    kind: z.enum(['add', 'remove']),
    node: z.object({
      id: z.string().meta({ ...NODE_ID, example: EXAMPLE_ID }),
      address: z.string(),
      role: z.enum(['master', 'replica']).meta({ description: 'What it becomes, or was' }),
      master_id: z.string().nullable(),
    }),
    state: z.enum(JOB_STATES).meta({
      description:
        '`paused`: it got no further, `error` says why, and it can be resumed; `failed`: it broke off for a reason of its own, and can be resumed as well',
    }),
    steps: z.array(z.object({ name: z.enum(JOB_STEPS), state: z.enum(['pending', 'running', 'completed']) })),
    slots_total: z.number().int().meta({ description: 'Slots to move, those moved already included' }),
    slots_moved: z.number().int(),
    keys_moved: z.number().int(),
    bytes_moved: z.number().int().meta({ description: 'Memory that the moved keys took' }),
    warnings: z.array(z.string()).meta({ description: 'What the cluster will lack afterwards' }),
    error: z.string().nullable().meta({ description: 'Why it is not running any more, or last was not' }),
    runs_on: z.string().nullable().meta({ description: 'API node that carries it out' }),
    resumed: z.number().int().meta({ description: 'How often it was taken up again, by hand or by another API node' }),
    created_by: z.string(),
    created_at: timestampSchema,
    started_at: timestampSchema.nullable(),
    updated_at: timestampSchema,
    finished_at: timestampSchema.nullable(),
  })
  .meta({ id: 'NodeJob' });
export type NodeJob = z.infer<typeof nodeJobSchema>;

export const nodeJobListSchema = z.object({ jobs: z.array(nodeJobSchema) }).meta({ id: 'NodeJobList' });
export type NodeJobList = z.infer<typeof nodeJobListSchema>;

const writeBehindKeySchema = z.strictObject({
  namespace: z.string().min(1).max(64),
  key: z.string().min(1).max(512),
});

export const writeBehindSchema = z
  .object({
    depth: z.number().int().min(0).meta({ description: 'Keys of which the source does not have the newest value yet' }),
    oldest_age_seconds: z.number().min(0).nullable().meta({
      description: 'For how long the source has been behind with the oldest of them; null where there is none',
    }),
    dead_letters: z.number().int().min(0).meta({ description: 'Writes that were given up' }),
    risk: z.string().nullable().meta({
      description: 'Why what is waiting may be lost although the layer that keeps it runs; null where nothing is known',
    }),
    node: z
      .object({
        delivered: z.number().int().min(0),
        failures: z.number().int().min(0).meta({ description: 'Attempts that came to nothing' }),
        taken_over: z.number().int().min(0).meta({
          description: 'Writes that another node, or this one before its last start, had left behind',
        }),
        given_up: z.number().int().min(0),
        replayed: z.number().int().min(0).meta({ description: 'Dead letters that somebody had tried again' }),
      })
      .meta({ description: 'What the node that answers has done since it was started' }),
  })
  .meta({ id: 'WriteBehind' });
export type WriteBehindFigures = z.infer<typeof writeBehindSchema>;

export const writeBehindRecordSchema = z
  .object({
    ...writeBehindKeySchema.shape,
    state: z.enum(['waiting', 'dead']),
    since: timestampSchema.meta({
      description: 'Since when the source is behind with the key; of a dead one, when it was given up',
    }),
    written_at: timestampSchema,
    version: z.string().meta({ description: 'Of the entry, as its ETag has it' }),
    stored_bytes: z.number().int().min(0),
    attempts: z.number().int().min(0),
    next_attempt_at: timestampSchema.nullable().meta({ description: 'null: as soon as possible, or never' }),
    reason: z.string().nullable().meta({ description: 'What the last attempt failed of' }),
  })
  .meta({ id: 'WriteBehindRecord' });
export type WriteBehindRecord = z.infer<typeof writeBehindRecordSchema>;

export const writeBehindRecordsSchema = z
  .object({
    records: z.array(writeBehindRecordSchema).meta({ description: 'From the oldest on' }),
    cursor: z.string().nullable().meta({ description: 'For the next page; null on the last one' }),
  })
  .meta({ id: 'WriteBehindRecords' });

export const writeBehindQuerySchema = z.strictObject({
  state: z.enum(['waiting', 'dead']).default('dead'),
  cursor: z.string().max(2048).optional(),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(100)
    .default(100)
    .meta({ description: 'A page may have more, up to twice as many' }),
});
export type WriteBehindQuery = z.infer<typeof writeBehindQuerySchema>;

export const replayRequestSchema = z
  .union([
    z.strictObject({ all: z.literal(true) }),
    z.strictObject({ records: z.array(writeBehindKeySchema).min(1).max(1000) }),
  ])
  .meta({ id: 'ReplayRequest', description: 'All dead letters, or those of these keys', example: { all: true } });
export type ReplayRequest = z.infer<typeof replayRequestSchema>;

export const replayResponseSchema = z
  .object({ replayed: z.number().int().min(0).meta({ description: 'How many there were' }) })
  .meta({ id: 'ReplayResponse' });

export const discardRequestSchema = z
  .strictObject({ records: z.array(writeBehindKeySchema).min(1).max(1000) })
  .meta({ id: 'DiscardRequest', example: { records: [{ namespace: 'default', key: 'book:42' }] } });
export type DiscardRequest = z.infer<typeof discardRequestSchema>;

export const discardResponseSchema = z
  .object({ discarded: z.number().int().min(0).meta({ description: 'How many there were' }) })
  .meta({ id: 'DiscardResponse' });
