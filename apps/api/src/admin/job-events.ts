import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeJob } from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Drain } from '../platform/drain.js';
import { beginEventStream, eventText } from '../platform/http/event-stream.js';
import { commonHeaders } from '../platform/http/respond.js';
import { ClusterJobs } from './cluster-jobs.js';
import { jobView } from './job-view.js';

const LOOK_INTERVAL_MS = 250;
/** Proxies close connections on which nothing comes for a minute. */
const KEEP_ALIVE_MS = 15_000;
const OVER: readonly NodeJob['state'][] = ['completed', 'failed', 'cancelled'];

/** The progress of a job as server-sent events, whichever API node carries it out. */
@Injectable()
export class JobEvents {
  constructor(
    private readonly jobs: ClusterJobs,
    private readonly drain: Drain,
  ) {}

  /** Each change as an event `progress`; ends with the job. @throws ResourceNotFound before anything is sent */
  async stream(id: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    let job = jobView(await this.jobs.read(id));
    // An EventSource comes again whenever its stream ends; 204 is the way to tell it that there is no more to come.
    if (OVER.includes(job.state) && request.headers['last-event-id'] === eventId(job)) {
      reply.hijack().raw.writeHead(204, commonHeaders(request)).end();
      return;
    }
    const raw = beginEventStream(request, reply);
    raw.write(progressEvent(job));
    let sentAtMs = performance.now();
    while (!OVER.includes(job.state) && !raw.destroyed && !this.drain.draining) {
      await sleep(LOOK_INTERVAL_MS);
      // A database that does not answer for a moment is no reason to end: the job goes on without it.
      const next = await this.jobs.read(id).then(jobView, () => job);
      if (eventId(next) !== eventId(job)) raw.write(progressEvent(next));
      else if (performance.now() - sentAtMs > KEEP_ALIVE_MS) raw.write(': still here\n\n');
      else continue;
      job = next;
      sentAtMs = performance.now();
    }
    raw.end();
  }
}

function eventId({ updated_at: updatedAt, state }: NodeJob): string {
  return `${state}-${Date.parse(updatedAt)}`;
}

function progressEvent(job: NodeJob): string {
  return eventText('progress', job, eventId(job));
}
