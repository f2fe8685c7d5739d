import { randomBytes } from 'node:crypto';
import {
  type ApiKey,
  type CreateApiKeyRequest,
  type CreatedApiKey,
  grantsBeyond,
  type RateLimit,
  type Tier,
  TIERS,
} from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource, IsNull } from 'typeorm';
import { InsufficientPermissions, ResourceNotFound } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { ApiKeyRecord } from './api-key.entity.js';
import { hashSecret, isMistyped, keyHint, mintApiKey } from './api-key-format.js';
import { CredentialEpoch } from './credential-epoch.js';
import { principal, type Principal } from './principal.js';
import { tierLimit } from './rate-limiter.js';
import { VerifiedCredentials } from './verified-credentials.js';

const LAST_USED_GRANULARITY_SECONDS = 60;

@Injectable()
export class ApiKeysService {
  constructor(
    private readonly database: DataSource,
    private readonly epochs: CredentialEpoch,
    private readonly verified: VerifiedCredentials,
    private readonly config: LiveConfig,
  ) {}

  /** Makes a key. @throws InsufficientPermissions when it would have more than its maker */
  async create(maker: Principal, request: CreateApiKeyRequest): Promise<CreatedApiKey> {
    const wanted = {
      namespace: request.namespace ?? maker.namespace ?? 'default',
      keyPrefixes: request.key_prefixes ?? [...maker.keyPrefixes],
      tier: request.tier ?? lower(this.config.current.rate_limits.default_tier, maker.tier),
      rateLimit: request.rate_limit ?? null,
    };
    refuseBeyond(maker, request, wanted);
    const key = mintApiKey();
    const record = await this.insert(key, {
      ...wanted,
      name: request.name,
      permissions: request.permissions,
      createdBy: maker.name,
      expiresAt: expiryOf(maker, request.expires_in),
    });
    return { api_key: key, ...this.view(record) };
  }

  /** Stores the operator's own key with every permission, unless it is or was there. Says whether it did. */
  async ensure(key: string, name: string): Promise<boolean> {
    if (await this.records.existsBy({ keyHash: hashSecret(key) })) return false;
    await this.insert(key, {
      name,
      permissions: ['*'],
      namespace: 'default',
      keyPrefixes: [],
      tier: 'enterprise',
      rateLimit: null,
      createdBy: 'bootstrap',
      expiresAt: null,
    });
    return true;
  }

  count(): Promise<number> {
    return this.records.count();
  }

  /** Keys that are not revoked, newest first; an API key sees only those of its namespace. */
  async list(viewer: Principal): Promise<ApiKey[]> {
    const records = await this.records.find({ where: this.visibleTo(viewer), order: { createdAt: 'DESC', id: 'ASC' } });
    return records.map((record) => this.view(record));
  }

  /** @throws ResourceNotFound */
  async read(viewer: Principal, id: string): Promise<ApiKey> {
    const record = await this.records.findOneBy({ id, ...this.visibleTo(viewer) });
    if (!record) throw new ResourceNotFound('api_key', id);
    return this.view(record);
  }

  /** Ends a key for good. @throws ResourceNotFound */
  async revoke(viewer: Principal, id: string): Promise<void> {
    await this.database.transaction(async (transaction) => {
      const { affected } = await transaction.update(
        ApiKeyRecord,
        { id, ...this.visibleTo(viewer) },
        { revokedAt: new Date() },
      );
      if (affected !== 1) throw new ResourceNotFound('api_key', id);
      await this.epochs.advance(transaction);
    });
    this.verified.forgetAll();
  }

  /** Whose key it is. Undefined when it is unknown, expired or revoked. */
  async authenticate(key: string): Promise<Principal | undefined> {
    if (isMistyped(key)) return undefined;
    const record = await this.records.findOneBy({ keyHash: hashSecret(key), revokedAt: IsNull() });
    if (!record || (record.expiresAt && record.expiresAt.getTime() <= Date.now())) return undefined;
    await this.noteUse(record);
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
      sessionId: null,
      expiresAtMs: record.expiresAt?.getTime() ?? Infinity,
    });
  }

  private get records() {
    return this.database.getRepository(ApiKeyRecord);
  }

  private visibleTo(viewer: Principal) {
    return { revokedAt: IsNull(), ...(viewer.namespace !== null && { namespace: viewer.namespace }) };
  }

  private async insert(
    key: string,
    fields: Omit<ApiKeyRecord, 'id' | 'keyHash' | 'hint' | 'createdAt' | 'revokedAt' | 'lastUsedAt'>,
  ): Promise<ApiKeyRecord> {
    return this.records.save({
      ...fields,
      id: `key_${randomBytes(10).toString('hex')}`,
      keyHash: hashSecret(key),
      hint: keyHint(key),
      createdAt: new Date(),
      revokedAt: null,
      lastUsedAt: null,
    });
  }

  private async noteUse(record: ApiKeyRecord): Promise<void> {
    const ageSeconds = record.lastUsedAt ? (Date.now() - record.lastUsedAt.getTime()) / 1000 : Infinity;
    if (ageSeconds > LAST_USED_GRANULARITY_SECONDS) await this.records.update(record.id, { lastUsedAt: new Date() });
  }

  private view(record: ApiKeyRecord): ApiKey {
    return {
      key_id: record.id,
      key_hint: record.hint,
      name: record.name,
      permissions: record.permissions,
      namespace: record.namespace,
      key_prefixes: record.keyPrefixes,
      tier: record.tier,
      rate_limit: record.rateLimit ?? tierLimit(this.config.current, record.tier),
      created_at: record.createdAt.toISOString(),
      created_by: record.createdBy,
      expires_at: record.expiresAt?.toISOString() ?? null,
      last_used_at: record.lastUsedAt?.toISOString() ?? null,
    };
  }
}

/** When a new key expires: when asked, and not after the key that made it. */
function expiryOf(maker: Principal, expiresInSeconds: number | undefined): Date | null {
  const asked = expiresInSeconds === undefined ? Infinity : Date.now() + expiresInSeconds * 1000;
  const expiresAtMs = maker.type === 'api_key' ? Math.min(asked, maker.expiresAtMs) : asked;
  return expiresAtMs === Infinity ? null : new Date(expiresAtMs);
}

function lower(a: Tier, b: Tier): Tier {
  return TIERS.indexOf(a) <= TIERS.indexOf(b) ? a : b;
}

/** Nobody hands on what they lack: permissions, and for a key its namespace, prefixes, tier and rate. */
function refuseBeyond(
  maker: Principal,
  request: CreateApiKeyRequest,
  wanted: { namespace: string; keyPrefixes: string[]; tier: Tier; rateLimit: RateLimit | null },
): void {
  const lacking = grantsBeyond(maker.grants, request.permissions);
  if (lacking.length > 0) throw new InsufficientPermissions({ cannot_grant: lacking });
  if (maker.type === 'user') return;
  if (wanted.namespace !== maker.namespace) {
    throw new InsufficientPermissions({ cannot_grant: [`namespace ${wanted.namespace}`] });
  }
  const within = (prefix: string) => maker.keyPrefixes.some((own) => prefix.startsWith(own));
  if (maker.keyPrefixes.length > 0 && (wanted.keyPrefixes.length === 0 || !wanted.keyPrefixes.every(within))) {
    throw new InsufficientPermissions({ cannot_grant: ['key_prefixes'], allowed_prefixes: maker.keyPrefixes });
  }
  if (TIERS.indexOf(wanted.tier) > TIERS.indexOf(maker.tier)) {
    throw new InsufficientPermissions({ cannot_grant: [`tier ${wanted.tier}`] });
  }
  if (wanted.rateLimit && maker.tier !== 'enterprise') {
    throw new InsufficientPermissions({ cannot_grant: ['rate_limit'] });
  }
  if (maker.rateLimit && !isWithin(wanted.rateLimit, maker.rateLimit)) {
    throw new InsufficientPermissions({ cannot_grant: ['rate_limit'], allowed: maker.rateLimit });
  }
}

function isWithin(wanted: RateLimit | null, own: RateLimit): boolean {
  if (!wanted) return false;
  return wanted.requests_per_minute <= own.requests_per_minute && wanted.burst_size <= own.burst_size;
}
