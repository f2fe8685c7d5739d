import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { log } from '../logging.js';

const INTERVAL_MS = 3_600_000;

/**
 * Tells the log of the process where the audit log ends, at the start and every hour. Whoever owns the database could
 * write all of it anew, and not what has left the machine since.
 */
@Injectable()
export class AuditHeadLog implements OnApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly database: DataSource) {}

  /** To be called once the service has started. */
  async begin(): Promise<void> {
    await this.tell();
    this.timer = setInterval(() => {
      this.tell().catch((error: unknown) => log.warn({ err: error }, 'could not read the head of the audit log'));
    }, INTERVAL_MS).unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  private async tell(): Promise<void> {
    const [head] = await this.database.query<object[]>(`SELECT seq, encode(hash, 'hex') AS hash FROM audit_head`);
    log.info(head, 'the audit log ends here');
  }
}
