import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What the audit log is searched by, each in the order of the log. */
export class AuditFilters1764115200000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE INDEX audit_log_action ON audit_log (action text_pattern_ops, seq)`);
    await runner.query(`CREATE INDEX audit_log_actor_id ON audit_log ((actor->>'id'), seq)`);
    await runner.query(`CREATE INDEX audit_log_actor_name ON audit_log ((actor->>'name'), seq)`);
    await runner.query(`CREATE INDEX audit_log_target_id ON audit_log ((target->>'id'), seq)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX audit_log_action, audit_log_actor_id, audit_log_actor_name, audit_log_target_id`);
  }
}
