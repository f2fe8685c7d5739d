import type { ApiKeyEnvironment, Grant, RateLimit, Tier } from '@cache-system/contracts';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('api_keys')
export class ApiKeyRecord {
  @PrimaryColumn('text')
  id!: string;

  @Column('bytea', { name: 'key_hash' })
  keyHash!: Buffer;

  /** The first characters of the key, by which a person recognises it. */
  @Column('text')
  hint!: string;

  @Column('text')
  name!: string;

  @Column('text')
  environment!: ApiKeyEnvironment;

  @Column('jsonb')
  permissions!: Grant[];

  @Column('text')
  namespace!: string;

  @Column('jsonb', { name: 'key_prefixes' })
  keyPrefixes!: string[];

  @Column('text')
  tier!: Tier;

  @Column('jsonb', { name: 'rate_limit', nullable: true })
  rateLimit!: RateLimit | null;

  /** Empty: from everywhere. */
  @Column('jsonb', { name: 'allowed_ips' })
  allowedIps!: string[];

  @Column('text', { name: 'created_by' })
  createdBy!: string;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt!: Date | null;

  @Column('timestamptz', { name: 'disabled_at', nullable: true })
  disabledAt!: Date | null;

  @Column('timestamptz', { name: 'rotated_at', nullable: true })
  rotatedAt!: Date | null;

  /** When the last of its retired texts stops working. */
  @Column('timestamptz', { name: 'previous_valid_until', nullable: true })
  previousValidUntil!: Date | null;

  @Column('timestamptz', { name: 'revoked_at', nullable: true })
  revokedAt!: Date | null;

  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt!: Date | null;
}

/** A text that an API key had before it was rotated. It is kept for good, so that it is never taken for a new one. */
@Entity('retired_api_keys')
export class RetiredApiKey {
  @PrimaryColumn('bytea', { name: 'key_hash' })
  keyHash!: Buffer;

  @Column('text', { name: 'key_id' })
  keyId!: string;

  @Column('timestamptz', { name: 'valid_until' })
  validUntil!: Date;
}
