import type { LayerName } from '@cache-system/contracts';
import {
  circuitBreaker,
  ConsecutiveBreaker,
  handleWhen,
  type IPolicy,
  TaskCancelledError,
  timeout,
  TimeoutStrategy,
  wrap,
} from 'cockatiel';
import type { Entry } from './entry.js';
import { LayerTimeout, LayerUnavailable, StorageFull } from './errors.js';
import type { KeyPage, Layer } from './layer.js';
import type { Mutation, Outcome } from './mutation.js';

/** So many failures in a row, and a layer is not asked any more until a probe has got through. */
const FAILURES_TO_OPEN = 5;
const PROBE_AFTER_MS = 500;

/**
 * The one place that deals with a layer that fails: no call takes longer than the deadline, and a layer that keeps
 * failing is answered for at once. Every failure comes out as `LayerTimeout`, `LayerUnavailable` or `StorageFull`.
 */
export class GuardedLayer implements Layer {
  private policy: IPolicy;

  constructor(
    private readonly inner: Layer,
    private readonly name: LayerName,
    private deadlineMs: number,
  ) {
    this.policy = policyFor(deadlineMs);
  }

  setDeadline(deadlineMs: number): void {
    if (deadlineMs === this.deadlineMs) return;
    this.deadlineMs = deadlineMs;
    this.policy = policyFor(deadlineMs);
  }

  getMany(keys: readonly string[]): Promise<readonly (Entry | undefined)[]> {
    return this.run(() => this.inner.getMany(keys));
  }

  applyMany(mutations: readonly Mutation[]): Promise<readonly Outcome[]> {
    return this.run(() => this.inner.applyMany(mutations));
  }

  scan(prefix: string, cursor: string | undefined, limit: number): Promise<KeyPage> {
    return this.run(() => this.inner.scan(prefix, cursor, limit));
  }

  /** Asks the layer itself, also while it is not asked for anything else. */
  async check(): Promise<void> {
    try {
      await timeout(this.deadlineMs, TimeoutStrategy.Aggressive).execute(() => this.inner.check());
    } catch (error) {
      throw this.translate(error);
    }
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  private async run<T>(call: () => Promise<T>): Promise<T> {
    try {
      // Without a signal of its own each call would listen to one that all calls share, and Node warns of that.
      return await this.policy.execute(call, new AbortController().signal);
    } catch (error) {
      throw this.translate(error);
    }
  }

  private translate(cause: unknown): Error {
    if (cause instanceof StorageFull) return cause;
    if (cause instanceof TaskCancelledError) return new LayerTimeout(this.name, this.deadlineMs, { cause });
    return new LayerUnavailable(this.name, { cause });
  }
}

function policyFor(deadlineMs: number): IPolicy {
  const breaker = circuitBreaker(
    handleWhen((error) => !(error instanceof StorageFull)),
    { halfOpenAfter: PROBE_AFTER_MS, breaker: new ConsecutiveBreaker(FAILURES_TO_OPEN) },
  );
  return wrap(breaker, timeout(deadlineMs, TimeoutStrategy.Aggressive));
}
