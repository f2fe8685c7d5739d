import type { LayerName } from '@cache-system/contracts';
import type { Entry } from './entry.js';
import { Guard } from './guard.js';
import type { Copy, CopyLayer, CopyOutcome, Page, Layer, ReplicatedLayer } from './layer.js';
import type { Mutation, Outcome } from './mutation.js';
import type { DuePage, Outbox, OutboxChange, OutboxCounts, OutboxPage, OutboxRecord, OutboxState } from './outbox.js';

/**
 * A layer behind a guard, which is the one place that deals with its failures. Every one comes out as `LayerTimeout`,
 * `LayerUnavailable` or `StorageFull`. The calls of one batch concern one part of the layer.
 */
export class GuardedLayer implements Layer {
  private readonly guard: Guard;
  readonly partitionOf?: (key: string) => string;
  readonly applyReplicated?: ReplicatedLayer['applyReplicated'];
  readonly outbox?: Outbox;

  constructor(
    private readonly inner: Layer & Partial<ReplicatedLayer>,
    name: LayerName,
    deadlineMs: number,
  ) {
    this.guard = new Guard(name, (partition) => inner.check(partition), deadlineMs);
    const partitionOf = inner.partitionOf?.bind(inner);
    if (partitionOf) this.partitionOf = partitionOf;
    if (inner.outbox) this.outbox = new GuardedOutbox(inner.outbox, this.guard, (key) => this.partOf(key));
    const applyReplicated = inner.applyReplicated?.bind(inner);
    if (applyReplicated) {
      this.applyReplicated = (mutation, wanted, timeoutMs) =>
        this.guard.run(() => applyReplicated(mutation, wanted, timeoutMs), this.partOf(mutation.key), timeoutMs);
    }
  }

  /** false while callers are answered at once with an error. */
  get available(): boolean {
    return this.guard.available;
  }

  setDeadline(deadlineMs: number): void {
    this.guard.setDeadline(deadlineMs);
  }

  getMany(keys: readonly string[], fresh?: boolean): Promise<readonly (Entry | undefined)[]> {
    return this.guard.run(() => this.inner.getMany(keys, fresh), this.partOf(keys[0]));
  }

  applyMany(mutations: readonly Mutation[]): Promise<readonly Outcome[]> {
    return this.guard.run(() => this.inner.applyMany(mutations), this.partOf(mutations[0]?.key));
  }

  scan(prefix: string, cursor: string | undefined, limit: number): Promise<Page> {
    return this.guard.run(() => this.inner.scan(prefix, cursor, limit));
  }

  usedBytes(namespace: string): Promise<number | undefined> {
    const ask = async () => this.inner.usedBytes?.(namespace);
    // No part that keys are in is to blame for one that counts: a layer of parts does not make anybody wait for it.
    return this.partitionOf ? ask() : this.guard.run(ask);
  }

  /** Asks the layer itself, also while it is not asked for anything else. @throws LayerTimeout, LayerUnavailable */
  check(partition?: string): Promise<void> {
    return this.guard.check(partition);
  }

  close(): Promise<void> {
    this.guard.close();
    return this.inner.close();
  }

  private partOf(key: string | undefined): string | undefined {
    return key === undefined ? undefined : this.partitionOf?.(key);
  }
}

/** The outbox of a layer fails with it. */
class GuardedOutbox implements Outbox {
  constructor(
    private readonly inner: Outbox,
    private readonly guard: Guard,
    private readonly partOf: (key: string) => string | undefined,
  ) {}

  get lookEveryMs(): number {
    return this.inner.lookEveryMs;
  }

  risk(): Promise<string | undefined> {
    return this.guard.run(() => this.inner.risk());
  }

  parts(): Promise<readonly string[]> {
    return this.inner.parts();
  }

  due(part: string, cursor: string | undefined, limit: number): Promise<DuePage> {
    return this.guard.run(() => this.inner.due(part, cursor, limit));
  }

  list(part: string, state: OutboxState, cursor: string | undefined, limit: number): Promise<OutboxPage> {
    return this.guard.run(() => this.inner.list(part, state, cursor, limit));
  }

  counts(part: string): Promise<OutboxCounts> {
    return this.guard.run(() => this.inner.counts(part));
  }

  find(key: string): Promise<OutboxRecord | undefined> {
    return this.guard.run(() => this.inner.find(key), this.partOf(key));
  }

  change(key: string, version: number, change: OutboxChange): Promise<boolean> {
    return this.guard.run(() => this.inner.change(key, version, change), this.partOf(key));
  }
}

/** The same for a layer of copies. */
export class GuardedCopies implements CopyLayer {
  private readonly guard: Guard;

  constructor(
    private readonly inner: CopyLayer,
    name: LayerName,
    deadlineMs: number,
  ) {
    this.guard = new Guard(name, () => inner.check(), deadlineMs);
  }

  setDeadline(deadlineMs: number): void {
    this.guard.setDeadline(deadlineMs);
  }

  getCopies(keys: readonly string[], epoch: number): Promise<readonly (Entry | undefined)[]> {
    return this.guard.run(() => this.inner.getCopies(keys, epoch));
  }

  copyMany(copies: readonly Copy[]): Promise<readonly CopyOutcome[]> {
    return this.guard.run(() => this.inner.copyMany(copies));
  }

  check(): Promise<void> {
    return this.guard.check();
  }

  close(): Promise<void> {
    this.guard.close();
    return this.inner.close();
  }
}
