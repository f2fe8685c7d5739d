import type { FastifyRequest } from 'fastify';
import { InvalidRequest } from '../platform/http/api-error.js';
import type { Principal } from './principal.js';

const NAMESPACE = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/** The namespace that a request is about: that of its credentials, or for who reaches all of them the one that it names. @throws InvalidRequest */
export function namespaceOf(request: FastifyRequest, principal: Principal): string {
  if (principal.namespace !== null) return principal.namespace;
  const asked = request.headers['x-cache-namespace'];
  if (asked === undefined) return 'default';
  if (typeof asked !== 'string' || !NAMESPACE.test(asked)) {
    throw new InvalidRequest([{ path: 'X-Cache-Namespace', reason: 'must be 1 to 64 of a-z, 0-9, "_" and "-"' }]);
  }
  return asked;
}
