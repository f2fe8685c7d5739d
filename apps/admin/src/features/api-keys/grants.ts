import { type Grant, GRANTS, grantsBeyond } from '@cache-system/contracts';

const MEANINGS: Readonly<Record<Grant, string>> = {
  'cache:read': 'Read entries',
  'cache:write': 'Store, change and delete entries',
  'cache:*': 'Everything with entries',
  'monitor:read': 'Health and figures',
  'monitor:*': 'All of monitoring',
  'config:read': 'See the configuration',
  'config:write': 'Change the configuration',
  'config:*': 'All of the configuration',
  'admin:read': 'See API keys and users',
  'admin:write': 'Create and revoke API keys',
  'admin:*': 'All of administration',
  '*': 'Everything',
};

const GROUPS = [
  { group: 'Cache', prefix: 'cache:' },
  { group: 'Monitoring', prefix: 'monitor:' },
  { group: 'Configuration', prefix: 'config:' },
  { group: 'Administration', prefix: 'admin:' },
  { group: 'All', prefix: '*' },
] as const;

export const meaningOf = (grant: Grant): string => MEANINGS[grant];

/** What somebody who holds `held` may hand on, in groups to choose from. */
export function grantable(held: readonly Grant[]): { group: string; items: Grant[] }[] {
  const beyond = grantsBeyond(held, GRANTS);
  return GROUPS.map(({ group, prefix }) => ({
    group,
    items: GRANTS.filter((grant) => grant.startsWith(prefix) && !beyond.includes(grant)),
  })).filter(({ items }) => items.length > 0);
}
