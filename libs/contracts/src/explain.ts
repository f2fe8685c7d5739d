import { z } from 'zod';
import { timestampSchema } from './common.js';
import { LAYERS, placeSchema } from './layers.js';

const layerSchema = z.enum(LAYERS);
const durationSchema = z.number().min(0);

const layerStepSchema = z.object({
  layer: layerSchema,
  outcome: z.enum(['hit', 'miss', 'stale', 'fenced', 'skipped', 'failed']).meta({
    description:
      '`stale`: it has an entry that is not current any more. `fenced`: it has one that may be older than what has happened to the key. `skipped`: it was not asked',
  }),
  reason: z.string().nullable().meta({ description: 'Where the outcome does not say it all' }),
  duration_ms: durationSchema,
});

const fenceSchema = z.object({
  layer: layerSchema,
  outcome: z.enum(['kept', 'sent', 'overtaken', 'no_room']).meta({
    description:
      '`kept`: it has a copy now. `sent`: it takes one, if it knows of nothing newer; nobody waits for that. `overtaken`: a change of the key came while the entry was on its way, so it took none',
  }),
});

const tagCheckSchema = z.object({
  tag: z.string(),
  stored_generation: z.string().meta({ description: 'Under which the entry was written', example: '1768472100000017' }),
  current_generation: z
    .string()
    .nullable()
    .meta({ description: 'That of now: another one ends the entry. null: the tag is gone' }),
});

const leaseSchema = z.object({
  state: z.enum(['free', 'taken', 'granted', 'used', 'unknown']).meta({
    description:
      '`taken`: somebody else had it when this read asked. `granted`: this read has got it. `used`: this read got it to ask the source. `unknown`: the layer that gives it could not be asked',
  }),
  expires_at: timestampSchema.nullable(),
});

const sourceCallSchema = z.object({
  name: z.string(),
  outcome: z.enum(['not_asked', 'pending', 'found', 'unchanged', 'missing', 'failed']).meta({
    description:
      '`pending`: it is being asked, and this read did not wait. `unchanged`: by its ETag what was stale is still so',
  }),
  reason: z.string().nullable(),
  shared: z.boolean().meta({ description: 'The call is that of another read of this node, which was under way' }),
  kept: z
    .boolean()
    .nullable()
    .meta({ description: 'Whether this answer of it is in the cache now; null: there is none' }),
  duration_ms: durationSchema.nullable().meta({ description: 'null where it was not asked, or has not answered yet' }),
});

/** Why a read was answered as it was: what was written down while it was done, not found out afterwards. */
export const explainSchema = z
  .object({
    result: z.string().meta({ description: 'Why the answer is what it is, in one sentence' }),
    status: z.enum(['hit', 'stale', 'miss', 'error']),
    layer: placeSchema.nullable().meta({ description: 'What the answer is from; null where there is no entry in it' }),
    duration_ms: durationSchema.meta({
      description: 'Of the read, without what comes before it and without finding out who has the lease',
    }),
    layers: z.array(layerStepSchema).meta({
      description: 'In the order in which they were asked. One that was asked twice comes twice',
    }),
    looks: z.number().int().min(1).meta({
      description: 'How often the layers were asked by a read that waits with a lease; `layers` tells of the last time',
    }),
    fences: z.array(fenceSchema).meta({
      description: 'What became of the copies for the layers above the one that had the entry',
    }),
    tags: z.array(tagCheckSchema).meta({ description: 'Of the entry, as they were compared' }),
    lease: leaseSchema.nullable().meta({
      description: 'The lease to fill the key; null where there is a current entry, and so nothing to lease',
    }),
    source: sourceCallSchema.nullable().meta({ description: 'null where the key has none' }),
    backplane: z
      .object({ trusted: z.boolean(), epoch: z.number().int() })
      .meta({ description: 'Whether this node had heard of all changes, as the read began. L1 is used only then' }),
  })
  .meta({ id: 'Explain' });
export type Explain = z.infer<typeof explainSchema>;
