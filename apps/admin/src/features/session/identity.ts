import { expandGrants, type Identity, identitySchema, type Permission } from '@cache-system/contracts';
import { queryOptions, useSuspenseQuery } from '@tanstack/react-query';
import { session } from './session';

export const identityQuery = queryOptions({
  queryKey: ['identity'],
  queryFn: ({ signal }) => session.request('/v1/auth/me', { response: identitySchema, signal }),
  staleTime: 60_000,
});

/** The signed-in user. The route above every page has loaded it. */
export function useIdentity(): Identity {
  return useSuspenseQuery(identityQuery).data;
}

export function may(identity: Identity, permission: Permission): boolean {
  return expandGrants(identity.permissions).has(permission);
}
