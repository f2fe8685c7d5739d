import { setTimeout as delay } from 'node:timers/promises';
import { Cache } from '@cache-system/cache-engine';
import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { log } from '../platform/logging.js';
import { Secrets } from '../platform/secrets.js';

const PAGE = 250;
/** Everybody else goes first. */
const PAUSE_MS = 20;
const RETRY_MS = 5000;
/** For so long other nodes leave it to the one that does it: two at once do no harm, and cost twice. */
const TURN_MS = 60_000;
/** Reserved: kept in one namespace for all. */
const TURN = 'default:\u0006reencrypt';

/**
 * Where ENCRYPTION_KEYS has more than one key, each node that starts sees to it that everything is sealed with the first
 * of them: in the background, one node after the other. What was sealed by nodes that had the old order is found by the
 * last of them, and then the old key can be dropped.
 */
@Injectable()
export class Reencryption implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly cache: Cache,
    private readonly secrets: Secrets,
  ) {}

  onApplicationBootstrap(): void {
    const { encryptionKeys } = this.secrets;
    if (encryptionKeys && encryptionKeys.size > 1) this.running = this.run(encryptionKeys.current.id);
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(keyId: string): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      try {
        const { status, revision } = await this.cache.lease({ kind: 'lease', key: TURN, leaseMs: TURN_MS });
        if (status === 'leased') {
          const isDone = await this.sweep(keyId);
          await this.cache.lease({ kind: 'release', key: TURN, token: revision });
          if (isDone) return;
        }
      } catch (error) {
        log.warn({ err: error }, 'entries could not be encrypted anew, and will be later');
      }
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** @returns false where it was interrupted */
  private async sweep(keyId: string): Promise<boolean> {
    let [done, failed] = [0, 0];
    let cursor: string | undefined;
    do {
      if (this.stopping.signal.aborted) return false;
      const page = await this.cache.scan('', cursor, PAGE);
      cursor = page.cursor;
      for (const { key, attributes } of page.heads) {
        if (!attributes?.encrypted) continue;
        try {
          if (await this.cache.reseal(key)) done++;
        } catch (error) {
          failed++;
          log.warn({ err: error }, 'an entry could not be encrypted anew');
        }
      }
      await delay(PAUSE_MS);
    } while (cursor !== undefined);
    log.info({ key_id: keyId, entries: done, failed }, 'entries have been encrypted with the current key');
    return true;
  }
}
