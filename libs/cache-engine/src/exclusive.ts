import { setTimeout as delay } from 'node:timers/promises';
import type { Cache } from './cache.js';
import { TooMuchContention } from './errors.js';
import { KeyQueue } from './key-queue.js';
import { reservedKey } from './tags.js';

const WRITE = '\u0004write:';
const FIRST_LOOK_MS = 2;
const LONGEST_LOOK_MS = 50;

export interface Turn {
  readonly number: number;
  /** Somebody else may have begun by now. */
  isOver(): boolean;
}

interface Held {
  readonly key: string;
  readonly token: number;
  readonly endsAtMs: number;
}

/**
 * One writer of a key at a time, over all nodes, for what takes more than one step: a source and the layers have to see
 * writes in the same order. On one node they queue up; over nodes a lease beside the key decides. Who dies with it holds
 * the others up until it ends.
 */
export class Exclusive {
  private readonly queue = new KeyQueue();

  constructor(private readonly cache: Cache) {}

  /**
   * @param leaseMs longer than `work` takes: after that, another one may begin
   * @param work is told of its turn; each has a later number than those before
   * @throws TooMuchContention, what `work` throws, LayerTimeout, LayerUnavailable
   */
  run<T>(key: string, leaseMs: number, work: (turn: Turn) => Promise<T>): Promise<T> {
    return this.queue.run(key, async () => {
      const held = await this.take(reservedKey(key, WRITE), leaseMs);
      return this.under(held, work);
    });
  }

  /**
   * As `run`, where the turn is nobody's; otherwise nothing is done. Does not wait for writers of this node either: they
   * may wait for what the caller has.
   * @returns whether it was done
   * @throws what `work` throws, LayerTimeout, LayerUnavailable
   */
  async runIfFree(key: string, leaseMs: number, work: (turn: Turn) => Promise<void>): Promise<boolean> {
    if (this.queue.isBusy(key)) return false;
    return this.queue.run(key, async () => {
      const held = await this.lease(reservedKey(key, WRITE), leaseMs);
      if (held) await this.under(held, work);
      return held !== undefined;
    });
  }

  private async under<T>({ key, token, endsAtMs }: Held, work: (turn: Turn) => Promise<T>): Promise<T> {
    try {
      return await work({ number: token, isOver: () => performance.now() > endsAtMs });
    } finally {
      await this.cache.lease({ kind: 'release', key, token }).catch(() => undefined);
    }
  }

  private async lease(key: string, leaseMs: number): Promise<Held | undefined> {
    // It begins when it is given, of which the answer may be late.
    const endsAtMs = performance.now() + leaseMs;
    const outcome = await this.cache.lease({ kind: 'lease', key, leaseMs });
    return outcome.status === 'leased' ? { key, token: outcome.revision, endsAtMs } : undefined;
  }

  private async take(key: string, leaseMs: number): Promise<Held> {
    const giveUpAt = performance.now() + 2 * leaseMs;
    for (let waitMs = FIRST_LOOK_MS; performance.now() < giveUpAt; waitMs = Math.min(waitMs * 2, LONGEST_LOOK_MS)) {
      const held = await this.lease(key, leaseMs);
      if (held) return held;
      await delay(Math.random() * waitMs);
    }
    throw new TooMuchContention(2 * leaseMs);
  }
}
