import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Cache, type Head, jsonText, jsonValue, KeyNotFound } from '@cache-system/cache-engine';
import { type DeletionJob, deletionJobSchema } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { ResourceNotFound } from '../platform/http/api-error.js';
import { log } from '../platform/logging.js';
import { matching, type Selection, type Wanted } from './selection.js';

/** So many entries are looked at in one step, and so many at most deleted: Redis serves others in between. */
const PAGE = 250;
const SAVE_EVERY_MS = 1000;
const KEEP_JOB_SECONDS = 86_400;
const SAMPLE = 10;
const JOB_ID = /^[0-9a-f-]{36}$/;
/** No key of a caller begins with it. */
const JOB_PREFIX = '\u0002job:';

/** What a sweep has come to so far. */
export interface Sweep {
  readonly job: DeletionJob;
  /** Names of some entries that were met. */
  readonly sample: readonly string[];
  readonly isOver: boolean;
}

interface RunningSweep extends Sweep {
  readonly job: { -readonly [K in keyof DeletionJob]: DeletionJob[K] };
  readonly sample: string[];
  isOver: boolean;
  /** Its caller was told of the job. */
  isAskedFor: boolean;
}

interface SweepPlan {
  readonly namespace: string;
  readonly selection: Selection;
  readonly wanted: Wanted;
  readonly dryRun: boolean;
  /** Its caller waits for so long, and is told of a job then. */
  readonly patienceMs: number;
  /** Looks at entries that are as good as gone, too, and counts those that it says were there until now. */
  readonly ended?: (head: Head) => boolean;
}

/** Deletes what fits a pattern, a prefix or a tag, page by page; what takes long goes on as a job that can be asked for. */
@Injectable()
export class Sweeps {
  constructor(private readonly cache: Cache) {}

  /** Resolves when the sweep is over, or goes on by itself. @throws LayerTimeout, LayerUnavailable */
  async run(plan: SweepPlan): Promise<Sweep> {
    const { pattern, prefix, tag } = plan.wanted;
    const job = {
      id: randomUUID(),
      status: 'running',
      ...(pattern !== undefined && { pattern }),
      ...(prefix !== undefined && { prefix }),
      ...(tag !== undefined && { tag }),
      ...(plan.dryRun && { dry_run: true as const }),
      scanned: 0,
      deleted: 0,
      started_at: new Date().toISOString(),
      ended_at: null,
    } as const;
    const sweep: RunningSweep = { job, sample: [], isOver: false, isAskedFor: false };
    // What is being fetched is not there to be deleted yet.
    if (!plan.dryRun && !plan.ended) {
      await Promise.all(plan.selection.prefixes.map((each) => this.cache.announceSweep(each, { pattern, tag })));
    }
    const over = new AbortController();
    const running = this.carryOut(plan, sweep);
    await Promise.race([running, delay(plan.patienceMs, undefined, { signal: over.signal }).catch(() => undefined)]);
    over.abort();
    if (sweep.isOver) return sweep;
    sweep.isAskedFor = true;
    await this.save(plan.namespace, sweep.job);
    void this.finish(plan, sweep, running);
    return sweep;
  }

  /** Deletes all entries with keys that begin so, stale ones too. @throws LayerTimeout, LayerUnavailable */
  async clear(prefix: string): Promise<void> {
    let cursor: string | undefined;
    do {
      const page = await this.cache.scan(prefix, cursor, PAGE);
      cursor = page.cursor;
      await Promise.all([...page.heads, ...page.dead].map((head) => this.cache.purge(head)));
    } while (cursor !== undefined);
  }

  /** @throws ResourceNotFound */
  async find(namespace: string, id: string): Promise<DeletionJob> {
    if (!JOB_ID.test(id)) throw new ResourceNotFound('job', id);
    try {
      const { entry } = await this.cache.load(`${namespace}:${JOB_PREFIX}${id}`, true);
      return deletionJobSchema.parse(JSON.parse(jsonText(entry)));
    } catch (error) {
      if (error instanceof KeyNotFound) throw new ResourceNotFound('job', id);
      throw error;
    }
  }

  private async carryOut(plan: SweepPlan, sweep: RunningSweep): Promise<void> {
    const { job } = sweep;
    let savedAtMs = performance.now();
    for await (const page of this.pages(plan)) {
      job.scanned += page.scanned;
      job.deleted += page.names.length;
      sweep.sample.push(...page.names.slice(0, SAMPLE - sweep.sample.length));
      if (!sweep.isAskedFor || performance.now() - savedAtMs < SAVE_EVERY_MS) continue;
      savedAtMs = performance.now();
      await this.save(plan.namespace, job);
    }
    sweep.isOver = true;
    Object.assign(job, { status: 'done', ended_at: new Date().toISOString() });
  }

  private async finish({ namespace }: SweepPlan, { job }: RunningSweep, running: Promise<void>): Promise<void> {
    try {
      await running;
    } catch (error) {
      log.warn({ err: error, job: job.id }, 'a deletion of many entries has failed');
      Object.assign(job, { status: 'failed', ended_at: new Date().toISOString(), reason: 'a layer failed' });
    }
    await this.save(namespace, job);
  }

  private async *pages({ selection, dryRun, ended }: SweepPlan) {
    for (const prefix of selection.prefixes) {
      let cursor: string | undefined;
      do {
        const page = await this.cache.scan(prefix, cursor, PAGE);
        cursor = page.cursor;
        const dead = await matching(selection, page.dead);
        const wanted = ended ? dead.filter(ended) : await matching(selection, page.heads);
        const deleted = dryRun ? wanted : await this.delete(wanted, ended !== undefined);
        // Nobody could see them any more, and yet they take room.
        if (!dryRun) await this.delete(ended ? dead.filter((head) => !ended(head)) : dead, true);
        yield { scanned: page.heads.length + page.dead.length, names: deleted.map((head) => selection.nameOf(head)) };
      } while (cursor !== undefined);
    }
  }

  /** @returns those that were there until now */
  private async delete(heads: readonly Head[], dead: boolean): Promise<Head[]> {
    const gone = await Promise.all(heads.map((head) => (dead ? this.cache.purge(head) : this.cache.discard(head.key))));
    return heads.filter((_, index) => gone[index]);
  }

  /** What cannot be told of is done nevertheless: a layer that is full needs it most. */
  private async save(namespace: string, job: DeletionJob): Promise<void> {
    const options = { ttlSeconds: KEEP_JOB_SECONDS };
    try {
      await this.cache.put(`${namespace}:${JOB_PREFIX}${job.id}`, jsonValue(JSON.stringify(job)), options);
    } catch (error) {
      log.warn({ err: error, job: job.id }, 'how far a deletion of many entries is could not be stored');
    }
  }
}
