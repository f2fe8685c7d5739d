import type { ClusterChangeRefused, RefusalReason } from '@cache-system/cache-engine';
import { ApiError, InvalidRequest, ResourceNotFound } from '../platform/http/api-error.js';

type ConflictReason = RefusalReason | 'no_cluster' | 'job_active' | 'job_over' | 'api_node';

/** What is asked for does not go together with how things stand. */
export class ClusterConflict extends ApiError {
  constructor(reason: ConflictReason, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super('CACHE_KEY_CONFLICT', { reason, ...details }, { message });
  }
}

/** The request is at fault, or the state that the cluster is in. */
export function refusalError(refused: ClusterChangeRefused, request: 'add' | { readonly remove: string }): ApiError {
  const { reason, message } = refused;
  const options = { cause: refused };
  switch (reason) {
    case 'unreachable':
    case 'access_denied':
    case 'not_cluster_enabled':
    case 'not_empty':
      return new InvalidRequest([{ path: 'address', reason: message }], options);
    case 'not_a_master':
      return new InvalidRequest([{ path: 'replica_of', reason: message }], options);
    case 'unknown_node':
      return request === 'add'
        ? new InvalidRequest([{ path: 'replica_of', reason: message }], options)
        : new ResourceNotFound('node', request.remove);
    default:
      return new ClusterConflict(reason, message);
  }
}
