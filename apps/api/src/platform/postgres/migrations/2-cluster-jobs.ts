import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ClusterJobs1763769600000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE cluster_jobs (
        id text PRIMARY KEY,
        change jsonb NOT NULL,
        role text NOT NULL CHECK (role IN ('master', 'replica')),
        state text NOT NULL CHECK (state IN ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled')),
        step text,
        slots_total integer NOT NULL DEFAULT 0,
        slots_moved integer NOT NULL DEFAULT 0,
        keys_moved bigint NOT NULL DEFAULT 0,
        bytes_moved bigint NOT NULL DEFAULT 0,
        warnings jsonb NOT NULL,
        error text,
        owner text,
        runs_on text,
        lease_until timestamptz,
        cancel_requested boolean NOT NULL DEFAULT false,
        resumed integer NOT NULL DEFAULT 0,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        updated_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz
      )`);
    // Two changes of one cluster at a time would undo each other. One that is paused is not over.
    await runner.query(`
      CREATE UNIQUE INDEX cluster_jobs_one_at_a_time ON cluster_jobs ((true)) WHERE state IN ('pending', 'running', 'paused')`);
    await runner.query(`CREATE INDEX cluster_jobs_created_at ON cluster_jobs (created_at DESC)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE cluster_jobs`);
  }
}
