import { InsufficientPermissions } from '../platform/http/api-error.js';
import type { Principal } from '../auth/principal.js';

/** The namespace of who runs the service, in which the first key is. */
const OPERATORS = 'default';

/**
 * A Redis Cluster holds the entries of all namespaces, so who is limited to one of them, or to prefixes, does not change it.
 * @throws InsufficientPermissions
 */
export function refuseTenants({ namespace, keyPrefixes }: Principal): void {
  if ((namespace === null || namespace === OPERATORS) && keyPrefixes.length === 0) return;
  throw new InsufficientPermissions({
    reason: 'nodes hold the entries of all namespaces, and these credentials have one',
  });
}
