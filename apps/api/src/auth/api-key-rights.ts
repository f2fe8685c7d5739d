import { type Grant, grantsBeyond, type RateLimit, type Tier, TIERS } from '@cache-system/contracts';
import { InsufficientPermissions } from '../platform/http/api-error.js';
import type { Principal } from './principal.js';

/** What an API key may do. */
interface Rights {
  readonly permissions: readonly Grant[];
  readonly namespace: string;
  readonly keyPrefixes: readonly string[];
  readonly tier: Tier;
  readonly rateLimit: RateLimit | null;
  readonly allowedIps: readonly string[];
}

/**
 * Nobody hands on what they lack, nor touches a key that has it: permissions, and for who has limits those limits.
 * @throws InsufficientPermissions that names all of it
 */
export function refuseBeyond(holder: Principal, { permissions, namespace, ...wanted }: Rights): void {
  const lacking: string[] = grantsBeyond(holder.grants, permissions);
  if (holder.namespace !== null && namespace !== holder.namespace) lacking.push(`namespace ${namespace}`);
  if (prefixesBeyond(holder, wanted.keyPrefixes)) lacking.push('key_prefixes');
  if (TIERS.indexOf(wanted.tier) > TIERS.indexOf(holder.tier)) lacking.push(`tier ${wanted.tier}`);
  if (rateBeyond(holder, wanted.rateLimit)) lacking.push('rate_limit');
  if (addressesBeyond(holder, wanted.allowedIps)) lacking.push('allowed_ips');
  if (lacking.length > 0) throw new InsufficientPermissions({ cannot_grant: lacking });
}

/** A key does not make another outlive it. The token of a user ends soon, but not their rights. @throws InsufficientPermissions */
export function refuseOutliving(holder: Principal, expiresAt: Date | null): void {
  if ((expiresAt?.getTime() ?? Infinity) <= lastsUntilMs(holder)) return;
  throw new InsufficientPermissions({ cannot_grant: ['expires_at'] });
}

/** Until when somebody may act, in milliseconds since the epoch. */
export function lastsUntilMs(holder: Principal): number {
  return holder.type === 'api_key' ? holder.expiresAtMs : Infinity;
}

function prefixesBeyond({ keyPrefixes: own }: Principal, wanted: readonly string[]): boolean {
  const isWithin = (prefix: string) => own.some((each) => prefix.startsWith(each));
  return own.length > 0 && (wanted.length === 0 || !wanted.every(isWithin));
}

/** Who has a rate of their own gives no more of it; of the others only the highest tier chooses rates. */
function rateBeyond({ rateLimit: own, tier }: Principal, wanted: RateLimit | null): boolean {
  if (!own) return wanted !== null && tier !== 'enterprise';
  if (!wanted) return true;
  return wanted.requests_per_minute > own.requests_per_minute || wanted.burst_size > own.burst_size;
}

function addressesBeyond({ allowedIps: own }: Principal, wanted: readonly string[]): boolean {
  return own !== undefined && (wanted.length === 0 || !wanted.every((range) => own.covers(range)));
}
