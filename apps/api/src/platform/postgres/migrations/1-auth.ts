import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Auth1763683200000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE users (
        id text PRIMARY KEY,
        email text NOT NULL UNIQUE,
        password_hash text NOT NULL,
        role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
        disabled_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now()
      )`);
    await runner.query(`
      CREATE TABLE sessions (
        id text PRIMARY KEY,
        user_id text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        created_at timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz
      )`);
    await runner.query(`
      CREATE TABLE refresh_tokens (
        token_hash bytea PRIMARY KEY,
        session_id text NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        expires_at timestamptz NOT NULL,
        used_at timestamptz
      )`);
    await runner.query(`CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id)`);
    await runner.query(`
      CREATE TABLE api_keys (
        id text PRIMARY KEY,
        key_hash bytea NOT NULL UNIQUE,
        hint text NOT NULL,
        name text NOT NULL,
        permissions jsonb NOT NULL,
        namespace text NOT NULL,
        key_prefixes jsonb NOT NULL,
        tier text NOT NULL,
        rate_limit jsonb,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        revoked_at timestamptz,
        last_used_at timestamptz
      )`);
    // One row: it counts what makes a verified credential worth another look, such as a revocation.
    await runner.query(`CREATE TABLE credential_epoch (epoch bigint NOT NULL)`);
    await runner.query(`INSERT INTO credential_epoch VALUES (0)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE credential_epoch, api_keys, refresh_tokens, sessions, users`);
  }
}
