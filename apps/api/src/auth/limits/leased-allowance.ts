import { Allowance, type Dimension, nowMs, type Verdict } from './allowance.js';
import type { Grant } from './limit-script.js';
import { capacityOf, goesOn, isBucket, type Rule, shareOf } from './rule.js';
import type { SharedLimits } from './shared-limits.js';
import { openTally } from './strategies.js';
import { takeOne, type Tally, wholeFree } from './tally.js';

/** A node wants to hold what it used of late in such a time, twice, and asks for more when half of it is used. */
const LEASE_MS = 500;
/** In less time than this nothing is measured. */
const MIN_MEASURED_MS = 10;
const MIN_LEASE = 8;
const MAX_LEASE = 100_000;
/**
 * A bucket fills up behind leases, which may then be used together with it. So the leases of all nodes are at most this part
 * of what it lets through in a second; in a bucket so small that it is less than one, each request is asked for.
 */
const BUCKET_EXCESS = 0.02;
/** After so long a lease is brought up to date with its next use: what it is too large by goes back. */
const RENEW_MS = 1000;
/** So often Redis is asked at most, and at least, for a subject that has nothing left: others may have given some back. */
const MIN_PAUSE_MS = 10;
const MAX_PAUSE_MS = 1000;

/**
 * Counted in Redis for all nodes. A node takes requests in advance, as a lease, and lets them through without asking. What
 * is leased counts as made, so that nodes together never let more through than the rule says; a lease ends with what it
 * was counted in, and goes back when it is not used.
 */
export class LeasedAllowance extends Allowance {
  /** When a request was last made of it. */
  usedAtMs = nowMs();
  private leased = 0;
  private stamp = 0;
  private endsAtMs = 0;
  private renewAtMs = 0;
  private renewBelow = 0;
  private usedSinceGrant = 0;
  private grantedAtMs = nowMs();
  /** Of the last grant; undefined before there was one. */
  private leftToAll: number | undefined;
  private resetAtMs = 0;
  private freeAtMs = 0;
  private refusedUntilMs = 0;
  private readonly waiting: ((isTaken: boolean) => void)[] = [];
  private isOrdering = false;
  /** Counts the part of this node while Redis does not answer. Kept: the next outage does not hand it out again. */
  private part: Tally | undefined;
  private isAlone = false;
  /** Redis has not heard of them. */
  private takenAlone = 0;

  constructor(
    dimension: Dimension,
    subject: string,
    rule: Rule,
    private readonly shared: SharedLimits,
  ) {
    super(dimension, subject, rule);
  }

  take(atMs: number): Verdict {
    if (this.leased > 0 && atMs < this.endsAtMs) {
      this.useOne(atMs);
      const isDue = this.leased <= this.renewBelow || atMs > this.renewAtMs;
      if (isDue && !this.isOrdering && atMs >= this.refusedUntilMs && this.shared.available) void this.order();
      return 'taken';
    }
    if (!this.shared.available) return this.takeAlone(atMs) ? 'taken' : 'refused';
    return atMs < this.refusedUntilMs ? 'refused' : 'ask';
  }

  ask(): Promise<boolean> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      if (!this.isOrdering) void this.order();
    });
  }

  putBack(): void {
    if (this.part && this.takenAlone > 0) {
      this.part.giveBack(1, this.part.stamp);
      this.takenAlone--;
    } else this.leased++;
    this.usedSinceGrant--;
  }

  get remaining(): number {
    return this.alone ? wholeFree(this.alone) : this.leased + (this.leftToAll ?? 0);
  }

  /** Gives what is leased and not used back to all. */
  async returnLease(): Promise<void> {
    await this.giveBack(this.rule);
  }

  protected get countedRule(): Rule {
    return this.alone?.rule ?? this.rule;
  }

  protected get windowResetMs(): number {
    return this.alone ? this.alone.resetMs : this.resetAtMs - nowMs();
  }

  protected get waitMs(): number {
    return this.alone ? this.alone.waitMs : this.freeAtMs - nowMs();
  }

  protected follow(rule: Rule, previous: Rule): void {
    void this.giveBack(previous);
    this.refusedUntilMs = 0;
    this.leftToAll = undefined;
    if (!this.part) return;
    if (goesOn(rule, previous)) this.part.rule = shareOf(rule, this.shared.nodes);
    else {
      this.part = undefined;
      this.isAlone = false;
      this.takenAlone = 0;
    }
  }

  private useOne(atMs: number): void {
    this.leased--;
    this.usedSinceGrant++;
    this.usedAtMs = atMs;
  }

  private async order(): Promise<void> {
    this.isOrdering = true;
    do {
      const rule = this.rule;
      const sentAtMs = nowMs();
      const owed = this.owedAt(sentAtMs);
      const size = this.leaseSize(sentAtMs);
      const kept = sentAtMs < this.endsAtMs ? Math.min(this.leased, size) : 0;
      const order = {
        need: owed + this.waiting.length,
        ahead: size - kept,
        divisor: 2 * this.shared.nodes,
        back: this.leased - kept,
        stamp: this.stamp,
      };
      this.leased = kept;
      try {
        const grant = await this.shared.order(`${this.dimension}:${this.subject}`, rule, order);
        if (rule === this.rule) this.accept(grant, sentAtMs, owed);
        this.serve();
      } catch {
        // The guard has counted it; this node goes on with its part.
        for (const answer of this.waiting.splice(0)) answer(this.takeAlone(nowMs()));
      }
    } while (this.waiting.length > 0);
    this.isOrdering = false;
  }

  /** What it would hold. Who comes for the first time may never come again. */
  private leaseSize(atMs: number): number {
    if (this.leftToAll === undefined) return 0;
    const used = this.usedSinceGrant + this.waiting.length;
    const elapsedMs = Math.max(MIN_MEASURED_MS, atMs - this.grantedAtMs);
    const wanted = Math.ceil((used / elapsedMs) * LEASE_MS);
    return Math.min(this.maxLease, Math.max(MIN_LEASE, 2 * wanted));
  }

  private get maxLease(): number {
    if (!isBucket(this.rule)) return MAX_LEASE;
    const { burst, limit, windowMs } = this.rule;
    const inASecond = burst + (limit / windowMs) * 1000;
    return Math.min(MAX_LEASE, Math.floor((BUCKET_EXCESS * inASecond) / this.shared.nodes));
  }

  private accept(grant: Grant, sentAtMs: number, owed: number): void {
    const atMs = nowMs();
    // Of what was counted in a window that is over nothing may be used any more.
    if (grant.stamp !== this.stamp) void this.giveBack(this.rule);
    this.leased += Math.max(0, grant.granted - owed);
    this.stamp = grant.stamp;
    this.endsAtMs = sentAtMs + grant.lifeMs;
    this.renewAtMs = atMs + RENEW_MS;
    this.renewBelow = (this.leased - this.waiting.length) >> 1;
    this.usedSinceGrant = 0;
    this.grantedAtMs = atMs;
    this.leftToAll = grant.left;
    this.resetAtMs = atMs + grant.resetMs;
    this.freeAtMs = atMs + grant.waitMs;
    this.refusedUntilMs = grant.waitMs > 0 ? atMs + Math.min(Math.max(grant.waitMs, MIN_PAUSE_MS), MAX_PAUSE_MS) : 0;
    this.isAlone = false;
    this.takenAlone = 0;
    if (this.leased > 0) this.shared.hold(this);
  }

  /** Those that came first get what there is; while there is more to be asked for, the others go on waiting. */
  private serve(): void {
    const atMs = nowMs();
    const served = this.waiting.splice(0, Math.min(this.waiting.length, this.leased));
    for (const answer of served) {
      this.useOne(atMs);
      answer(true);
    }
    if (this.refusedUntilMs > 0) for (const answer of this.waiting.splice(0)) answer(false);
  }

  private takeAlone(atMs: number): boolean {
    this.part ??= openTally(shareOf(this.rule, this.shared.nodes), atMs);
    if (!this.isAlone) {
      this.isAlone = true;
      this.part.rule = shareOf(this.rule, this.shared.nodes);
      this.part.settle(atMs);
      // Who had used up its limit before has not got it back by an outage.
      const known = Math.floor(this.leftAt(atMs) / this.shared.nodes);
      this.part.spend(Math.max(0, wholeFree(this.part) - known));
    }
    const isTaken = takeOne(this.part, atMs);
    if (isTaken) this.takenAlone++;
    return isTaken;
  }

  /** Requests that are left to all by now, as far as this node has heard. */
  private leftAt(atMs: number): number {
    const { rule, leftToAll, grantedAtMs } = this;
    if (leftToAll === undefined || (!isBucket(rule) && atMs >= this.resetAtMs)) return capacityOf(rule);
    const cameBack = isBucket(rule) ? ((atMs - grantedAtMs) * rule.limit) / rule.windowMs : 0;
    return Math.min(capacityOf(rule), leftToAll + cameBack);
  }

  /** What was let through alone and still counts, which Redis has not heard of. */
  private owedAt(atMs: number): number {
    if (!this.part) return 0;
    this.part.settle(atMs);
    return Math.min(this.takenAlone, capacityOf(this.part.rule) - wholeFree(this.part));
  }

  private get alone(): Tally | undefined {
    return this.isAlone ? this.part : undefined;
  }

  private async giveBack(rule: Rule): Promise<void> {
    const back = this.leased;
    this.leased = 0;
    if (back === 0) return;
    this.leftToAll = (this.leftToAll ?? 0) + back;
    const order = { need: 0, ahead: 0, divisor: 1, back, stamp: this.stamp };
    await this.shared.order(`${this.dimension}:${this.subject}`, rule, order).catch(() => undefined);
  }
}
