import { type OnApplicationShutdown, Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { type Actor, AuditLog } from '../../platform/audit/audit-log.js';
import { log } from '../../platform/logging.js';
import type { Dimension as RateLimit } from './allowance.js';

const WRITE_EVERY_MS = 5000;
/** So often at most one subject is written of. */
const REPEAT_AFTER_MS = 60_000;
/** Subjects that are told apart; of more the dimension is noted. */
const MAX_SUBJECTS = 1000;
const SELF: Actor = { type: 'system', id: null, name: null, address: null, request_id: null };

/** `login`: of addresses from which too many logins have failed. */
type Dimension = RateLimit | 'login';

interface Rejected {
  readonly dimension: Dimension;
  readonly subject: string;
  count: number;
  writtenAtMs: number;
}

/** Brings what the limits have refused into the audit log: counted, as each by itself would be a load in itself. */
@Injectable()
export class RateLimitRejections implements OnApplicationShutdown {
  private readonly rejected = new Map<string, Rejected>();
  private readonly timer = setInterval(() => void this.write(), WRITE_EVERY_MS).unref();

  constructor(
    private readonly database: DataSource,
    private readonly audit: AuditLog,
  ) {}

  note(dimension: Dimension, subject: string): void {
    const name = `${dimension}:${subject}`;
    const known = this.rejected.get(name);
    if (known) known.count++;
    else if (this.rejected.size < MAX_SUBJECTS || subject === 'others') {
      this.rejected.set(name, { dimension, subject, count: 1, writtenAtMs: -Infinity });
    } else this.note(dimension, 'others');
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    for (const each of this.rejected.values()) each.writtenAtMs = -Infinity;
    await this.write();
  }

  private async write(): Promise<void> {
    const now = performance.now();
    const due: Rejected[] = [];
    for (const [name, each] of this.rejected) {
      if (now - each.writtenAtMs < REPEAT_AFTER_MS) continue;
      if (each.count > 0) due.push(each);
      else this.rejected.delete(name);
    }
    if (due.length === 0) return;
    const rejections = due.map(({ dimension, subject, count }) => ({ dimension, subject, count }));
    for (const each of due) {
      each.count = 0;
      each.writtenAtMs = now;
    }
    try {
      await this.database.transaction((transaction) =>
        this.audit.record(transaction, {
          action: 'rate_limit.reject',
          outcome: 'refused',
          actor: SELF,
          after: { rejections },
        }),
      );
    } catch (err) {
      log.warn({ err, rejections: rejections.length }, 'could not bring what was refused into the audit log');
      due.forEach((each, index) => {
        each.count += rejections[index]?.count ?? 0;
        each.writtenAtMs = -Infinity;
      });
    }
  }
}
