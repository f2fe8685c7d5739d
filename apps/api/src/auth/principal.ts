import {
  expandGrants,
  type Grant,
  type Permission,
  type RateLimit,
  type Role,
  type Tier,
} from '@cache-system/contracts';
import type { AllowedIps } from './allowed-ips.js';

/** Who is calling, as verified. */
export interface Principal {
  readonly type: 'user' | 'api_key' | 'oauth2';
  readonly id: string;
  /** The e-mail address of a user, the name of an API key, the subject of a token of an outside issuer. */
  readonly name: string;
  readonly role: Role | null;
  readonly grants: readonly Grant[];
  readonly permissions: ReadonlySet<Permission>;
  /** null for a user, who picks one per request. */
  readonly namespace: string | null;
  /** Empty: every key of the namespace. */
  readonly keyPrefixes: readonly string[];
  readonly tier: Tier;
  /** Instead of the tier's limit. */
  readonly rateLimit: RateLimit | null;
  /** Where the credential may be used from; undefined: from everywhere. */
  readonly allowedIps?: AllowedIps | undefined;
  readonly sessionId: string | null;
  /** Of an API key: the hash of the text that was presented, which may be one that a rotation has retired. */
  readonly keyHash?: Buffer;
  /** Milliseconds since the epoch; Infinity when the credential does not expire. */
  readonly expiresAtMs: number;
}

export function principal(fields: Omit<Principal, 'permissions'>): Principal {
  return Object.freeze({ ...fields, permissions: expandGrants(fields.grants) });
}
