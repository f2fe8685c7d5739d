import type { FastifyRequest } from 'fastify';
import type { AuditLog } from '../platform/audit/audit-log.js';
import type { ApiError } from '../platform/http/api-error.js';
import { actor } from './caller.js';

/** Where a refusal is worth an entry of the audit log. Elsewhere there may be thousands a second. */
const AUDITED = /^\/v1\/(auth|config|admin)\//;
const MAX_PATH_LENGTH = 200;

/** Notes in the audit log that somebody reached for what they may not do: `after` tells what they lack. */
export function noteRefusal(audit: AuditLog, request: FastifyRequest, { code, details }: ApiError): void {
  // By the route, whose path can be written in more than one way.
  if (code !== 'INSUFFICIENT_PERMISSIONS' || !AUDITED.test(request.routeOptions.url ?? '')) return;
  // Without its query, which may hold a key.
  const [path = ''] = request.url.split('?', 1);
  const entry = {
    action: 'access.refuse',
    outcome: 'refused',
    actor: actor(request),
    target: { type: 'route', id: `${request.method} ${path.slice(0, MAX_PATH_LENGTH)}` },
    after: details,
  } as const;
  // By the route: of other ids there may be any number.
  audit.note(entry, `${request.method} ${request.routeOptions.url ?? ''}`);
}
