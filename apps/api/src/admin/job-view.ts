import { formatAddress, stepsOf } from '@cache-system/cache-engine';
import type { NodeJob } from '@cache-system/contracts';
import type { ClusterJob } from './cluster-job.entity.js';

/** A job as callers get to see it. */
export function jobView(job: ClusterJob): NodeJob {
  const { change } = job;
  const steps = stepsOf(change);
  const at = job.step === null ? -1 : steps.indexOf(job.step);
  const isCompleted = job.state === 'completed';
  return {
    id: job.id,
    kind: change.kind,
    node: {
      id: change.id,
      address: formatAddress(change.address),
      role: job.role,
      master_id: change.kind === 'add' ? (change.masterId ?? null) : null,
    },
    state: job.state,
    steps: steps.map((name, index) => ({
      name,
      state: isCompleted || index < at ? 'completed' : index === at ? 'running' : 'pending',
    })),
    slots_total: job.slotsTotal,
    slots_moved: job.slotsMoved,
    keys_moved: job.keysMoved,
    bytes_moved: job.bytesMoved,
    warnings: job.warnings,
    error: job.error,
    runs_on: job.runsOn,
    resumed: job.resumed,
    created_by: job.createdBy,
    created_at: job.createdAt.toISOString(),
    started_at: job.startedAt?.toISOString() ?? null,
    updated_at: job.updatedAt.toISOString(),
    finished_at: job.finishedAt?.toISOString() ?? null,
  };
}
