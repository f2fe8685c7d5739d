import type { ApiKey, ApiKeyState, Config } from '@cache-system/contracts';
import type { ApiKeyRecord } from './api-key.entity.js';
import { tierLimit } from './rate-limiter.js';

/** Whether a key works at a time, and if not, why. */
export function stateOf({ revokedAt, expiresAt, disabledAt }: ApiKeyRecord, nowMs: number): ApiKeyState {
  if (revokedAt) return 'revoked';
  if (expiresAt && expiresAt.getTime() <= nowMs) return 'expired';
  return disabledAt ? 'disabled' : 'active';
}

/** What the API tells of a key: all but the key itself. */
export function apiKeyView(record: ApiKeyRecord, config: Config, nowMs: number): ApiKey {
  const { previousValidUntil } = record;
  const previousWorks = previousValidUntil !== null && previousValidUntil.getTime() > nowMs;
  return {
    key_id: record.id,
    key_hint: record.hint,
    name: record.name,
    environment: record.environment,
    state: stateOf(record, nowMs),
    permissions: record.permissions,
    namespace: record.namespace,
    key_prefixes: record.keyPrefixes,
    tier: record.tier,
    rate_limit: record.rateLimit ?? tierLimit(config, record.tier),
    has_own_rate_limit: record.rateLimit !== null,
    allowed_ips: record.allowedIps,
    disabled: record.disabledAt !== null,
    created_at: record.createdAt.toISOString(),
    created_by: record.createdBy,
    expires_at: textOf(record.expiresAt),
    last_used_at: textOf(record.lastUsedAt),
    rotated_at: textOf(record.rotatedAt),
    previous_valid_until: previousWorks ? previousValidUntil.toISOString() : null,
    revoked_at: textOf(record.revokedAt),
  };
}

function textOf(time: Date | null): string | null {
  return time?.toISOString() ?? null;
}
