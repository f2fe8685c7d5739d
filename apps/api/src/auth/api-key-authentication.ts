import { timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { DatabaseClock } from '../platform/postgres/database-clock.js';
import { allowedIps } from './allowed-ips.js';
import { ApiKeyRecord, RetiredApiKey } from './api-key.entity.js';
import { hashSecret, isMistyped } from './api-key-format.js';
import { stateOf } from './api-key-view.js';
import { principal, type Principal } from './principal.js';

/** Finds out whose API key a text is. */
@Injectable()
export class ApiKeyAuthentication {
  constructor(
    private readonly database: DataSource,
    private readonly clock: DatabaseClock,
  ) {}

  /** Undefined when the key is unknown, mistyped, expired, disabled or revoked. */
  async authenticate(key: string): Promise<Principal | undefined> {
    if (isMistyped(key)) return undefined;
    const keyHash = hashSecret(key);
    const current = await this.database.getRepository(ApiKeyRecord).findOneBy({ keyHash });
    if (current) return timingSafeEqual(current.keyHash, keyHash) ? this.principalOf(current, Infinity) : undefined;
    // A rotation moves a hash from there to here in one step, so that looking in this order misses none.
    const retired = await this.database.getRepository(RetiredApiKey).findOneBy({ keyHash });
    if (!retired || !timingSafeEqual(retired.keyHash, keyHash)) return undefined;
    const record = await this.database.getRepository(ApiKeyRecord).findOneBy({ id: retired.keyId });
    return record ? this.principalOf(record, retired.validUntil.getTime(), keyHash) : undefined;
  }

  private principalOf(record: ApiKeyRecord, textValidUntilMs: number, keyHash = record.keyHash): Principal | undefined {
    const nowMs = this.clock.nowMs();
    const expiresAtMs = Math.min(record.expiresAt?.getTime() ?? Infinity, textValidUntilMs);
    if (stateOf(record, nowMs) !== 'active' || expiresAtMs <= nowMs) return undefined;
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
}
