import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { Cache } from './cache.js';
import type { Entry } from './entry.js';
import type { Exclusive, Turn } from './exclusive.js';
import { NO_FAILURES, type Outbox, type OutboxChange, type OutboxRecord } from './outbox.js';
import { EntryUnreadable } from './stored-form.js';

export interface WriteBehindSettings {
  /** So often a write is tried until it is given up. */
  readonly maxAttempts: number;
  /** Before the second attempt; twice as long before each one after that. By chance up to half of it is left out. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
}

/** What is to be done with a write that is due. */
export interface Delivery {
  /** Names the source: what waits for one does not hold up what waits for others. */
  readonly source: string;
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
/** So many pages are looked at in one go; the next one goes on from there. */
const PAGES_A_LOOK = 40;
/** Of one source at a time, of those that were left behind. */
const MAX_TAKEN_UP = 250;
/** Beyond that a write is found again when it is looked for what was left behind. */
const MAX_UNDER_WAY = 10_000;
/** A source that is not asked at the moment is not asked for a while. */
const NOT_ASKED_DOUBLINGS = 3;
/** Of a key that somebody else is writing: what they do may settle it. */
const BUSY_MS = 200;
const STOP_LOOK_MS = 10;

/**
 * Brings the writes of the outbox to their sources. Whoever takes a write delivers it; every node looks, too, for what
 * others have left behind. One node at a time delivers a key, by the turn of `Exclusive`, and always the newest write of
 * it: so a source gets the writes of a key in their order, and not those that were replaced before it got them.
 */
export class WriteBehind {
  readonly counts: WriteBehindCounts = { delivered: 0, failures: 0, takenOver: 0, died: 0, replayed: 0 };
  private readonly underWay = new Map<string, Work>();
  private readonly takenUp = new Map<string, number>();
  /** Where the last look at a part has ended before it was through. */
  private readonly positions = new Map<string, string>();
  private readonly stopping = new AbortController();
  private hasEnded = false;
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
    else if (this.underWay.size < MAX_UNDER_WAY) this.begin(key, this.deliveryOf(key));
  }

  /** Tries a dead letter again, as if it had just been written. @returns whether there was one */
  async replay(key: string): Promise<boolean> {
    if (!(await this.changeDead(key, { to: 'waiting', failures: NO_FAILURES }))) return false;
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
    this.hasEnded = true;
  }

  private async changeDead(key: string, change: OutboxChange): Promise<boolean> {
    const record = await this.outbox.find(key);
    return record?.state === 'dead' && (await this.outbox.change(key, record.entry.version, change));
  }

  private begin(key: string, delivery: Delivery | undefined, done?: () => void): void {
    if (this.hasEnded) return;
    const work: Work = { again: false };
    this.underWay.set(key, work);
    const run = () => this.work(key, delivery, work, done !== undefined);
    // What fails here is a layer; the write is still noted there.
    (delivery ? delivery.queue(run) : run())
      .catch(() => undefined)
      .finally(() => {
        this.underWay.delete(key);
        done?.();
        if (work.again) this.note(key);
      });
  }

  private async work(key: string, delivery: Delivery | undefined, work: Work, isTakenUp: boolean): Promise<void> {
    if (this.hasEnded) return;
    work.again = false;
    const isDone = await this.exclusive.runIfFree(key, delivery?.leaseMs ?? BUSY_MS, async (turn) => {
      const record = await this.due(key);
      if (!record || turn.isOver()) return;
      if (isTakenUp && record.failures.reason === '') this.counts.takenOver++;
      // Each delivery has a turn of its own, by which the source can tell what comes too late.
      if (await this.attempt(record, delivery, turn)) work.again = true;
    });
    if (!isDone && !isTakenUp) this.tryAgain(key, BUSY_MS);
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
      // Sources are closed under what has not come to an end by then.
      return !this.hasEnded && this.failed(record, error);
    }
    this.counts.delivered++;
    return !(await this.outbox.change(key, entry.version, { to: 'gone' }));
  }

  /** @returns whether there is a newer write by now */
  private async failed(record: OutboxRecord, error: unknown): Promise<boolean> {
    const { key, entry, failures: before } = record;
    const { maxAttempts, backoffMs, maxBackoffMs } = this.settings();
    // A key to decrypt it with may be given again.
    const isAttempt = !(error instanceof NotAsked || error instanceof EntryUnreadable);
    const attempts = before.attempts + (isAttempt ? 1 : 0);
    if (isAttempt) this.counts.failures++;
    const doublings = isAttempt ? before.attempts : NOT_ASKED_DOUBLINGS;
    const waitMs = Math.min(backoffMs * 2 ** doublings, maxBackoffMs) * (1 - Math.random() / 2);
    const reason = error instanceof Error ? error.message : String(error);
    const failures = { attempts, dueAtMs: Math.ceil(Date.now() + waitMs), reason };
    const to = attempts >= maxAttempts ? 'dead' : 'waiting';
    if (!(await this.outbox.change(key, entry.version, { to, failures }))) return true;
    if (to === 'dead') this.counts.died++;
    else this.tryAgain(key, waitMs + 1);
    this.report({ ...record, state: to, failures }, error);
    return false;
  }

  private tryAgain(key: string, waitMs: number): void {
    // Those that wait for long are found when it is looked for them.
    if (waitMs > this.outbox.lookEveryMs) return;
    setTimeout(() => {
      if (!this.stopping.signal.aborted) this.note(key);
    }, waitMs).unref();
  }

  private async keepLooking(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      // A layer that cannot be asked now is asked again.
      const parts = await this.outbox.parts().catch(() => []);
      for (const part of parts) await this.look(part).catch(() => this.positions.delete(part));
      const waitMs = this.outbox.lookEveryMs * (0.5 + Math.random());
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Takes over what nobody delivers. */
  private async look(part: string): Promise<void> {
    let cursor = this.positions.get(part);
    for (let pages = 0; pages < PAGES_A_LOOK && !this.stopping.signal.aborted; pages++) {
      const page = await this.outbox.due(part, cursor, PAGE);
      for (const key of page.keys) this.takeUp(key);
      cursor = page.cursor;
      if (cursor === undefined) break;
      await nextTurn();
    }
    if (cursor === undefined) this.positions.delete(part);
    else this.positions.set(part, cursor);
  }

  private takeUp(key: string): void {
    if (this.underWay.has(key)) return;
    const delivery = this.deliveryOf(key);
    const source = delivery?.source ?? '';
    const count = this.takenUp.get(source) ?? 0;
    if (count >= MAX_TAKEN_UP) return;
    this.takenUp.set(source, count + 1);
    this.begin(key, delivery, () => this.takenUp.set(source, (this.takenUp.get(source) ?? 1) - 1));
  }
}
