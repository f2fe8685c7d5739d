import { setTimeout as delay } from 'node:timers/promises';
import type { Entry } from './entry.js';
import type { Copy, CopyLayer, CopyOutcome } from './layer.js';
import type { ReadTrace } from './read-trace.js';
import type { RecentChanges } from './recent-changes.js';
import { settle, type Waiting } from './waiting.js';

const MAX_BATCH = 256;
/** An invalidation is remembered for longer than this, so a copy that comes sooner cannot bring back what it removed. */
const FRESH_MS = 5000;
const REMEMBER_MS = 10_000;
const RAISE_AGAIN_MS = 200;
const BEING_DISTRUSTED =
  'this node could not bring it up to date after a write, and is telling all nodes to pass it over';
const OLDER = 'its copy is older than a change that was announced';
const NOT_HEARD_FOR_LONG =
  'this node does not listen for long enough yet to know that its copy is not older than a change';

/**
 * A shared layer above the deepest: L2 where there is an L3. It holds copies, and takes only such as are no older than
 * what it knows. A node that cannot bring it up to date raises the epoch, which makes all nodes pass over what is in it.
 */
export class CopyTier {
  private epoch = 0;
  private reads: (Waiting<Entry | undefined> & { key: string })[] = [];
  private writes: (Waiting<CopyOutcome> & { copy: Copy })[] = [];
  private scheduled = false;
  /** While there are any, this node passes over all copies. */
  private openRaises = 0;
  private failedRaises = 0;

  /**
   * @param raiseEpoch for all nodes
   * @param changes that were announced: a writer announces with its change, and brings this layer up to date after that
   */
  constructor(
    private readonly layer: CopyLayer,
    private readonly defaultTtlMs: () => number,
    private readonly raiseEpoch: () => Promise<void>,
    private readonly changes: RecentChanges,
  ) {}

  /** What the copies that are to be trusted carry. */
  get currentEpoch(): number {
    return this.epoch;
  }

  setEpoch(epoch: number): void {
    this.epoch = epoch;
  }

  /** Undefined also where there is a copy that may be older than what is known. */
  async get(key: string, trace?: ReadTrace): Promise<Entry | undefined> {
    if (this.openRaises > 0) {
      trace?.withhold('skipped', BEING_DISTRUSTED);
      return undefined;
    }
    const copy = await new Promise<Entry | undefined>((resolve, reject) => {
      this.reads.push({ key, resolve, reject });
      this.schedule(this.reads.length);
    });
    if (!copy || this.changes.allows(key, copy)) return copy;
    trace?.withhold('fenced', (this.changes.latest(key) ?? 0) > copy.revision ? OLDER : NOT_HEARD_FOR_LONG);
    return undefined;
  }

  /** Keeps what was read from the deepest layer; a failure is of no consequence. */
  fill(key: string, entry: Entry, epoch: number, readAtMs: number): void {
    if (performance.now() - readAtMs > FRESH_MS) return;
    const notAfterMs = Date.now() + FRESH_MS - (performance.now() - readAtMs);
    this.put({ ...this.copyOf(key, entry, epoch), notAfterMs }).catch(() => undefined);
  }

  /**
   * Brings the copy up to date after a write that the deepest layer has decided; without an entry, nothing older than
   * the revision comes back. Resolves once no node can read an older copy any more; rejects when that cannot be brought
   * about now.
   * @param epoch from before the write was decided: who could not bring a later one here has raised it since
   * @returns whether there had been an entry; undefined when the layer could not be reached
   */
  async update(key: string, entry: Entry | undefined, revision: number, epoch: number): Promise<boolean | undefined> {
    const copy = entry ? this.copyOf(key, entry, epoch) : { key, entry, revision, epoch, ttlMs: REMEMBER_MS };
    try {
      const { present } = await this.put(copy);
      return present;
    } catch {
      await this.distrust();
      return undefined;
    }
  }

  /** What a mutation did to a key of which its writer does not know it: perhaps it was announced before that failed. */
  latestChange(key: string): number | undefined {
    return this.changes.latest(key);
  }

  /**
   * Makes every node pass over what is in the layer now: it may be old. This node does so at once, and until the others
   * know. Rejects when they cannot be told now; that is tried until it is done.
   */
  async distrust(): Promise<void> {
    this.openRaises++;
    try {
      await this.raiseEpoch();
      this.openRaises--;
    } catch (error) {
      if (this.failedRaises++ === 0) void this.raiseAgain();
      throw error;
    }
  }

  private async raiseAgain(): Promise<void> {
    while (this.failedRaises > 0) {
      await delay(RAISE_AGAIN_MS, undefined, { ref: false });
      // What fails from here on is not settled by this attempt.
      const settled = this.failedRaises;
      try {
        await this.raiseEpoch();
      } catch {
        continue;
      }
      this.failedRaises -= settled;
      this.openRaises -= settled;
    }
  }

  private copyOf(key: string, entry: Entry, epoch: number): Copy {
    const defaultMs = entry.defaultTtl ? this.defaultTtlMs() : 0;
    const left = entry.expiresAtMs === 0 ? 0 : Math.max(1, entry.expiresAtMs - Date.now());
    const ttlMs = defaultMs === 0 || left === 0 ? defaultMs || left : Math.min(defaultMs, left);
    return { key, entry, revision: entry.revision, epoch, ttlMs: Math.round(ttlMs) };
  }

  private put(copy: Copy): Promise<CopyOutcome> {
    return new Promise((resolve, reject) => {
      this.writes.push({ copy, resolve, reject });
      this.schedule(this.writes.length);
    });
  }

  private schedule(waiting: number): void {
    if (waiting >= MAX_BATCH) this.flush();
    else if (!this.scheduled) {
      this.scheduled = true;
      setImmediate(() => {
        this.scheduled = false;
        this.flush();
      });
    }
  }

  private flush(): void {
    const { reads, writes } = this;
    this.reads = [];
    this.writes = [];
    if (writes.length > 0) settle(writes, this.layer.copyMany(writes.map(({ copy }) => copy)));
    if (reads.length > 0)
      settle(
        reads,
        this.layer.getCopies(
          reads.map(({ key }) => key),
          this.epoch,
        ),
      );
  }
}
