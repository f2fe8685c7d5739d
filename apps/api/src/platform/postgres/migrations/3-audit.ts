import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Audit1763856000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // `json` keeps the text as it was written, which is what the hash is of; `jsonb` would not.
    await runner.query(`
      CREATE TABLE audit_log (
        seq bigint PRIMARY KEY,
        at timestamptz NOT NULL,
        action text NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('done', 'refused')),
        actor json NOT NULL,
        target json,
        before json,
        after json,
        hash bytea NOT NULL
      )`);
    await runner.query(`CREATE INDEX audit_log_at ON audit_log (at)`);
    // One row: where the chain ends. Whoever writes the next link holds it.
    await runner.query(`CREATE TABLE audit_head (seq bigint NOT NULL, hash bytea NOT NULL)`);
    await runner.query(`INSERT INTO audit_head VALUES (0, '\\x')`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE audit_head, audit_log`);
  }
}
