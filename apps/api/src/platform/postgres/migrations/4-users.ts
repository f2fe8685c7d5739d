import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Users1763942400000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE users ADD COLUMN last_login_at timestamptz,
        ADD COLUMN password_changed_at timestamptz NOT NULL DEFAULT now()`);
    await runner.query(`ALTER TABLE refresh_tokens ADD COLUMN successor_salt bytea`);
    await runner.query(`CREATE INDEX sessions_user_id ON sessions (user_id)`);
    await runner.query(`
      CREATE TABLE login_failures (
        subject bytea PRIMARY KEY,
        failures integer NOT NULL,
        blocked_until timestamptz NOT NULL,
        attempted_at timestamptz NOT NULL
      )`);
    await runner.query(`CREATE INDEX login_failures_attempted_at ON login_failures (attempted_at)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE login_failures`);
    await runner.query(`DROP INDEX sessions_user_id`);
    await runner.query(`ALTER TABLE refresh_tokens DROP COLUMN successor_salt`);
    await runner.query(`ALTER TABLE users DROP COLUMN password_changed_at, DROP COLUMN last_login_at`);
  }
}
