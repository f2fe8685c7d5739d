import { Injectable } from '@nestjs/common';

/**
 * The time by the database, of which there is one: the clocks of nodes may differ by hours. Known from what the database
 * tells with every look at the credentials (`CredentialEpoch`), to within the time of one query.
 */
@Injectable()
export class DatabaseClock {
  /** From `performance.now()` to the time; by this node's clock until the database has told. */
  private offsetMs: number = performance.timeOrigin;

  /** Milliseconds since the epoch at a moment of `performance.now()`. */
  at(moment: number): number {
    return this.offsetMs + moment;
  }

  nowMs(): number {
    return this.at(performance.now());
  }

  now(): Date {
    return new Date(this.nowMs());
  }

  /** The database told this time between two moments of `performance.now()`. What agrees with that stays as it is. */
  hear(timeMs: number, askedAt: number, answeredAt: number): void {
    this.offsetMs = Math.min(timeMs - askedAt, Math.max(timeMs - answeredAt, this.offsetMs));
  }
}
