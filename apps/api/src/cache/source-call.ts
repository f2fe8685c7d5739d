import { BrokenCircuitError } from 'cockatiel';
import { type LoadResult, SourceRefused, SourceTimeout } from '../sources/source.js';

/** Who may ask the source, of all nodes, as the one that asks was told. */
interface LeaseAnswer {
  readonly status: string;
  readonly leaseEndsMs?: number;
}

/** How a source is asked for a key, as far as it has come. Written down for who asks why a read was answered as it was. */
export interface SourceCall {
  outcome: 'not_asked' | 'pending' | 'failed' | LoadResult['status'];
  reason?: string;
  durationMs?: number;
  lease?: LeaseAnswer;
}

/** Asks a source and notes how that goes. */
export async function noted(call: SourceCall, ask: () => Promise<LoadResult>): Promise<LoadResult> {
  const startedAtMs = performance.now();
  call.outcome = 'pending';
  try {
    const result = await ask();
    call.outcome = result.status;
    return result;
  } catch (error) {
    call.outcome = 'failed';
    call.reason = failureReason(error);
    throw error;
  } finally {
    call.durationMs = performance.now() - startedAtMs;
  }
}

/** Says nothing of where it is: the text of the error may. */
function failureReason(error: unknown): string {
  if (error instanceof SourceTimeout) return `it did not answer within ${error.timeoutMs} ms`;
  if (error instanceof SourceRefused) return `the call, or what came of it, was refused: ${error.reason}`;
  return (error as Error).cause instanceof BrokenCircuitError
    ? 'its circuit breaker is open: it has failed so often that it is not asked for a while'
    : 'it is unavailable';
}
