import { setTimeout as delay } from 'node:timers/promises';
import type { Cache } from './cache.js';
import type { Entry } from './entry.js';
import type { Exclusive, Turn } from './exclusive.js';
import type { Failures, Outbox, OutboxChange, OutboxRecord } from './outbox.js';

export interface WriteBehindSettings {
  /** So often a write is tried until it is given up. */
  readonly maxAttempts: number;
  /** Before the second attempt; twice as long before each one after that. By chance up to half of it is left out. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
}

/** What is to be done with a write that is due. */
export interface Delivery {
  /** For so long nobody else may write the key: longer than `deliver` takes. */
  readonly leaseMs: number;
  /** Brings the value to the source. May be repeated, with the same version and another turn. */
  deliver(entry: Entry, turn: Turn): Promise<void>;
  /** Runs a task when it is its turn among all that go to the same source. */
  queue(task: () => Promise<void>): Promise<void>;
}

/** What has been done on this node since it was started. */
export interface WriteBehindCounts {
  delivered: number;
  /** Attempts that came to nothing. */
  failures: number;
  /** Writes that another node, or this one before it was started again, had left behind. */
  takenOver: number;
  /** Writes that were given up. */
  died: number;
  /** Dead letters that were to be tried again. */
  replayed: number;
}

/** The source was not asked at all: that is no attempt. */
export class NotAsked extends Error {}

interface Work {
  /** The key was written again meanwhile. */
  again: boolean;
}

const PAGE = 250;
/** What was written more recently is delivered by the node that took it, most likely. */
const OWN_FOR_MS = 2000;
/** Beyond that a write is found again when it is looked for what was left behind. */
const MAX_UNDER_WAY = 10_000;
/** A source that is not asked at the moment is not asked for a while. */
const NOT_ASKED_DOUBLINGS = 3;
const ROOM_LOOK_MS = 20;
const STOP_LOOK_MS = 10;

/**
 * Brings the writes of the outbox to their sources. Whoever takes a write delivers it; every node looks, too, for what
 * others have left behind. One node at a time delivers a key, by the turn of `Exclusive`, and always the newest write of
 * it: so a source gets the writes of a key in their order, and not those that were replaced before it got them.
 */
export class WriteBehind {
  readonly counts: WriteBehindCounts = { delivered: 0, failures: 0, takenOver: 0, died: 0, replayed: 0 };
  private readonly underWay = new Map<string, Work>();
  private readonly stopping = new AbortController();
  private looking: Promise<void> | undefined;

  /** @param deliveryOf undefined: there is no source for the key */
  constructor(
    private readonly cache: Cache,
    private readonly outbox: Outbox,
    private readonly exclusive: Exclusive,
    private readonly deliveryOf: (key: string) => Delivery | undefined,
    private readonly settings: () => WriteBehindSettings,
    private readonly report: (record: OutboxRecord, error: unknown) => void,
  ) {}

  start(): void {
    this.looking ??= this.keepLooking();
  }

  /** To be called when a write was noted in the outbox. */
  note(key: string): void {
    const work = this.underWay.get(key);
    if (work) work.again = true;
    else if (this.underWay.size < MAX_UNDER_WAY) this.begin(key, true);
  }

  /** Tries a dead letter again, as if it had just been written. @returns whether there was one */
  async replay(key: string): Promise<boolean> {
    const failures: Failures = { attempts: 0, dueAtMs: 0, reason: '' };
    if (!(await this.changeDead(key, { to: 'waiting', failures }))) return false;
    this.counts.replayed++;
    this.note(key);
    return true;
  }

  /** Gives a dead letter up for good: the source keeps what it has, and the cache asks it. @returns whether there was one */
  async discard(key: string): Promise<boolean> {
    if (!(await this.changeDead(key, { to: 'gone' }))) return false;
    await this.cache.discard(key);
    return true;
  }

  /** Stops, after what is under way has been delivered or so long; the rest is for others, or for the next start. */
  async stop(patienceMs: number): Promise<void> {
    this.stopping.abort();
    await this.looking;
    const giveUpAtMs = performance.now() + patienceMs;
    while (this.underWay.size > 0 && performance.now() < giveUpAtMs) await delay(STOP_LOOK_MS);
  }

  private async changeDead(key: string, change: OutboxChange): Promise<boolean> {
    const record = await this.outbox.find(key);
    return record?.state === 'dead' && (await this.outbox.change(key, record.entry.version, change));
  }

  private begin(key: string, isOwn: boolean): void {
    const delivery = this.deliveryOf(key);
    const work: Work = { again: false };
    this.underWay.set(key, work);
    const run = () => this.work(key, delivery, work, isOwn);
    // What fails here is a layer; the write is still noted there.
    (delivery ? delivery.queue(run) : run())
      .catch(() => undefined)
      .finally(() => {
        this.underWay.delete(key);
        if (work.again) this.note(key);
      });
  }

  private async work(key: string, delivery: Delivery | undefined, work: Work, isOwn: boolean): Promise<void> {
    work.again = false;
    const leaseMs = delivery?.leaseMs ?? OWN_FOR_MS;
    await this.exclusive.runIfFree(key, leaseMs, async (turn) => {
      const record = await this.due(key);
      if (!record || turn.isOver()) return;
      if (!isOwn) this.counts.takenOver++;
      // Each delivery has a turn of its own, by which the source can tell what comes too late.
      if (await this.attempt(record, delivery, turn)) work.again = true;
    });
  }

  private async due(key: string): Promise<OutboxRecord | undefined> {
    const record = await this.outbox.find(key);
    return record?.state === 'waiting' && record.failures.dueAtMs <= Date.now() ? record : undefined;
  }

  /** @returns whether there is a newer write by now */
  private async attempt(record: OutboxRecord, delivery: Delivery | undefined, turn: Turn): Promise<boolean> {
    const { key, entry } = record;
    try {
      if (!delivery) throw new Error('no source takes the key');
      await delivery.deliver(await this.cache.servedFrom(record), turn);
    } catch (error) {
      await this.failed(record, error);
      return false;
    }
    this.counts.delivered++;
    return !(await this.outbox.change(key, entry.version, { to: 'gone' }));
  }

  private async failed(record: OutboxRecord, error: unknown): Promise<void> {
    const { key, entry, failures: before } = record;
    const { maxAttempts, backoffMs, maxBackoffMs } = this.settings();
    const isAttempt = !(error instanceof NotAsked);
    const attempts = before.attempts + (isAttempt ? 1 : 0);
    if (isAttempt) this.counts.failures++;
    const doublings = isAttempt ? before.attempts : NOT_ASKED_DOUBLINGS;
    const waitMs = Math.min(backoffMs * 2 ** doublings, maxBackoffMs) * (1 - Math.random() / 2);
    const reason = error instanceof Error ? error.message : String(error);
    const failures: Failures = { attempts, dueAtMs: Math.ceil(Date.now() + waitMs), reason };
    const isDead = attempts >= maxAttempts;
    const changed = await this.outbox.change(key, entry.version, { to: isDead ? 'dead' : 'waiting', failures });
    if (!changed) return;
    if (isDead) this.counts.died++;
    this.report({ ...record, state: isDead ? 'dead' : 'waiting', failures }, error);
    if (!isDead) this.tryAgain(key, waitMs);
  }

  private tryAgain(key: string, waitMs: number): void {
    // Those that wait for long are found when it is looked for them.
    if (waitMs > this.outbox.lookEveryMs) return;
    setTimeout(() => {
      if (!this.stopping.signal.aborted) this.note(key);
    }, waitMs + 1).unref();
  }

  private async keepLooking(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      // A layer that cannot be asked now is asked again.
      await this.look().catch(() => undefined);
      const waitMs = this.outbox.lookEveryMs * (0.5 + Math.random());
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Takes over what nobody delivers. */
  private async look(): Promise<void> {
    for (const part of await this.outbox.parts()) {
      let cursor: string | undefined;
      do {
        const page = await this.outbox.list(part, 'waiting', cursor, PAGE);
        cursor = page.cursor;
        for (const record of page.records) {
          if (!isLeftBehind(record) || this.underWay.has(record.key)) continue;
          while (this.underWay.size >= PAGE && !this.stopping.signal.aborted) await delay(ROOM_LOOK_MS);
          if (this.stopping.signal.aborted) return;
          this.begin(record.key, record.failures.attempts > 0);
        }
      } while (cursor !== undefined);
    }
  }
}

function isLeftBehind({ entry, failures }: OutboxRecord): boolean {
  const nowMs = Date.now();
  return failures.dueAtMs <= nowMs && (failures.attempts > 0 || entry.updatedAtMs <= nowMs - OWN_FOR_MS);
}
