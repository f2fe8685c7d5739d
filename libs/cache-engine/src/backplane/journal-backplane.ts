import type { Backplane, BackplaneListener, BackplaneState } from './backplane.js';

/** What the processes on one store have changed, in pages that are numbered without gaps. */
export interface Journal {
  lastPage(): number;
  /** Lines `revision key`, or `- prefix` and `= key` for copies to drop; undefined when overwritten by later pages. */
  page(number: number): string | undefined;
  append(changes: string): Promise<void>;
}

/** A read looks for changes of other processes when the last look is longer ago. */
const LOOK_AFTER_MS = 1;

/**
 * The backplane of processes that share an embedded store. Changes are written to a journal in the transaction that
 * makes them; each process looks there before it trusts its L1, at most once a millisecond.
 */
export class JournalBackplane implements Backplane {
  epoch = 0;
  private gaps = 0;
  private seenPage: number;
  private lookedAtMs = -Infinity;
  private readonly listeners = new Set<BackplaneListener>();

  constructor(private readonly journal: Journal) {
    this.seenPage = journal.lastPage();
  }

  isTrusted(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.lookedAtMs >= LOOK_AFTER_MS) {
      this.lookedAtMs = nowMs;
      this.look();
    }
    return true;
  }

  uncheckedMs(epoch: number): number {
    return epoch === this.epoch ? 0 : Infinity;
  }

  follow(listener: BackplaneListener): void {
    this.listeners.add(listener);
  }

  drop(prefix: string, exact: boolean): Promise<void> {
    return this.journal.append(`${exact ? '=' : '-'} ${prefix}`);
  }

  state(): BackplaneState {
    return { selfId: undefined, trusted: true, epoch: this.epoch, gaps: this.gaps, peers: [] };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private look(): void {
    const lastPage = this.journal.lastPage();
    while (this.seenPage < lastPage) {
      const changes = this.journal.page(this.seenPage + 1);
      if (changes === undefined) {
        // Overwritten before it was read, or the store was made anew.
        this.seenPage = lastPage;
        this.epoch++;
        this.gaps++;
        return;
      }
      this.seenPage++;
      for (const change of changes.split('\n')) this.tell(change);
    }
    if (lastPage < this.seenPage) {
      this.seenPage = lastPage;
      this.epoch++;
    }
  }

  private tell(change: string): void {
    const space = change.indexOf(' ');
    const mark = change.slice(0, space);
    const key = change.slice(space + 1);
    for (const listener of this.listeners) {
      if (mark === '-' || mark === '=') listener.dropped(key, mark === '=');
      else listener.changed(key, Number(mark));
    }
  }
}
