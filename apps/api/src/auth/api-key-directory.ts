import { type ApiKey, type ApiKeyList, type ApiKeyQuery, GRANTS, grantsBeyond } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource, IsNull, type SelectQueryBuilder } from 'typeorm';
import { ResourceNotFound } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { DatabaseClock } from '../platform/postgres/database-clock.js';
import { ApiKeyRecord } from './api-key.entity.js';
import { apiKeyView } from './api-key-view.js';
import type { Principal } from './principal.js';

/** As `stateOf` says it of one. */
const IN_STATE = {
  active: 'key.revokedAt IS NULL AND (key.expiresAt IS NULL OR key.expiresAt > :now) AND key.disabledAt IS NULL',
  disabled: 'key.revokedAt IS NULL AND (key.expiresAt IS NULL OR key.expiresAt > :now) AND key.disabledAt IS NOT NULL',
  expired: 'key.revokedAt IS NULL AND key.expiresAt <= :now',
  revoked: 'key.revokedAt IS NOT NULL',
  unrevoked: 'key.revokedAt IS NULL',
};

/** Shows API keys. An API key sees those of its namespace. */
@Injectable()
export class ApiKeyDirectory {
  constructor(
    private readonly database: DataSource,
    private readonly config: LiveConfig,
    private readonly clock: DatabaseClock,
  ) {}

  /** A page of keys, newest first. Keys that are made meanwhile come on no later page. */
  async list(viewer: Principal, { cursor, limit, ...wanted }: ApiKeyQuery): Promise<ApiKeyList> {
    const select = this.records.createQueryBuilder('key');
    narrow(select, wanted, this.clock.now());
    if (viewer.namespace !== null) select.andWhere('key.namespace = :own', { own: viewer.namespace });
    if (cursor !== undefined) {
      // Keys are never deleted from the table, so that the one which a page has ended with is always there.
      const last = 'SELECT created_at, id FROM api_keys WHERE id = :cursor';
      select.andWhere(`(key.createdAt, key.id) < (${last})`, { cursor });
    }
    const found = await select
      .orderBy('key.createdAt', 'DESC')
      .addOrderBy('key.id', 'DESC')
      .take(limit + 1)
      .getMany();
    const page = found.slice(0, limit);
    return {
      api_keys: page.map((record) => this.view(record)),
      cursor: found.length > limit ? (page.at(-1)?.id ?? null) : null,
    };
  }

  /** A key that is not revoked. @throws ResourceNotFound */
  async read(viewer: Principal, id: string): Promise<ApiKey> {
    const { namespace } = viewer;
    const record = await this.records.findOneBy({ id, revokedAt: IsNull(), ...(namespace !== null && { namespace }) });
    if (!record) throw new ResourceNotFound('api_key', id);
    return this.view(record);
  }

  private view(record: ApiKeyRecord): ApiKey {
    return apiKeyView(record, this.config.current, this.clock.nowMs());
  }

  private get records() {
    return this.database.getRepository(ApiKeyRecord);
  }
}

function narrow(
  select: SelectQueryBuilder<ApiKeyRecord>,
  wanted: Omit<ApiKeyQuery, 'cursor' | 'limit'>,
  now: Date,
): void {
  const { name, permission, namespace, tier, environment, state } = wanted;
  select.where(IN_STATE[state ?? 'unrevoked'], { now });
  if (name !== undefined) select.andWhere('strpos(lower(key.name), lower(:name)) > 0', { name });
  if (namespace !== undefined) select.andWhere('key.namespace = :namespace', { namespace });
  if (tier !== undefined) select.andWhere('key.tier = :tier', { tier });
  if (environment !== undefined) select.andWhere('key.environment = :environment', { environment });
  if (permission === undefined) return;
  const grants = GRANTS.filter((grant) => grantsBeyond([grant], [permission]).length === 0);
  select.andWhere('jsonb_exists_any(key.permissions, ARRAY[:...grants])', { grants });
}
