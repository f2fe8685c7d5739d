import { randomBytes } from 'node:crypto';
import type { ClusterChange, ClusterStep } from '@cache-system/cache-engine';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager, In } from 'typeorm';
import { type Actor, type AuditEntry, AuditLog } from '../platform/audit/audit-log.js';
import { ResourceNotFound } from '../platform/http/api-error.js';
import { ClusterConflict } from './cluster-conflict.js';
import { ClusterJob } from './cluster-job.entity.js';

/** After so long without a sign of its process a job is taken over by another. */
export const LEASE_SECONDS = 5;
const LIST_LIMIT = 100;
const UNIQUE_VIOLATION = '23505';
const ACTIVE = ['pending', 'running', 'paused'] as const;

export interface NewJob {
  readonly change: ClusterChange;
  readonly role: 'master' | 'replica';
  readonly warnings: string[];
  readonly actor: Actor;
}

/** How far a job is. */
export interface JobProgress {
  readonly step: ClusterStep | null;
  readonly slotsTotal: number;
  readonly slotsMoved: number;
  readonly keysMoved: number;
  readonly bytesMoved: number;
}

/** The end of a run, and what becomes of the job. */
export type RunEnd =
  | { readonly state: 'completed' | 'cancelled' }
  | { readonly state: 'paused' | 'failed'; readonly error: string }
  /** To be taken over at once. */
  | { readonly state: 'pending' };

/** The jobs as all API nodes see them. A process may work on one as long as its lease lasts. */
@Injectable()
export class ClusterJobs {
  constructor(
    private readonly database: DataSource,
    private readonly audit: AuditLog,
  ) {}

  /** @throws ClusterConflict while another is not over */
  async create({ change, role, warnings, actor }: NewJob): Promise<ClusterJob> {
    const id = `job_${randomBytes(10).toString('hex')}`;
    const createdBy = actor.name ?? 'unknown';
    try {
      await this.database.transaction(async (transaction) => {
        await transaction.insert(ClusterJob, { id, change, role, warnings, createdBy, state: 'pending' });
        await this.audit.record(transaction, {
          action: `node.${change.kind}`,
          actor,
          target: { type: 'node', id: change.id },
          after: { job: id, address: change.address, role },
        });
      });
    } catch (error) {
      throw await this.conflictOr(error);
    }
    return this.read(id);
  }

  /** Newest first. */
  list(): Promise<ClusterJob[]> {
    return this.records.find({ order: { createdAt: 'DESC', id: 'ASC' }, take: LIST_LIMIT });
  }

  /** @throws ResourceNotFound */
  async read(id: string): Promise<ClusterJob> {
    const job = await this.records.findOneBy({ id });
    if (!job) throw new ResourceNotFound('job', id);
    return job;
  }

  /** @throws ClusterConflict while there is a job that is not over */
  async refuseWhileActive(): Promise<void> {
    const active = await this.records.findOneBy({ state: In(ACTIVE) });
    if (active) throw activeConflict(active);
  }

  /** Has a job taken up again that stopped before its end. @throws ResourceNotFound, ClusterConflict */
  async resume(id: string, actor: Actor): Promise<ClusterJob> {
    let hasChanged: boolean;
    try {
      hasChanged = await this.change(
        `UPDATE cluster_jobs
         SET state = 'pending', error = NULL, finished_at = NULL, cancel_requested = false, resumed = resumed + 1, updated_at = now()
         WHERE id = $1 AND state IN ('paused', 'failed') RETURNING state`,
        { action: 'node_job.resume', actor, target: { type: 'job', id } },
      );
    } catch (error) {
      throw await this.conflictOr(error);
    }
    const job = await this.read(id);
    // One that runs or waits for its turn is what was asked for.
    if (!hasChanged && job.finishedAt !== null) throw overConflict(job);
    return job;
  }

  /** Ends a job; where it is running, before the next slot. @throws ResourceNotFound, ClusterConflict */
  async cancel(id: string, actor: Actor): Promise<ClusterJob> {
    const hasChanged = await this.change(
      `UPDATE cluster_jobs
       SET cancel_requested = true,
           state = CASE WHEN state = 'running' THEN state ELSE 'cancelled' END,
           finished_at = CASE WHEN state = 'running' THEN NULL ELSE now() END,
           updated_at = now()
       WHERE id = $1 AND state IN ('pending', 'running', 'paused', 'failed') RETURNING state`,
      { action: 'node_job.cancel', actor, target: { type: 'job', id } },
    );
    const job = await this.read(id);
    if (!hasChanged && job.state !== 'cancelled') throw overConflict(job);
    return job;
  }

  /** Takes the job that waits to be carried out, or whose process is gone. */
  async claim(owner: string, nodeName: string): Promise<ClusterJob | undefined> {
    const [rows] = await this.query<{ id: string }>(
      `UPDATE cluster_jobs
       SET resumed = resumed + CASE WHEN state = 'running' THEN 1 ELSE 0 END,
           state = 'running', owner = $1, runs_on = $2, lease_until = now() + make_interval(secs => $3),
           started_at = coalesce(started_at, now()), updated_at = now()
       WHERE id = (SELECT id FROM cluster_jobs WHERE state = 'pending' OR (state = 'running' AND lease_until < now())
                   LIMIT 1 FOR UPDATE SKIP LOCKED)
       RETURNING id`,
      [owner, nodeName, LEASE_SECONDS],
    );
    return rows[0] && this.read(rows[0].id);
  }

  /** Notes the progress and goes on holding the job. Says whether it is still held, and still wanted. */
  async extend(id: string, owner: string, progress: JobProgress): Promise<'go_on' | 'cancel' | 'lost'> {
    const [rows] = await this.query<{ cancel_requested: boolean }>(
      `UPDATE cluster_jobs
       SET step = $3, slots_total = $4, slots_moved = $5, keys_moved = $6, bytes_moved = $7,
           lease_until = now() + make_interval(secs => $8), updated_at = now()
       WHERE id = $1 AND owner = $2 AND state = 'running' RETURNING cancel_requested`,
      [id, owner, ...valuesOf(progress), LEASE_SECONDS],
    );
    if (!rows[0]) return 'lost';
    return rows[0].cancel_requested ? 'cancel' : 'go_on';
  }

  /** Gives the job up. Does nothing where another has taken it over. */
  async release(id: string, owner: string, progress: JobProgress, end: RunEnd): Promise<void> {
    const isOver = end.state === 'completed' || end.state === 'cancelled' || end.state === 'failed';
    await this.query(
      `UPDATE cluster_jobs
       SET step = $3, slots_total = $4, slots_moved = $5, keys_moved = $6, bytes_moved = $7, state = $8, error = $9,
           finished_at = CASE WHEN $10::boolean THEN now() END, owner = NULL, lease_until = NULL, updated_at = now(),
           runs_on = CASE WHEN $8 = 'pending' THEN NULL ELSE runs_on END
       WHERE id = $1 AND owner = $2 AND state = 'running' RETURNING id`,
      [id, owner, ...valuesOf(progress), end.state, 'error' in end ? end.error : null, isOver],
    );
  }

  private get records() {
    return this.database.getRepository(ClusterJob);
  }

  /** Changes the job that the entry is about, with the entry. False: it is in no state for that. */
  private change(sql: string, entry: AuditEntry & Required<Pick<AuditEntry, 'target'>>): Promise<boolean> {
    return this.database.transaction(async (transaction) => {
      const [[changed]] = await this.query<{ state: string }>(sql, [entry.target.id], transaction);
      if (changed) await this.audit.record(transaction, { ...entry, after: changed });
      return changed !== undefined;
    });
  }

  /** The rows of RETURNING, and how many. */
  private query<T>(
    sql: string,
    parameters: unknown[],
    on: EntityManager = this.database.manager,
  ): Promise<[rows: T[], count: number]> {
    return on.query(sql, parameters);
  }

  private async conflictOr(error: unknown): Promise<unknown> {
    const { driverError } = error as { driverError?: { code?: string } };
    if (driverError?.code !== UNIQUE_VIOLATION) return error;
    const active = await this.records.findOneBy({ state: In(ACTIVE) });
    return active ? activeConflict(active) : error;
  }
}

function valuesOf({ step, slotsTotal, slotsMoved, keysMoved, bytesMoved }: JobProgress): unknown[] {
  return [step, slotsTotal, slotsMoved, keysMoved, bytesMoved];
}

function activeConflict({ id, state }: ClusterJob): ClusterConflict {
  const how = state === 'paused' ? 'is paused: resume or cancel it first' : 'is not over yet';
  return new ClusterConflict('job_active', `the job ${id} ${how}`, { job_id: id, job_state: state });
}

function overConflict({ id, state }: ClusterJob): ClusterConflict {
  return new ClusterConflict('job_over', `the job ${id} is ${state}`, { job_id: id, job_state: state });
}
