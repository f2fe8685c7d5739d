import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Sessions and API keys are counted apart: logouts are many, and change nothing about keys. */
export class CredentialEpochs1764201600000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE credential_epoch RENAME COLUMN epoch TO keys`);
    await runner.query(`ALTER TABLE credential_epoch ADD COLUMN sessions bigint NOT NULL DEFAULT 0`);
    await runner.query(`ALTER TABLE refresh_tokens ADD COLUMN issued_at timestamptz NOT NULL DEFAULT now()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE refresh_tokens DROP COLUMN issued_at`);
    await runner.query(`ALTER TABLE credential_epoch DROP COLUMN sessions`);
    await runner.query(`ALTER TABLE credential_epoch RENAME COLUMN keys TO epoch`);
  }
}
