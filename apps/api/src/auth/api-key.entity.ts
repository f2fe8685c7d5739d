import type { Grant, RateLimit, Tier } from '@cache-system/contracts';
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

  @Column('text', { name: 'created_by' })
  createdBy!: string;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt!: Date | null;

  @Column('timestamptz', { name: 'revoked_at', nullable: true })
  revokedAt!: Date | null;

  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt!: Date | null;
}
