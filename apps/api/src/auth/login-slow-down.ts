import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { ApiError } from '../platform/http/api-error.js';
import { addressGroup } from './address-group.js';

/** After how many failures it gets slower, and what the longest wait is. */
interface Patience {
  readonly freeFailures: number;
  readonly maxWaitSeconds: number;
}

/**
 * Whoever guesses at an account from one address soon waits for minutes. What is counted of an account from everywhere and
 * of an address for all accounts is slowed down less: so the owner gets in from elsewhere while somebody guesses, as does a
 * neighbour behind the same address, and still many addresses, or many accounts, are no way around it.
 */
const PATIENCE = {
  pair: { freeFailures: 5, maxWaitSeconds: 300 },
  account: { freeFailures: 10, maxWaitSeconds: 30 },
  address: { freeFailures: 20, maxWaitSeconds: 60 },
} as const satisfies Record<string, Patience>;

/** Failures are forgotten when there has been none for so long. */
const FORGET_AFTER_SECONDS = 3600;
/** Forgotten rows that one attempt clears away: more than it adds. */
const CLEARED_AT_ONCE = 20;

/** An attempt that was counted as a failure before it is known to be one. */
export interface Attempt {
  readonly pair: Buffer;
  readonly account: Buffer;
  readonly address: Buffer;
}

interface Row {
  readonly subject: Buffer;
  readonly failures: number;
  readonly wait_seconds: number;
}

class TooManyFailedLogins extends ApiError {
  constructor(waitSeconds: number) {
    const retryAfter = Math.max(1, Math.ceil(waitSeconds));
    super(
      'RATE_LIMIT_EXCEEDED',
      {
        reason: 'too many failed logins',
        reset_at: new Date(Date.now() + retryAfter * 1000).toISOString(),
        retry_after: retryAfter,
      },
      { headers: { 'Retry-After': String(retryAfter) } },
    );
  }
}

/** Seconds to wait after so many failures: none, then 1, 2, 4 and so on up to the longest. */
export function waitSeconds(failures: number, { freeFailures, maxWaitSeconds }: Patience): number {
  return failures <= freeFailures ? 0 : Math.min(2 ** (failures - freeFailures - 1), maxWaitSeconds);
}

/**
 * Makes guessing passwords slow, on all nodes together and for accounts that do not exist as for those that do. An attempt
 * counts as a failure from its beginning on, so that of many at once no more get through than of many in a row. One that
 * has to wait counts nothing: nobody can make the wait longer than it is.
 */
@Injectable()
export class LoginSlowDown {
  constructor(private readonly database: DataSource) {}

  /** Counts an attempt. @throws ApiError RATE_LIMIT_EXCEEDED */
  async begin(email: string, address: string | null): Promise<Attempt> {
    const from = addressGroup(address ?? '');
    const attempt = { pair: subject(email, from), account: subject(email), address: subject(undefined, from) };
    // Reading alone first: who hammers on a door that is closed makes the database write nothing.
    refuseWhileBlocked(await this.blocked(attempt));
    await this.database.transaction(async (transaction) => {
      const rows = await lock(transaction, attempt);
      refuseWhileBlocked(rows);
      await count(transaction, attempt, rows);
      await clearForgotten(transaction);
    });
    return attempt;
  }

  /** Forgets what an attempt counted that has succeeded, and all failures at that account from that address. */
  async succeed(transaction: EntityManager, attempt: Attempt): Promise<void> {
    await this.takeBack(attempt, transaction);
    await transaction.query('DELETE FROM login_failures WHERE subject = $1', [attempt.pair]);
  }

  /** Forgets what an attempt counted that was no guess in the end. */
  async takeBack(attempt: Attempt, manager: EntityManager = this.database.manager): Promise<void> {
    await manager.query(
      `UPDATE login_failures SET failures = greatest(0, failures - 1), blocked_until = clock_timestamp()
         WHERE subject IN (SELECT subject FROM login_failures WHERE subject = ANY($1) ORDER BY subject FOR UPDATE)`,
      [Object.values(attempt)],
    );
  }

  private blocked(attempt: Attempt): Promise<Row[]> {
    return this.database.query<Row[]>(
      `SELECT subject, failures, extract(epoch FROM blocked_until - clock_timestamp())::float8 AS wait_seconds
         FROM login_failures WHERE subject = ANY($1)`,
      [Object.values(attempt)],
    );
  }
}

function subject(email: string | undefined, from?: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([email ?? null, from ?? null]))
    .digest();
}

/** Every transaction locks in the same order, so none waits for another in a circle. */
function lock(transaction: EntityManager, attempt: Attempt): Promise<Row[]> {
  return transaction.query<Row[]>(
    `INSERT INTO login_failures AS known (subject, failures, blocked_until, attempted_at)
       SELECT subject, 0, clock_timestamp(), clock_timestamp() FROM unnest($1::bytea[]) AS subject ORDER BY subject
     ON CONFLICT (subject) DO UPDATE SET failures =
       CASE WHEN known.attempted_at < clock_timestamp() - make_interval(secs => $2) THEN 0 ELSE known.failures END
     RETURNING subject, failures, extract(epoch FROM blocked_until - clock_timestamp())::float8 AS wait_seconds`,
    [Object.values(attempt), FORGET_AFTER_SECONDS],
  );
}

async function count(transaction: EntityManager, attempt: Attempt, rows: readonly Row[]): Promise<void> {
  const counted = (['pair', 'account', 'address'] as const).map((name) => {
    const failures = 1 + (rows.find((row) => row.subject.equals(attempt[name]))?.failures ?? 0);
    return { subject: attempt[name], failures, waitSeconds: waitSeconds(failures, PATIENCE[name]) };
  });
  await transaction.query(
    `UPDATE login_failures AS known SET failures = counted.failures, attempted_at = clock_timestamp(),
       blocked_until = clock_timestamp() + make_interval(secs => counted.wait_seconds)
     FROM unnest($1::bytea[], $2::integer[], $3::float8[]) AS counted (subject, failures, wait_seconds)
     WHERE known.subject = counted.subject`,
    [
      counted.map((each) => each.subject),
      counted.map((each) => each.failures),
      counted.map((each) => each.waitSeconds),
    ],
  );
}

function refuseWhileBlocked(rows: readonly Row[]): void {
  const longest = Math.max(0, ...rows.map((row) => row.wait_seconds));
  if (longest > 0) throw new TooManyFailedLogins(longest);
}

async function clearForgotten(transaction: EntityManager): Promise<void> {
  await transaction.query(
    `DELETE FROM login_failures WHERE subject IN (
       SELECT subject FROM login_failures WHERE attempted_at < clock_timestamp() - make_interval(secs => $1)
         LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [FORGET_AFTER_SECONDS, CLEARED_AT_ONCE],
  );
}
