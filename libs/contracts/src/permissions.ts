import { z } from 'zod';

/** What a credential may do. `cache:*` and the like stand for every permission of the group, `*` for all. */
export const PERMISSIONS = [
  'cache:read',
  'cache:write',
  'monitor:read',
  'config:read',
  'config:write',
  'admin:read',
  'admin:write',
] as const;
export type Permission = (typeof PERMISSIONS)[number];

export const GRANTS = [...PERMISSIONS, 'cache:*', 'monitor:*', 'config:*', 'admin:*', '*'] as const;
/** A permission or a wildcard over several. */
export type Grant = (typeof GRANTS)[number];
export const grantSchema = z.enum(GRANTS);

export const ROLES = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** What each role of a user may do. */
export const ROLE_GRANTS: Readonly<Record<Role, readonly Grant[]>> = {
  viewer: ['cache:read', 'monitor:read', 'config:read'],
  operator: ['cache:*', 'monitor:read', 'config:read', 'admin:read'],
  admin: ['*'],
};

/** The plain permissions that a list of grants amounts to. */
export function expandGrants(grants: readonly Grant[]): ReadonlySet<Permission> {
  return new Set(PERMISSIONS.filter((permission) => grants.some((grant) => covers(grant, permission))));
}

/** Those of `wanted` that `held` does not cover: what nobody holding `held` may hand on. */
export function grantsBeyond(held: readonly Grant[], wanted: readonly Grant[]): Grant[] {
  const own = expandGrants(held);
  return wanted.filter((grant) => [...expandGrants([grant])].some((permission) => !own.has(permission)));
}

function covers(grant: Grant, permission: Permission): boolean {
  if (grant === '*' || grant === permission) return true;
  return grant.endsWith(':*') && permission.startsWith(grant.slice(0, -1));
}
