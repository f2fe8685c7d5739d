import { randomUUID } from 'node:crypto';
import { type ClusterAdmin, ClusterChangeStalled, type ClusterStep } from '@cache-system/cache-engine';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Environment } from '../platform/env.js';
import { log } from '../platform/logging.js';
import { ENVIRONMENT } from '../platform/platform.module.js';
import type { ClusterJob } from './cluster-job.entity.js';
import { ClusterJobs, type JobProgress, LEASE_SECONDS, type RunEnd } from './cluster-jobs.js';
import { STORAGE_CLUSTER } from './storage-cluster.js';

const LOOK_INTERVAL_MS = 1000;
const SAVE_INTERVAL_MS = 250;

class Cancelled extends Error {}
/** Another process has the job, or may have it by now. */
class LeaseLost extends Error {}
class Stopping extends Error {}

/** Carries out the job that is to be carried out, if no other API node does. */
@Injectable()
export class ClusterJobRunner implements OnApplicationBootstrap, OnApplicationShutdown {
  /** Of this process, as another with the same name may follow it. */
  private readonly owner = randomUUID();
  private readonly stopping = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private working: Promise<void> | undefined;

  constructor(
    private readonly jobs: ClusterJobs,
    @Inject(STORAGE_CLUSTER) private readonly cluster: ClusterAdmin | undefined,
    @Inject(ENVIRONMENT) private readonly environment: Environment,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.cluster) return;
    this.timer = setInterval(() => this.wake(), LOOK_INTERVAL_MS).unref();
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort(new Stopping());
    await this.working;
    this.cluster?.close();
  }

  /** Looks for a job now rather than in a second. */
  wake(): void {
    if (this.working || this.stopping.signal.aborted || !this.cluster) return;
    this.working = this.work(this.cluster)
      .catch((error: unknown) => log.warn({ err: error }, 'could not look for a cluster job; trying again'))
      .finally(() => (this.working = undefined));
  }

  private async work(cluster: ClusterAdmin): Promise<void> {
    const job = await this.jobs.claim(this.owner, this.environment.NODE_NAME);
    if (!job) return;
    log.info(
      { job: job.id, change: job.change.kind, node: job.change.id, resumed: job.resumed },
      'carrying out a cluster job',
    );
    const progress = new RunProgress(job);
    const end = await this.run(cluster, job, progress);
    if (!end) return;
    await this.jobs.release(job.id, this.owner, progress.current, end);
    log.info({ job: job.id, ...end, ...progress.current }, 'left a cluster job');
  }

  /** Undefined where the job is another's by now. */
  private async run(cluster: ClusterAdmin, job: ClusterJob, progress: RunProgress): Promise<RunEnd | undefined> {
    const run = new AbortController();
    const signal = AbortSignal.any([run.signal, this.stopping.signal]);
    const keeper = this.keep(job.id, progress, run);
    try {
      await cluster.carryOut(job.change, progress, signal);
      return { state: 'completed' };
    } catch (error) {
      if (error instanceof Cancelled) return { state: 'cancelled' };
      if (error instanceof Stopping) return { state: 'pending' };
      if (error instanceof LeaseLost) return undefined;
      if (error instanceof ClusterChangeStalled) return { state: 'paused', error: error.message };
      log.error({ err: error, job: job.id }, 'a cluster job failed');
      return { state: 'failed', error: (error as Error).message };
    } finally {
      await keeper.stop();
    }
  }

  /** Saves the progress and holds the lease; ends the run when that cannot be done for as long as the lease lasts. */
  private keep(id: string, progress: RunProgress, run: AbortController): { stop(): Promise<void> } {
    let heldUntilMs = performance.now() + LEASE_SECONDS * 1000;
    let saving: Promise<void> | undefined;
    const save = async () => {
      const askedAtMs = performance.now();
      try {
        const answer = await this.jobs.extend(id, this.owner, progress.current);
        if (answer === 'cancel') run.abort(new Cancelled());
        if (answer === 'lost') run.abort(new LeaseLost());
        heldUntilMs = askedAtMs + LEASE_SECONDS * 1000;
      } catch (error) {
        if (performance.now() > heldUntilMs) run.abort(new LeaseLost('the database does not answer', { cause: error }));
      }
    };
    const timer = setInterval(() => {
      saving ??= save().finally(() => (saving = undefined));
    }, SAVE_INTERVAL_MS);
    return {
      async stop() {
        clearInterval(timer);
        await saving;
      },
    };
  }
}

/** Counts on from where the last run of the job has stopped. */
class RunProgress {
  current: JobProgress;

  constructor({ step, slotsTotal, slotsMoved, keysMoved, bytesMoved }: ClusterJob) {
    this.current = { step, slotsTotal, slotsMoved, keysMoved, bytesMoved };
  }

  began(step: ClusterStep): void {
    this.current = { ...this.current, step };
  }

  planned(slots: number): void {
    this.current = { ...this.current, slotsTotal: this.current.slotsMoved + slots };
  }

  moved(_slot: number, keys: number, bytes: number): void {
    const { slotsMoved, slotsTotal, keysMoved, bytesMoved } = this.current;
    this.current = {
      ...this.current,
      slotsMoved: slotsMoved + 1,
      // Slots that were found half moved were in nobody's plan.
      slotsTotal: Math.max(slotsTotal, slotsMoved + 1),
      keysMoved: keysMoved + keys,
      bytesMoved: bytesMoved + bytes,
    };
  }
}
