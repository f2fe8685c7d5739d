import { randomBytes } from 'node:crypto';
import {
  type ApiKey,
  type ChangeApiKeyRequest,
  type CreateApiKeyRequest,
  type CreatedApiKey,
  type RotateApiKeyRequest,
  type Tier,
  TIERS,
} from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager, IsNull } from 'typeorm';
import { type Actor, AuditLog } from '../platform/audit/audit-log.js';
import { InsufficientPermissions, ResourceNotFound } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { DatabaseClock } from '../platform/postgres/database-clock.js';
import { ApiKeyRecord, RetiredApiKey } from './api-key.entity.js';
import { hashSecret, keyHint, mintApiKey } from './api-key-format.js';
import { lastsUntilMs, refuseBeyond, refuseOutliving } from './api-key-rights.js';
import { apiKeyView } from './api-key-view.js';
import { CredentialEpoch } from './credential-epoch.js';
import type { Principal } from './principal.js';
import { VerifiedCredentials } from './verified-credentials.js';

/** Who acts at the first start. */
export const BOOTSTRAP: Actor = { type: 'system', id: null, name: 'bootstrap', address: null, request_id: null };

/** What somebody asks for: by which rights, and as the audit log names them. */
export interface Asking {
  readonly by: Principal;
  readonly actor: Actor;
}

/** Makes, changes, rotates and revokes API keys. */
@Injectable()
export class ApiKeysService {
  constructor(
    private readonly database: DataSource,
    private readonly epochs: CredentialEpoch,
    private readonly verified: VerifiedCredentials,
    private readonly config: LiveConfig,
    private readonly clock: DatabaseClock,
    private readonly audit: AuditLog,
  ) {}

  /** Makes a key. @throws InsufficientPermissions when it would have more than its maker */
  async create({ by, actor }: Asking, request: CreateApiKeyRequest): Promise<CreatedApiKey> {
    const key = mintApiKey(request.environment);
    const record = this.newRecord(key, {
      name: request.name,
      environment: request.environment ?? 'live',
      permissions: request.permissions,
      namespace: request.namespace ?? by.namespace ?? 'default',
      keyPrefixes: request.key_prefixes ?? [...by.keyPrefixes],
      tier: request.tier ?? lower(this.config.current.rate_limits.default_tier, by.tier),
      rateLimit: request.rate_limit ?? null,
      allowedIps: request.allowed_ips ?? [...(by.allowedIps?.ranges ?? [])],
      createdBy: by.name,
      expiresAt: timeOf(Math.min(this.inSeconds(request.expires_in), lastsUntilMs(by))),
    });
    refuseBeyond(by, record);
    const view = this.view(record);
    await this.database.transaction(async (transaction) => {
      await transaction.insert(ApiKeyRecord, record);
      await this.audit.record(transaction, { action: 'api_key.create', actor, target: target(record), after: view });
    });
    return { api_key: key, ...view };
  }

  /** Stores the operator's own key with every permission, unless it is or was there. Says whether it did. */
  async ensure(key: string, name: string): Promise<boolean> {
    const keyHash = hashSecret(key);
    if (await this.database.getRepository(ApiKeyRecord).existsBy({ keyHash })) return false;
    if (await this.database.getRepository(RetiredApiKey).existsBy({ keyHash })) return false;
    const record = this.newRecord(key, {
      name,
      environment: 'live',
      permissions: ['*'],
      namespace: 'default',
      keyPrefixes: [],
      tier: 'enterprise',
      rateLimit: null,
      allowedIps: [],
      createdBy: 'bootstrap',
      expiresAt: null,
    });
    return this.database.transaction(async (transaction) => {
      // Another node may be at the same first start.
      const insertion = transaction.createQueryBuilder().insert().into(ApiKeyRecord).values(record).orIgnore();
      const inserted = await insertion.returning('id').execute();
      if ((inserted.raw as unknown[]).length === 0) return false;
      await this.audit.record(transaction, {
        action: 'api_key.create',
        actor: BOOTSTRAP,
        target: target(record),
        after: this.view(record),
      });
      return true;
    });
  }

  count(): Promise<number> {
    return this.database.getRepository(ApiKeyRecord).count();
  }

  /**
   * Changes what is named and nothing else.
   * @throws ResourceNotFound
   * @throws InsufficientPermissions when the key has, or would have, more than who changes it
   */
  change({ by, actor }: Asking, id: string, request: ChangeApiKeyRequest): Promise<ApiKey> {
    return this.withKey(by, id, async (transaction, record) => {
      refuseRetired(by, record);
      const before = this.view(record);
      Object.assign(record, this.changesOf(request, record));
      refuseBeyond(by, record);
      if (!takesOnly(request)) refuseOutliving(by, record.expiresAt);
      await transaction.save(record);
      await this.epochs.advance(transaction, 'keys');
      const after = this.view(record);
      await this.audit.record(transaction, { action: 'api_key.change', actor, target: target(record), before, after });
      return after;
    });
  }

  /**
   * Gives a key a new text. The one that it had works for the overlap, and those before it no longer than that.
   * @throws ResourceNotFound
   * @throws InsufficientPermissions when the key has more than who would learn the new text
   */
  rotate({ by, actor }: Asking, id: string, { overlap_seconds }: RotateApiKeyRequest): Promise<CreatedApiKey> {
    return this.withKey(by, id, async (transaction, record) => {
      refuseRetired(by, record);
      refuseOutliving(by, record.expiresAt);
      const before = this.view(record);
      const key = mintApiKey(record.environment);
      const rotatedAt = this.clock.now();
      const validUntil = new Date(rotatedAt.getTime() + overlap_seconds * 1000);
      await transaction.query('UPDATE retired_api_keys SET valid_until = LEAST(valid_until, $2) WHERE key_id = $1', [
        id,
        validUntil,
      ]);
      await transaction.insert(RetiredApiKey, { keyHash: record.keyHash, keyId: id, validUntil });
      const text = { keyHash: hashSecret(key), hint: keyHint(key) };
      await transaction.save(Object.assign(record, { ...text, rotatedAt, previousValidUntil: validUntil }));
      await this.epochs.advance(transaction, 'keys');
      const after = this.view(record);
      await this.audit.record(transaction, { action: 'api_key.rotate', actor, target: target(record), before, after });
      return { api_key: key, ...after };
    });
  }

  /** Ends a key for good. @throws ResourceNotFound, InsufficientPermissions when it has more than who ends it */
  async revoke({ by, actor }: Asking, id: string): Promise<void> {
    await this.withKey(by, id, async (transaction, record) => {
      await transaction.update(ApiKeyRecord, { id }, { revokedAt: this.clock.now() });
      await this.epochs.advance(transaction, 'keys');
      const before = this.view(record);
      await this.audit.record(transaction, { action: 'api_key.revoke', actor, target: target(record), before });
    });
  }

  /** Does something to a key that is not revoked and has nothing that the caller lacks, while nobody else does. */
  private async withKey<T>(
    by: Principal,
    id: string,
    change: (transaction: EntityManager, record: ApiKeyRecord) => Promise<T>,
  ): Promise<T> {
    const result = await this.database.transaction(async (transaction) => {
      const record = await transaction.findOne(ApiKeyRecord, {
        where: { id, revokedAt: IsNull(), ...(by.namespace !== null && { namespace: by.namespace }) },
        lock: { mode: 'pessimistic_write' },
      });
      if (!record) throw new ResourceNotFound('api_key', id);
      refuseBeyond(by, record);
      return change(transaction, record);
    });
    this.verified.forget('api_key');
    return result;
  }

  private newRecord(key: string, chosen: Chosen): ApiKeyRecord {
    return {
      ...chosen,
      id: `key_${randomBytes(10).toString('hex')}`,
      keyHash: hashSecret(key),
      hint: keyHint(key),
      createdAt: this.clock.now(),
      disabledAt: null,
      rotatedAt: null,
      previousValidUntil: null,
      revokedAt: null,
      lastUsedAt: null,
    };
  }

  private changesOf(request: ChangeApiKeyRequest, { disabledAt }: ApiKeyRecord): Partial<ApiKeyRecord> {
    const { name, permissions, tier, disabled } = request;
    return {
      ...(name !== undefined && { name }),
      ...(permissions !== undefined && { permissions }),
      ...(tier !== undefined && { tier }),
      ...(request.expires_in !== undefined && { expiresAt: timeOf(this.inSeconds(request.expires_in ?? undefined)) }),
      ...(request.key_prefixes !== undefined && { keyPrefixes: request.key_prefixes }),
      ...(request.rate_limit !== undefined && { rateLimit: request.rate_limit }),
      ...(request.allowed_ips !== undefined && { allowedIps: request.allowed_ips }),
      ...(disabled !== undefined && { disabledAt: disabled ? (disabledAt ?? this.clock.now()) : null }),
    };
  }

  /** In milliseconds since the epoch; Infinity for never. */
  private inSeconds(seconds: number | undefined): number {
    return seconds === undefined ? Infinity : this.clock.nowMs() + seconds * 1000;
  }

  private view(record: ApiKeyRecord): ApiKey {
    return apiKeyView(record, this.config.current, this.clock.nowMs());
  }
}

type Chosen = Pick<
  ApiKeyRecord,
  | 'name'
  | 'environment'
  | 'permissions'
  | 'namespace'
  | 'keyPrefixes'
  | 'tier'
  | 'rateLimit'
  | 'allowedIps'
  | 'createdBy'
  | 'expiresAt'
>;

/** Whether a change gives nothing for certain, so that who soon ends may make it. */
function takesOnly({ name: _, disabled, ...rest }: ChangeApiKeyRequest): boolean {
  return disabled !== false && Object.keys(rest).length === 0;
}

/** Whoever has the text of yesterday gets by it neither that of tomorrow nor a say in what it may do. */
function refuseRetired(by: Principal, { id, keyHash }: ApiKeyRecord): void {
  if (by.id !== id || by.keyHash?.equals(keyHash)) return;
  throw new InsufficientPermissions({ reason: 'this text of the key was replaced by a rotation' });
}

function target({ id }: ApiKeyRecord) {
  return { type: 'api_key', id };
}

function timeOf(ms: number): Date | null {
  return ms === Infinity ? null : new Date(ms);
}

function lower(a: Tier, b: Tier): Tier {
  return TIERS.indexOf(a) <= TIERS.indexOf(b) ? a : b;
}
