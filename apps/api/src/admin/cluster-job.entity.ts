import type { ClusterChange, ClusterStep } from '@cache-system/cache-engine';
import type { JobState } from '@cache-system/contracts';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Drivers give a 64-bit integer as text; these stay far below 2^53. */
const asNumber = { from: Number, to: (value: number) => value };

@Entity('cluster_jobs')
export class ClusterJob {
  @PrimaryColumn('text')
  id!: string;

  @Column('jsonb')
  change!: ClusterChange;

  /** What the node becomes, or was. */
  @Column('text')
  role!: 'master' | 'replica';

  @Column('text')
  state!: JobState;

  /** The step that was begun last. */
  @Column('text', { nullable: true })
  step!: ClusterStep | null;

  @Column('integer', { name: 'slots_total' })
  slotsTotal!: number;

  @Column('integer', { name: 'slots_moved' })
  slotsMoved!: number;

  @Column('bigint', { name: 'keys_moved', transformer: asNumber })
  keysMoved!: number;

  @Column('bigint', { name: 'bytes_moved', transformer: asNumber })
  bytesMoved!: number;

  @Column('jsonb')
  warnings!: string[];

  @Column('text', { nullable: true })
  error!: string | null;

  /** The process that carries it out, as long as its lease lasts. */
  @Column('text', { nullable: true })
  owner!: string | null;

  /** Name of the API node of `owner`. */
  @Column('text', { name: 'runs_on', nullable: true })
  runsOn!: string | null;

  @Column('timestamptz', { name: 'lease_until', nullable: true })
  leaseUntil!: Date | null;

  @Column('boolean', { name: 'cancel_requested' })
  cancelRequested!: boolean;

  @Column('integer')
  resumed!: number;

  @Column('text', { name: 'created_by' })
  createdBy!: string;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'started_at', nullable: true })
  startedAt!: Date | null;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;

  @Column('timestamptz', { name: 'finished_at', nullable: true })
  finishedAt!: Date | null;
}
