import type { FastifyRequest } from 'fastify';
import type { Actor } from '../platform/audit/audit-log.js';
import { withoutPort } from './limits/address.js';
import type { Principal } from './principal.js';

/** Who calls a route that is not public. */
export function caller(request: FastifyRequest): Principal {
  if (!request.principal) throw new Error('a route that is not public was entered without a principal');
  return request.principal;
}

/** The caller as the audit log names it; on a public route nobody is known. */
export function actor({ principal, ip, id }: FastifyRequest): Actor {
  return {
    type: principal?.type ?? 'anonymous',
    id: principal?.id ?? null,
    name: principal?.name ?? null,
    address: withoutPort(ip),
    request_id: id,
  };
}
