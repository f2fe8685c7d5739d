import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { ApiError } from '../platform/http/api-error.js';
import { validate } from '../platform/http/validation.js';

/** @throws ApiError NOT_ACCEPTABLE when the caller takes no JSON */
export function requireJsonAccepted(request: FastifyRequest): void {
  const { accept } = request.headers;
  if (accept === undefined || accept === '*/*') return;
  const takes = accept.split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const refused = parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    return !refused && ['*/*', 'application/*', 'application/json'].includes(type);
  });
  if (!takes) throw new ApiError('NOT_ACCEPTABLE', { supported: ['application/json'] });
}

const NOTHING_ASKED = Object.freeze({});

/** The query of a request under a schema; the credential, which may be there too, is not its business. */
export function query<T extends object>(schema: z.ZodType<T>, request: FastifyRequest): Partial<T> {
  if (!request.url.includes('?')) return NOTHING_ASKED;
  const { api_key: _, ...rest } = request.query as Record<string, unknown>;
  return validate(schema, rest);
}
