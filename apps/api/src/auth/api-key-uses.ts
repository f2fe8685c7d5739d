import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { log } from '../platform/logging.js';
import type { Principal } from './principal.js';

const WRITE_INTERVAL_MS = 5000;
/** So exact is what is stored: a key in use costs one written row a minute, on however many nodes it is used. */
const GRANULARITY_SECONDS = 60;

/** Keeps in mind which API keys are used and writes it down now and then, in one statement for all. */
@Injectable()
export class ApiKeyUses implements OnModuleInit, OnApplicationShutdown {
  private used = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> | undefined;

  constructor(private readonly database: DataSource) {}

  onModuleInit(): void {
    this.timer = setInterval(() => void this.write(), WRITE_INTERVAL_MS).unref();
  }

  /** After the last request, while the database is there. */
  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.writing;
    await this.write();
  }

  /** Called with every request: it costs no more than finding the id in a set. */
  note({ type, id }: Principal): void {
    if (type === 'api_key') this.used.add(id);
  }

  /** One at a time: while the database is slow, what is used meanwhile goes with the next. */
  private write(): Promise<void> {
    this.writing ??= this.writeUsed().finally(() => (this.writing = undefined));
    return this.writing;
  }

  private async writeUsed(): Promise<void> {
    if (this.used.size === 0) return;
    const ids = [...this.used];
    this.used.clear();
    try {
      await this.database.query(
        // Locked in the same order by every node, so that none waits for another in a circle.
        `UPDATE api_keys SET last_used_at = now() WHERE id IN (
           SELECT id FROM api_keys
           WHERE id = ANY($1) AND (last_used_at IS NULL OR last_used_at < now() - $2 * interval '1 second')
           ORDER BY id FOR NO KEY UPDATE)`,
        [ids, GRANULARITY_SECONDS],
      );
    } catch (error) {
      // It goes with what is used until the next time.
      for (const id of ids) this.used.add(id);
      log.debug({ err: error }, 'could not write down which API keys are used');
    }
  }
}
