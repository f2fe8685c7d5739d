import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { validate } from './validation.js';

const NOTHING_ASKED = Object.freeze({});

/** The query of a request under a schema; the credential, which may be there too, is not its business. */
export function query<T extends object>(schema: z.ZodType<T>, request: FastifyRequest): Partial<T> {
  return request.url.includes('?') ? requiredQuery(schema, request) : NOTHING_ASKED;
}

/** The same where something must be asked. */
export function requiredQuery<T extends object>(schema: z.ZodType<T>, request: FastifyRequest): T {
  const { api_key: _, ...rest } = request.query as Record<string, unknown>;
  return validate(schema, rest);
}
