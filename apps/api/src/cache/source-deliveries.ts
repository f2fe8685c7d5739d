import {
  Cache,
  type Delivery,
  type Entry,
  Exclusive,
  NotAsked,
  type Outbox,
  type OutboxRecord,
  WriteBehind,
} from '@cache-system/cache-engine';
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { BrokenCircuitError, bulkhead, type BulkheadPolicy } from 'cockatiel';
import { LiveConfig } from '../platform/live-config.js';
import { log } from '../platform/logging.js';
import { SourceUnavailable } from '../sources/source.js';
import { toSource } from '../sources/source-value.js';
import { type OpenSource, Sources } from '../sources/sources.js';

/** Beyond the time that a call of a source may take, for what comes before and after it. */
const TURN_MARGIN_MS = 2000;
/** What is under way when the service is stopped is waited for so long. */
const STOP_PATIENCE_MS = 10_000;

/** Writes that were answered before their source has them (`write-behind`), on the way there. */
@Injectable()
export class SourceDeliveries implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly writeBehind: WriteBehind;
  readonly outbox: Outbox;
  /** Readers of a source must not wait for all that is to be written to it. */
  private readonly queues = new Map<OpenSource, BulkheadPolicy>();

  constructor(
    private readonly cache: Cache,
    private readonly sources: Sources,
    exclusive: Exclusive,
    config: LiveConfig,
  ) {
    if (!cache.outbox) throw new Error('the shared layer cannot keep writes for later');
    this.outbox = cache.outbox;
    const settings = () => {
      const { max_attempts, backoff_ms, max_backoff_ms } = config.current.cache.strategies.write_behind;
      return { maxAttempts: max_attempts, backoffMs: backoff_ms, maxBackoffMs: max_backoff_ms };
    };
    this.writeBehind = new WriteBehind(cache, this.outbox, exclusive, (key) => this.deliveryOf(key), settings, report);
  }

  /** To be called when a write was noted in the outbox. */
  note(key: string): void {
    this.writeBehind.note(key);
  }

  /** Which write of a key the source is still to get; undefined where it has all there is. */
  async notedVersion(key: string): Promise<number | undefined> {
    return (await this.outbox.find(key))?.entry.version;
  }

  /** The source has got what was written later: the write that was noted need not be brought there any more. */
  async settle(key: string, version: number): Promise<void> {
    await this.outbox.change(key, version, { to: 'gone' });
  }

  /** What a key was last written to be, where its source does not have that yet. */
  async pending(key: string): Promise<Entry | undefined> {
    const record = await this.outbox.find(key);
    return record && this.cache.servedFrom(record);
  }

  async onApplicationBootstrap(): Promise<void> {
    if (!this.sources.all.some(({ source }) => source.store !== undefined)) return;
    this.writeBehind.start();
    const risk = await this.outbox.risk().catch(() => undefined);
    if (risk !== undefined) log.warn({ risk }, 'writes with write-behind may be lost');
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.writeBehind.stop(STOP_PATIENCE_MS);
  }

  private deliveryOf(key: string): Delivery | undefined {
    const at = key.indexOf(':');
    const name = key.slice(at + 1);
    const found = this.sources.find(key.slice(0, at), name);
    if (!found?.source.store) return undefined;
    const { source, definition } = found;
    return {
      source: source.name,
      leaseMs: definition.hard_timeout_ms + TURN_MARGIN_MS,
      queue: (task) => this.queueOf(found).execute(() => found.limit.execute(task)),
      deliver: async (entry, { number: turn }) => {
        const value = { bytes: toSource(source, entry), write: `entry ${entry.version}`, turn };
        try {
          await source.store?.(name, value, AbortSignal.timeout(definition.hard_timeout_ms));
        } catch (error) {
          const wasNotAsked = error instanceof SourceUnavailable && error.cause instanceof BrokenCircuitError;
          throw wasNotAsked ? new NotAsked(error.message, { cause: error }) : error;
        }
      },
    };
  }

  private queueOf(found: OpenSource): BulkheadPolicy {
    let queue = this.queues.get(found);
    if (!queue) this.queues.set(found, (queue = bulkhead(Math.ceil(found.connections / 2), Infinity)));
    return queue;
  }
}

function report({ key, state, failures }: OutboxRecord, error: unknown): void {
  const about = { key, attempts: failures.attempts, err: error };
  if (state === 'dead') log.error(about, 'a write was given up: it is among the dead letters of write-behind');
  else if (!(error instanceof NotAsked)) log.warn(about, 'a write could not be brought to its source yet');
}
