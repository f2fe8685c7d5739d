import type { LayerName } from '@cache-system/contracts';
import { BrokenCircuitError } from 'cockatiel';
import type { TagStamp } from './attributes.js';
import { currentUntilMs, type Told } from './entry.js';
import { LayerTimeout } from './errors.js';
import { EntryUnreadable } from './stored-form.js';

type LayerOutcome =
  /** It has a current entry. */
  | 'hit'
  | 'miss'
  /** It has an entry that has ended to be current, and is kept for a while. */
  | 'stale'
  /** It has an entry, or may have one, which may be older than what has happened to the key. */
  | 'fenced'
  /** It was not asked. */
  | 'skipped'
  | 'failed';

/** What came of one layer in a read. */
interface LayerStep {
  readonly layer: LayerName;
  readonly outcome: LayerOutcome;
  readonly reason: string | undefined;
  readonly durationMs: number;
}

/** Whether a layer above took a copy of what was read below it. */
interface CopyFence {
  readonly layer: LayerName;
  readonly outcome: 'kept' | 'sent' | 'overtaken' | 'no_room';
}

interface TagCheck {
  readonly tag: string;
  /** The generation under which the entry was written. */
  readonly stored: number;
  /** That of now; undefined where there is no such tag any more. */
  readonly current: number | undefined;
}

type Verdict = Pick<LayerStep, 'outcome' | 'reason'>;

export const NOT_TRUSTED = 'this node cannot be sure to have heard of every change, so copies are not trusted';
const TAGS_NOT_COMPARED = 'the tags of its entry could not be compared with those of now';
const UNREADABLE = 'the stored entry is damaged or its encryption key is gone';

/**
 * What happens in one read, written down by each step as it decides: who asks why a read was answered as it was gets to
 * see that very read. Reads that nobody asks about have none.
 */
export class ReadTrace {
  readonly startedAtMs = performance.now();
  /** How often the layers were looked at; of more than one look, only the last is told. */
  looks = 1;
  steps: LayerStep[] = [];
  tags: TagCheck[] = [];
  fences: CopyFence[] = [];
  /** Why the layer that is being asked gives nothing, where it is not simply that it has nothing. */
  private verdict: Verdict | undefined;

  /** @param backplane as it was when the read began */
  constructor(readonly backplane: { readonly trusted: boolean; readonly epoch: number }) {}

  /** Waits for the answer of a layer. */
  async ask<T>(layer: LayerName, answer: Promise<T | undefined>): Promise<T | undefined> {
    const startedAtMs = performance.now();
    try {
      const entry = await answer;
      this.conclude(layer, entry !== undefined, startedAtMs);
      return entry;
    } catch (error) {
      this.note(layer, { outcome: 'failed', reason: failureReason(error) }, startedAtMs);
      throw error;
    }
  }

  /** Looks into a layer that does not have to be waited for. */
  look<T>(layer: LayerName, look: () => T | undefined): T | undefined {
    const startedAtMs = performance.now();
    const found = look();
    this.conclude(layer, found !== undefined, startedAtMs);
    return found;
  }

  skip(layers: readonly LayerName[], reason: string): void {
    for (const layer of layers) this.steps.push({ layer, outcome: 'skipped', reason, durationMs: 0 });
  }

  /** To be called while a layer is asked: why what it has is not used. */
  withhold(outcome: LayerOutcome, reason: string): void {
    this.verdict = { outcome, reason };
  }

  withholdStale(entry: Told): void {
    this.withhold('stale', staleReason(entry));
  }

  /** @param current the generation of now of each tag; left out: they are those of the entry */
  foundTags(tags: readonly TagStamp[] = [], current?: readonly (number | undefined)[]): void {
    this.tags = tags.map(({ tag, generation }, index) => {
      return { tag, stored: generation, current: current ? current[index] : generation };
    });
  }

  /** What the layer had that was asked last has ended to be current. */
  foundStale(entry: Told): void {
    this.amend({ outcome: 'stale', reason: staleReason(entry) });
  }

  /** What the layer had that was asked last is as good as gone, as its tags are not those of now. */
  foundInvalidated(): void {
    const ended = this.tags.filter(({ stored, current }) => stored !== current);
    const reasons = ended.map(
      ({ tag, stored, current }) =>
        `tag ${JSON.stringify(tag)} was invalidated (generation ${stored}, now ${current ?? 'none'})`,
    );
    this.amend({ outcome: 'fenced', reason: reasons.join('; ') });
  }

  /** What the layer had that was asked last could not be used after all. */
  brokeOff(error: unknown): void {
    if (this.steps.at(-1)?.outcome !== 'hit') return;
    const reason = error instanceof EntryUnreadable ? UNREADABLE : TAGS_NOT_COMPARED;
    this.amend({ outcome: 'failed', reason });
  }

  /** The layers are looked at once more. */
  again(): void {
    this.looks++;
    [this.steps, this.tags, this.fences] = [[], [], []];
  }

  private conclude(layer: LayerName, isFound: boolean, startedAtMs: number): void {
    const plain: Verdict = { outcome: isFound ? 'hit' : 'miss', reason: undefined };
    this.note(layer, this.verdict ?? plain, startedAtMs);
    this.verdict = undefined;
  }

  private note(layer: LayerName, verdict: Verdict, startedAtMs: number): void {
    this.steps.push({ layer, ...verdict, durationMs: performance.now() - startedAtMs });
  }

  private amend(verdict: Verdict): void {
    const last = this.steps.pop();
    if (last) this.steps.push({ ...last, ...verdict });
  }
}

/** Says nothing of what was asked how: addresses are not for callers. */
function failureReason(error: unknown): string {
  if (error instanceof LayerTimeout) return `it did not answer within ${error.deadlineMs} ms`;
  return (error as Error).cause instanceof BrokenCircuitError
    ? 'its circuit breaker is open: it has failed, and is not asked until it has answered a probe'
    : 'it cannot be reached';
}

function staleReason(entry: Told): string {
  const nowMs = Date.now();
  const seconds = (ms: number) => Math.max(0, Math.round(ms / 1000));
  return `it expired ${seconds(nowMs - currentUntilMs(entry))} s ago and is kept as stale for ${seconds(entry.expiresAtMs - nowMs)} s more`;
}
