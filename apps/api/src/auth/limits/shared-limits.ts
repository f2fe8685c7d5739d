import { type Backplane, Guard } from '@cache-system/cache-engine';
import { log } from '../../platform/logging.js';
import { nowMs } from './allowance.js';
import { type Grant, type Order, orderShared, type ScriptRunner } from './limit-script.js';
import type { Rule } from './rule.js';

/** A lease that nobody uses for so long goes back. */
const IDLE_MS = 2000;
const SWEEP_MS = 500;
/** A node that was silent for so long is gone. */
const GONE_AFTER_MS = 5000;
const PROBE_RULE: Rule = { strategy: 'token-bucket', limit: 1, windowMs: 1000, burst: 1 };
const PROBE_ORDER: Order = { need: 0, ahead: 0, divisor: 1, back: 0, stamp: 0 };

/** Requests that this node has taken in advance. */
interface Lease {
  readonly usedAtMs: number;
  /** Gives those back that were not made. */
  returnLease(): Promise<void>;
}

/** The tallies that nodes share in Redis, and what this node holds of them in advance. */
export class SharedLimits {
  private readonly guard: Guard;
  private readonly leases = new Set<Lease>();
  private readonly sweeper = setInterval(() => this.sweep(), SWEEP_MS).unref();
  private lastNodes = 1;
  private reported = false;

  constructor(
    private readonly runner: ScriptRunner,
    private readonly backplane: Pick<Backplane, 'state'>,
    deadlineMs: number,
  ) {
    this.guard = new Guard('L2', () => orderShared(runner, 'probe', PROBE_RULE, PROBE_ORDER), deadlineMs);
    this.countNodes();
  }

  setDeadline(deadlineMs: number): void {
    this.guard.setDeadline(deadlineMs);
  }

  /** false while this node counts alone, because Redis does not answer. */
  get available(): boolean {
    const available = this.guard.available;
    if (available === this.reported) {
      this.reported = !available;
      if (available) log.info('rate limits are counted together again');
      else log.warn({ nodes: this.nodes }, 'Redis does not answer: each node keeps its part of the rate limits');
    }
    return available;
  }

  /** Nodes that share the limits; while they cannot hear of each other, as many as there were before. */
  get nodes(): number {
    return this.lastNodes;
  }

  /** @throws LayerTimeout, LayerUnavailable */
  order(subject: string, rule: Rule, order: Order): Promise<Grant> {
    return this.guard.run(() => orderShared(this.runner, subject, rule, order));
  }

  /** To be called with each lease, so that it ends when it is not used. */
  hold(lease: Lease): void {
    this.leases.add(lease);
  }

  async close(): Promise<void> {
    clearInterval(this.sweeper);
    const returned = [...this.leases].map((lease) => lease.returnLease());
    await Promise.all(returned);
    this.guard.close();
  }

  /** All of them fall silent when Redis does, and are not gone. */
  private countNodes(): void {
    const { selfId, trusted, peers } = this.backplane.state();
    if (!trusted || !this.guard.available) return;
    this.lastNodes = 1 + peers.filter(({ id, silentMs }) => id !== selfId && silentMs < GONE_AFTER_MS).length;
  }

  private sweep(): void {
    this.countNodes();
    const now = nowMs();
    for (const lease of this.leases) {
      if (now - lease.usedAtMs < IDLE_MS) continue;
      this.leases.delete(lease);
      void lease.returnLease();
    }
  }
}
