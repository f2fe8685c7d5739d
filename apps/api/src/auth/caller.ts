import type { FastifyRequest } from 'fastify';
import type { Principal } from './principal.js';

/** Who calls a route that is not public. */
export function caller(request: FastifyRequest): Principal {
  if (!request.principal) throw new Error('a route that is not public was entered without a principal');
  return request.principal;
}
