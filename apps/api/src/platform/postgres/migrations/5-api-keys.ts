import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ApiKeys1764028800000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE api_keys
        ADD COLUMN environment text NOT NULL DEFAULT 'live',
        ADD COLUMN allowed_ips jsonb NOT NULL DEFAULT '[]',
        ADD COLUMN disabled_at timestamptz,
        ADD COLUMN rotated_at timestamptz,
        ADD COLUMN previous_valid_until timestamptz`);
    await runner.query(`CREATE INDEX api_keys_created_at ON api_keys (created_at, id)`);
    await runner.query(`
      CREATE TABLE retired_api_keys (
        key_hash bytea PRIMARY KEY,
        key_id text NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
        valid_until timestamptz NOT NULL
      )`);
    await runner.query(`CREATE INDEX retired_api_keys_key_id ON retired_api_keys (key_id)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE retired_api_keys`);
    await runner.query(`
      ALTER TABLE api_keys
        DROP COLUMN environment,
        DROP COLUMN allowed_ips,
        DROP COLUMN disabled_at,
        DROP COLUMN rotated_at,
        DROP COLUMN previous_valid_until`);
    await runner.query(`DROP INDEX IF EXISTS api_keys_created_at`);
  }
}
