import { timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { allowedIps } from './allowed-ips.js';
import { ApiKeyRecord, RetiredApiKey } from './api-key.entity.js';
import { hashSecret, isMistyped } from './api-key-format.js';
import { stateOf } from './api-key-view.js';
import { principal, type Principal } from './principal.js';

/** Finds out whose API key a text is. */
@Injectable()
export class ApiKeyAuthentication {
  constructor(private readonly database: DataSource) {}

  /** Undefined when the key is unknown, mistyped, expired, disabled or revoked. */
  async authenticate(key: string): Promise<Principal | undefined> {
    if (isMistyped(key)) return undefined;
    const keyHash = hashSecret(key);
    const current = await this.database.getRepository(ApiKeyRecord).findOneBy({ keyHash });
    if (current) return timingSafeEqual(current.keyHash, keyHash) ? principalOf(current, keyHash, Infinity) : undefined;
    // A rotation moves a hash from there to here in one step, so that looking in this order misses none.
    const retired = await this.database.getRepository(RetiredApiKey).findOneBy({ keyHash });
    if (!retired || !timingSafeEqual(retired.keyHash, keyHash)) return undefined;
    const record = await this.database.getRepository(ApiKeyRecord).findOneBy({ id: retired.keyId });
    return record ? principalOf(record, keyHash, retired.validUntil.getTime()) : undefined;
  }
}

function principalOf(record: ApiKeyRecord, keyHash: Buffer, textValidUntilMs: number): Principal | undefined {
  const expiresAtMs = Math.min(record.expiresAt?.getTime() ?? Infinity, textValidUntilMs);
  if (stateOf(record) !== 'active' || expiresAtMs <= Date.now()) return undefined;
  return principal({
    type: 'api_key',
    id: record.id,
    name: record.name,
    role: null,
    grants: record.permissions,
    namespace: record.namespace,
    keyPrefixes: record.keyPrefixes,
    tier: record.tier,
    rateLimit: record.rateLimit,
    allowedIps: allowedIps(record.allowedIps),
    sessionId: null,
    keyHash,
    expiresAtMs,
  });
}
