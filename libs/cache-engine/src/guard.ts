import { setTimeout as sleep } from 'node:timers/promises';
import type { LayerName } from '@cache-system/contracts';
import { circuitBreaker, ConsecutiveBreaker, handleWhen } from 'cockatiel';
import { LayerTimeout, LayerUnavailable, MalformedCursor, StorageFull } from './errors.js';

/** So many failures in a row, and a layer is not asked any more. Of timeouts one is enough: each costs a caller a deadline. */
const FAILURES_TO_OPEN = 5;
const PROBE_PAUSE_MS = 100;
const PROBE_JITTER_MS = 150;

/**
 * Deals with a layer that fails: no call takes longer than the deadline, and after the first that does, callers are answered at
 * once until the layer has answered a probe. Parts of a layer that fail by themselves are dealt with one by one.
 */
export class Guard {
  private readonly circuits = new Map<string | undefined, Circuit>();
  private readonly closing = new AbortController();

  /** @param probe resolves when the layer, or the part of it that is named, answers */
  constructor(
    private readonly name: LayerName,
    private readonly probe: (partition?: string) => Promise<unknown>,
    private deadlineMs: number,
  ) {}

  setDeadline(deadlineMs: number): void {
    this.deadlineMs = deadlineMs;
  }

  /** false while calls to some part of the layer are answered at once with an error. */
  get available(): boolean {
    return [...this.circuits.values()].every(({ isOpen }) => !isOpen);
  }

  /**
   * @param extraMs that the call may take beyond the deadline, because it was asked to wait for something
   * @throws LayerTimeout, LayerUnavailable, StorageFull
   */
  async run<T>(call: () => Promise<T>, partition?: string, extraMs = 0): Promise<T> {
    const circuit = this.circuitOf(partition);
    try {
      return await circuit.breaker.execute(() => this.inTime(call(), this.deadlineMs + extraMs));
    } catch (error) {
      // Who was asked to wait says nothing about the layer when it takes long.
      if (error instanceof LayerTimeout && extraMs === 0) circuit.open();
      throw this.translate(error);
    }
  }

  /** Asks the layer itself, also while it is not asked for anything else. @throws LayerTimeout, LayerUnavailable */
  async check(partition?: string): Promise<void> {
    try {
      await this.inTime(this.probe(partition), this.deadlineMs);
    } catch (error) {
      throw this.translate(error);
    }
  }

  /** Ends the probes. */
  close(): void {
    this.closing.abort();
  }

  private circuitOf(partition: string | undefined): Circuit {
    let circuit = this.circuits.get(partition);
    if (!circuit) {
      circuit = new Circuit((closed) => this.probeUntil(closed, partition));
      this.circuits.set(partition, circuit);
    }
    return circuit;
  }

  private async probeUntil(answered: () => void, partition: string | undefined): Promise<void> {
    const { signal } = this.closing;
    let isAnswered = false;
    // An answer that comes late is one too: it was sent after the failure.
    const onAnswer = () => {
      if (isAnswered) return;
      isAnswered = true;
      answered();
    };
    while (!signal.aborted) {
      const answer = this.probe(partition).then(onAnswer);
      await this.inTime(answer, this.deadlineMs).catch(() => undefined);
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- set by onAnswer
      if (isAnswered) return;
      const pauseMs = PROBE_PAUSE_MS + Math.random() * PROBE_JITTER_MS;
      await sleep(pauseMs, undefined, { ref: false, signal }).catch(() => undefined);
    }
  }

  private inTime<T>(answer: Promise<T>, deadlineMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        // Replies that have arrived are read first: it may be this process that was late.
        setImmediate(() => reject(new LayerTimeout(this.name, deadlineMs)));
      }, deadlineMs);
      answer.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  private translate(cause: unknown): Error {
    if (cause instanceof StorageFull || cause instanceof MalformedCursor || cause instanceof LayerTimeout) return cause;
    return new LayerUnavailable(this.name, { cause });
  }
}

/** Whether a part of a layer is asked. Only a probe that was answered closes a circuit that is open. */
class Circuit {
  isOpen = false;
  readonly breaker = circuitBreaker(
    handleWhen((error) => !(error instanceof StorageFull || error instanceof MalformedCursor)),
    { halfOpenAfter: Infinity, breaker: new ConsecutiveBreaker(FAILURES_TO_OPEN) },
  );

  constructor(private readonly probeUntil: (answered: () => void) => Promise<void>) {
    this.breaker.onBreak(() => this.open());
  }

  open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    const isolation = this.breaker.isolate();
    void this.probeUntil(() => {
      this.isOpen = false;
      isolation.dispose();
    });
  }
}
