import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from './errors.js';

export const timestampSchema = z.iso
  .datetime()
  .meta({ description: 'RFC 3339, UTC', example: '2026-01-15T10:30:00.000Z' });

export const namespaceSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'must be 1 to 64 of a-z, 0-9, "_" and "-", and start with a letter or digit')
  .meta({ description: 'Entries of different namespaces never meet.', example: 'default' });

export const errorSchema = z
  .object({
    error: z.object({
      code: z.enum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]),
      message: z.string(),
      details: z.record(z.string(), z.unknown()),
      metadata: z.object({
        request_id: z.string(),
        timestamp: timestampSchema,
        api_version: z.literal('v1'),
        response_time_ms: z.number().int(),
      }),
    }),
  })
  .meta({ id: 'Error', description: 'The envelope of every error.' });
export type ErrorEnvelope = z.infer<typeof errorSchema>;
