import { setTimeout as sleep } from 'node:timers/promises';
import { CircuitState, circuitBreaker, ConsecutiveBreaker, handleWhen } from 'cockatiel';
import { SourceRefused, SourceTimeout, SourceUnavailable } from './source.js';
import type { SourceDefinition } from '@cache-system/contracts';

type Limits = Pick<SourceDefinition, 'name' | 'hard_timeout_ms' | 'retries' | 'breaker'>;

/** An attempt has failed in a way that another one may not. */
export class AttemptFailed extends SourceUnavailable {}

/**
 * Calls of one source that may fail: none takes longer than the hard timeout, one that can be repeated is, and a source that
 * keeps failing is left alone for a while, after which one call at a time finds out whether it is back.
 */
export class Calls {
  private readonly breaker;

  constructor(private readonly limits: Limits) {
    const { failures, open_ms } = limits.breaker;
    this.breaker = circuitBreaker(
      handleWhen((error) => this.isFailure(error)),
      { halfOpenAfter: open_ms, breaker: new ConsecutiveBreaker(failures) },
    );
  }

  /**
   * @param attempt rejects with the reason of its signal when that is aborted, and with AttemptFailed for what is worth another try
   * @param repeatable false: it is tried only once
   * @throws what `attempt` throws, SourceTimeout, SourceUnavailable, the reason of `signal`
   */
  async run<T>(attempt: (signal: AbortSignal) => Promise<T>, repeatable: boolean, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const { name, hard_timeout_ms: timeoutMs } = this.limits;
    const ending = new AbortController();
    const endsAtMs = performance.now() + timeoutMs;
    const timer = setTimeout(() => ending.abort(new SourceTimeout(name, timeoutMs)), timeoutMs);
    const onAbort = () => ending.abort(signal.reason);
    signal.addEventListener('abort', onAbort);
    try {
      return await Promise.race([this.repeat(attempt, repeatable, ending.signal, endsAtMs), aborted(ending.signal)]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  private async repeat<T>(
    attempt: (signal: AbortSignal) => Promise<T>,
    repeatable: boolean,
    signal: AbortSignal,
    endsAtMs: number,
  ): Promise<T> {
    for (let retry = 0; ; retry++) {
      try {
        return await this.once(attempt, signal);
      } catch (error) {
        if (!(error instanceof AttemptFailed) || !repeatable || retry >= this.limits.retries.max) throw error;
        const pauseMs = this.pauseMs(retry, error.retryAfterSeconds);
        if (performance.now() + pauseMs >= endsAtMs) throw error;
        await sleep(pauseMs, undefined, { signal });
      }
    }
  }

  private async once<T>(attempt: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await this.breaker.execute(() => {
        signal.throwIfAborted();
        return attempt(signal);
      });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof SourceUnavailable || error instanceof SourceRefused) throw error;
      throw new SourceUnavailable(this.limits.name, { cause: error });
    }
  }

  /** Full jitter: those who failed together do not come back together (Brooker, "Exponential Backoff and Jitter", 2015). */
  private pauseMs(retry: number, retryAfterSeconds = 0): number {
    const { backoff_ms, max_backoff_ms } = this.limits.retries;
    const boundMs = Math.min(backoff_ms * 2 ** retry, max_backoff_ms);
    return Math.max(Math.random() * boundMs, retryAfterSeconds * 1000);
  }

  /** A caller that goes away says nothing about the source, unless it was the one to find out whether the source is back. */
  private isFailure(error: unknown): boolean {
    if (error instanceof SourceUnavailable || error instanceof SourceTimeout) return true;
    return this.breaker.state !== CircuitState.Closed && !(error instanceof SourceRefused);
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}
