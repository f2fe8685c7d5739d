import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { ApiError } from '../platform/http/api-error.js';
import { addressSubject } from './limits/address.js';
import { RateLimitRejections } from './limits/rejections.js';

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

/** What an attempt is counted at. */
type Subjects = Readonly<Record<keyof typeof PATIENCE, Buffer>>;

/** An attempt that was counted as a failure before it is known to be one. */
export interface Attempt {
  readonly subjects: Subjects;
  readonly counted: readonly Counted[];
}

/** Times in the words of the database, which are more exact than a Date. */
interface Counted {
  readonly subject: Buffer;
  readonly at: string;
  /** When there was an attempt before. */
  readonly formerly: string;
}

interface Row {
  readonly subject: Buffer;
  readonly failures: number;
  readonly wait_seconds: number;
}

interface LockedRow extends Row {
  readonly attempted_at: string;
  readonly now: string;
}

class TooManyFailedLogins extends ApiError {
  constructor(waitSeconds: number, { freeFailures }: Patience) {
    const retryAfter = Math.max(1, Math.ceil(waitSeconds));
    super(
      'RATE_LIMIT_EXCEEDED',
      {
        reason: 'too many failed logins, or too many at once',
        limit: freeFailures,
        window: FORGET_AFTER_SECONDS,
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
  constructor(
    private readonly database: DataSource,
    private readonly rejections: RateLimitRejections,
  ) {}

  /** Counts an attempt. @throws ApiError RATE_LIMIT_EXCEEDED */
  async begin(email: string, address: string | null): Promise<Attempt> {
    const from = addressSubject(address ?? undefined);
    const subjects = { pair: subject(email, from), account: subject(email), address: subject(undefined, from) };
    // Reading alone first: who hammers on a door that is closed makes the database write nothing.
    this.refuseWhileBlocked(await this.blocked(subjects), subjects, from);
    const rows = await this.database.transaction(async (transaction) => {
      const locked = await lock(transaction, subjects);
      this.refuseWhileBlocked(locked, subjects, from);
      await count(transaction, subjects, locked);
      await clearForgotten(transaction);
      return locked;
    });
    const counted = rows.map((row) => ({ subject: row.subject, at: row.now, formerly: row.attempted_at }));
    return { subjects, counted };
  }

  /** Forgets what an attempt counted that has succeeded, and all failures at that account from that address. */
  async succeed(transaction: EntityManager, attempt: Attempt): Promise<void> {
    await this.takeBack(attempt, transaction);
    await transaction.query('DELETE FROM login_failures WHERE subject = $1', [attempt.subjects.pair]);
  }

  /**
   * Forgets what an attempt counted that was no guess in the end, and that there was one: otherwise an account whose owner
   * logs in every hour, or an address that many have, would never see its failures forgotten.
   */
  async takeBack({ counted }: Attempt, manager: EntityManager = this.database.manager): Promise<void> {
    await manager.query(
      `WITH locked AS (SELECT subject FROM login_failures WHERE subject = ANY($1) ORDER BY subject FOR UPDATE)
       UPDATE login_failures AS known SET failures = greatest(0, failures - 1),
         blocked_until = CASE WHEN attempted_at = counted.at THEN clock_timestamp() ELSE blocked_until END,
         attempted_at = CASE WHEN attempted_at = counted.at THEN counted.formerly ELSE attempted_at END
       FROM unnest($1::bytea[], $2::timestamptz[], $3::timestamptz[]) AS counted (subject, at, formerly) JOIN locked USING (subject)
       WHERE known.subject = counted.subject`,
      [counted.map((each) => each.subject), counted.map((each) => each.at), counted.map((each) => each.formerly)],
    );
  }

  private refuseWhileBlocked(rows: readonly Row[], subjects: Subjects, from: string): void {
    const [longest] = [...rows].sort((one, other) => other.wait_seconds - one.wait_seconds);
    if (!longest || longest.wait_seconds <= 0) return;
    this.rejections.note('login', from);
    throw new TooManyFailedLogins(longest.wait_seconds, patienceWith(subjects, longest.subject));
  }

  private blocked(subjects: Subjects): Promise<Row[]> {
    return this.database.query<Row[]>(
      `SELECT subject, failures, extract(epoch FROM blocked_until - clock_timestamp())::float8 AS wait_seconds
         FROM login_failures WHERE subject = ANY($1)`,
      [Object.values(subjects)],
    );
  }
}

function subject(email: string | undefined, from?: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([email ?? null, from ?? null]))
    .digest();
}

/** Every transaction locks in the same order, so none waits for another in a circle. */
function lock(transaction: EntityManager, subjects: Subjects): Promise<LockedRow[]> {
  return transaction.query<LockedRow[]>(
    `INSERT INTO login_failures AS known (subject, failures, blocked_until, attempted_at)
       SELECT subject, 0, clock_timestamp(), clock_timestamp() FROM unnest($1::bytea[]) AS subject ORDER BY subject
     ON CONFLICT (subject) DO UPDATE SET failures =
       CASE WHEN known.attempted_at < clock_timestamp() - make_interval(secs => $2) THEN 0 ELSE known.failures END
     RETURNING subject, failures, extract(epoch FROM blocked_until - clock_timestamp())::float8 AS wait_seconds,
       attempted_at::text, clock_timestamp()::text AS now`,
    [Object.values(subjects), FORGET_AFTER_SECONDS],
  );
}

async function count(transaction: EntityManager, subjects: Subjects, rows: readonly LockedRow[]): Promise<void> {
  const counted = rows.map(({ subject, failures: before, now }) => {
    const failures = before + 1;
    return { subject, failures, now, waitSeconds: waitSeconds(failures, patienceWith(subjects, subject)) };
  });
  await transaction.query(
    `UPDATE login_failures AS known SET failures = counted.failures, attempted_at = counted.now,
       blocked_until = clock_timestamp() + make_interval(secs => counted.wait_seconds)
     FROM unnest($1::bytea[], $2::integer[], $3::float8[], $4::timestamptz[]) AS counted (subject, failures, wait_seconds, now)
     WHERE known.subject = counted.subject`,
    [
      counted.map((each) => each.subject),
      counted.map((each) => each.failures),
      counted.map((each) => each.waitSeconds),
      counted.map((each) => each.now),
    ],
  );
}

function patienceWith({ pair, account }: Subjects, subject: Buffer): Patience {
  if (subject.equals(pair)) return PATIENCE.pair;
  return subject.equals(account) ? PATIENCE.account : PATIENCE.address;
}

async function clearForgotten(transaction: EntityManager): Promise<void> {
  await transaction.query(
    `DELETE FROM login_failures WHERE subject IN (
       SELECT subject FROM login_failures WHERE attempted_at < clock_timestamp() - make_interval(secs => $1)
         LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [FORGET_AFTER_SECONDS, CLEARED_AT_ONCE],
  );
}
