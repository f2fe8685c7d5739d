import type { LayerName } from '@cache-system/contracts';
import { BrokenCircuitError } from 'cockatiel';
import type { CopyTier } from './copy-tier.js';
import type { Entry } from './entry.js';
import { LayerUnavailable, StorageFull } from './errors.js';
import type { KeyedLayer, Page, ReplicatedLayer, Replication } from './layer.js';
import { contentAfter, type Mutation, type Outcome } from './mutation.js';
import type { Outbox } from './outbox.js';
import { NOT_TRUSTED, type ReadTrace } from './read-trace.js';
import { CommandNotRun } from './redis/errors.js';

/** How many replicas a write waits for, and how long. */
export interface ReplicationWish {
  readonly wanted: (replicas: number) => number;
  readonly timeoutMs: number;
}

export interface Fetched {
  readonly entry: Entry | undefined;
  /** What there was until it ended to be current. */
  readonly stale?: Entry;
  /** The layer that answered. */
  readonly layer: LayerName;
  readonly searched: readonly LayerName[];
  readonly unavailable: readonly LayerName[];
}

export interface Applied {
  readonly outcome: Outcome;
  /** The entry as it is now, after a mutation that leaves one. */
  readonly entry: Entry | undefined;
  /** The shared layers that hold the entry now, or from which it was removed. */
  readonly layers: readonly LayerName[];
  readonly replication: Replication;
}

/** A server that was frozen may run what was asked of it long ago. */
const IN_DOUBT_MS = 60_000;
const MAX_IN_DOUBT = 10_000;
const NOT_REPLICATED: Replication = { confirmedBy: [], confirmed: 0, wanted: 0 };

/** The layers that the nodes share. The deepest is where the truth is; one above it holds copies. */
export class SharedTiers {
  /** From the top. */
  readonly names: readonly LayerName[];

  /** Keys of mutations that failed, and since when: they may happen yet. */
  private readonly inDoubt = new Map<string, number>();
  private readonly copies: CopyTier | undefined;
  private readonly replicated: Partial<ReplicatedLayer> | undefined;

  /**
   * @param truth the deepest layer
   * @param replicated the same, if it has replicas to wait for
   */
  constructor(
    readonly deepest: LayerName,
    private readonly truth: KeyedLayer,
    { copies, replicated }: { copies?: CopyTier; replicated?: Partial<ReplicatedLayer> } = {},
  ) {
    this.copies = copies;
    this.replicated = replicated;
    this.names = copies ? ['L2', deepest] : [deepest];
  }

  /**
   * @param trustCopies false: only the deepest layer is asked
   * @throws LayerTimeout, LayerUnavailable
   */
  async get(key: string, trustCopies: boolean, trace?: ReadTrace): Promise<Fetched> {
    const { copies, deepest } = this;
    if (!copies || !trustCopies) {
      if (copies) trace?.skip(['L2'], NOT_TRUSTED);
      const entry = await this.ask(deepest, this.truth.get(key), trace);
      return { entry, layer: deepest, searched: [deepest], unavailable: [] };
    }
    const epoch = copies.currentEpoch;
    const unavailable: LayerName[] = [];
    try {
      const copy = await this.ask('L2', copies.get(key, trace), trace);
      if (copy) return { entry: copy, layer: 'L2', searched: ['L2'], unavailable };
    } catch {
      unavailable.push('L2');
    }
    const readAtMs = performance.now();
    const entry = await this.ask(deepest, this.truth.get(key), trace);
    if (entry && unavailable.length === 0) {
      copies.fill(key, entry, epoch, readAtMs);
      trace?.fences.push({ layer: 'L2', outcome: 'sent' });
    }
    return { entry, layer: deepest, searched: unavailable.length > 0 ? [deepest] : ['L2', deepest], unavailable };
  }

  /** As `get` for many keys, where there is one layer to ask; undefined otherwise. @throws LayerTimeout, LayerUnavailable */
  getMany(keys: readonly string[]): Promise<readonly (Entry | undefined)[]> | undefined {
    return this.copies ? undefined : this.truth.getMany(keys);
  }

  /** The newest that was acknowledged. @throws LayerTimeout, LayerUnavailable */
  async getFresh(key: string, trace?: ReadTrace): Promise<Fetched> {
    const { deepest: layer } = this;
    return { entry: await this.ask(layer, this.fresh(key), trace), layer, searched: [layer], unavailable: [] };
  }

  /** As the next mutation will find it. @throws LayerTimeout, LayerUnavailable */
  fresh(key: string): Promise<Entry | undefined> {
    return this.truth.get(key, true);
  }

  /** Of the deepest layer. */
  get outbox(): Outbox | undefined {
    return this.truth.outbox;
  }

  /** Live keys of the deepest layer, page by page. @throws LayerTimeout, LayerUnavailable */
  scan(prefix: string, cursor: string | undefined, limit: number): Promise<Page> {
    return this.truth.scan(prefix, cursor, limit);
  }

  /** Of the deepest layer. @throws LayerTimeout, LayerUnavailable */
  usedBytes(namespace: string): Promise<number | undefined> {
    return this.truth.usedBytes(namespace);
  }

  /**
   * @param around true: the copies above are dropped, not replaced
   * @throws LayerTimeout, LayerUnavailable, StorageFull
   */
  async apply(mutation: Mutation, around: boolean, replicate?: ReplicationWish): Promise<Applied> {
    const epoch = this.copies?.currentEpoch ?? 0;
    const { outcome, replication } = await this.decide(mutation, replicate).catch((error: unknown) => {
      if (!hasCertainlyNotRun(error)) this.noteDoubt(mutation.key);
      throw error;
    });
    const content = 'stamp' in outcome ? contentAfter(mutation, outcome, undefined) : undefined;
    const entry = content && 'stamp' in outcome ? { ...content, ...outcome.stamp } : undefined;
    const layers: LayerName[] = [];
    if (this.copies && concernsCopies(mutation, outcome)) {
      const copy = around ? undefined : entry;
      const present = await this.copies.update(mutation.key, copy, outcome.revision, epoch).catch((cause: unknown) => {
        throw new LayerUnavailable(this.deepest, { cause });
      });
      const holdsIt = mutation.kind === 'remove' ? present === true : present !== undefined && entry && !around;
      if (holdsIt) layers.push('L2');
    }
    if ('stamp' in outcome || outcome.status === 'removed') layers.push(this.deepest);
    return { outcome, entry, layers, replication };
  }

  /**
   * To be told of every change that is announced: it may be a mutation of ours that had failed and has happened after
   * all, and nobody has told the layer of copies.
   */
  changed(key: string, revision: number): void {
    if (this.inDoubt.has(key)) this.forget(key, revision);
  }

  /** To be told when changes may not have been heard: one of those that had failed may be among them. */
  missed(): void {
    if (this.inDoubt.size === 0) return;
    this.copies?.distrust().catch(() => undefined);
  }

  private ask<T>(layer: LayerName, answer: Promise<T | undefined>, trace?: ReadTrace): Promise<T | undefined> {
    return trace ? trace.ask(layer, answer) : answer;
  }

  private forget(key: string, revision: number): void {
    const epoch = this.copies?.currentEpoch ?? 0;
    // One that fails raises the epoch in the end.
    this.copies?.update(key, undefined, revision, epoch).catch(() => undefined);
  }

  private noteDoubt(key: string): void {
    if (!this.copies) return;
    const heard = this.copies.latestChange(key);
    if (heard !== undefined) this.forget(key, heard);
    const nowMs = performance.now();
    for (const [other, sinceMs] of this.inDoubt) {
      if (nowMs - sinceMs < IN_DOUBT_MS) break;
      this.inDoubt.delete(other);
    }
    if (this.inDoubt.size < MAX_IN_DOUBT) this.inDoubt.set(key, nowMs);
    else this.copies.distrust().catch(() => undefined);
  }

  private async decide(
    mutation: Mutation,
    wish: ReplicationWish | undefined,
  ): Promise<{ outcome: Outcome; replication: Replication }> {
    if (wish && this.replicated?.applyReplicated)
      return this.replicated.applyReplicated(mutation, wish.wanted, wish.timeoutMs);
    return { outcome: await this.truth.apply(mutation), replication: NOT_REPLICATED };
  }
}

/** Whether a call failed before anything was asked of a server. */
function hasCertainlyNotRun(error: unknown): boolean {
  if (error instanceof StorageFull) return true;
  const { cause } = error as Error;
  return cause instanceof CommandNotRun || cause instanceof BrokenCircuitError;
}

/** A removal concerns them also where the deepest layer had nothing: it may have lost or evicted the entry. */
function concernsCopies(mutation: Mutation, outcome: Outcome): boolean {
  if ('stamp' in outcome) return true;
  return mutation.kind === 'remove' && (outcome.status === 'removed' || outcome.status === 'missing');
}
