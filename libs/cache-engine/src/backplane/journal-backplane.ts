import type { Backplane, BackplaneListener, BackplaneState, Watch, Watcher } from './backplane.js';
import { type Mark, MARKS } from './mark.js';

/** What the processes on one store have changed, in pages that are numbered without gaps. */
export interface Journal {
  lastPage(): number;
  lastRevision(): number;
  /** Lines of a mark, a revision, a space and a key or prefix. Undefined when overwritten by later pages. */
  page(number: number): string | undefined;
  append(mark: string, text: string): Promise<void>;
}

/** Marks of copies to be dropped: of a key, or of all with a prefix. */
const DROP = '=';
const DROP_PREFIX = '-';
const WATCH_INTERVAL_MS = 20;
/** A read looks for changes of other processes when the last look is longer ago. */
const LOOK_AFTER_MS = 1;

/**
 * The backplane of processes that share an embedded store. Changes are written to a journal in the transaction that
 * makes them; each process looks there before it trusts its L1, at most once a millisecond.
 */
export class JournalBackplane implements Backplane {
  epoch = 0;
  readonly disorder = 0;
  private gaps = 0;
  private seenPage: number;
  private lookedAtMs = -Infinity;
  private readonly listeners = new Set<BackplaneListener>();
  private readonly watchers = new Set<Watcher>();
  private timer: NodeJS.Timeout | undefined;

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

  watch(watcher: Watcher): Watch {
    this.look();
    this.watchers.add(watcher);
    this.timer ??= setInterval(() => this.look(), WATCH_INTERVAL_MS).unref();
    return {
      ready: Promise.resolve(),
      stop: () => {
        this.watchers.delete(watcher);
        if (this.watchers.size === 0) this.stopLooking();
      },
    };
  }

  askToWatch(): void {
    // Another process finds what it has missed in the journal.
  }

  onAskedToWatch(): void {
    // Nobody asks.
  }

  position(): number {
    const revision = this.journal.lastRevision();
    this.look();
    return revision;
  }

  heardUpTo(): number {
    return this.position();
  }

  drop(prefix: string, exact: boolean): Promise<void> {
    return this.journal.append(exact ? DROP : DROP_PREFIX, prefix);
  }

  state(): BackplaneState {
    return { selfId: undefined, trusted: true, epoch: this.epoch, gaps: this.gaps, peers: [] };
  }

  close(): Promise<void> {
    this.stopLooking();
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
        this.tellMissed();
        return;
      }
      this.seenPage++;
      this.tell(changes);
    }
    if (lastPage < this.seenPage) {
      this.seenPage = lastPage;
      this.epoch++;
      this.tellMissed();
    }
  }

  private tell(page: string): void {
    const mark = page[0];
    // Alone on its page: a prefix that somebody asks for may have line breaks, unlike a key.
    const isDrop = mark === DROP || mark === DROP_PREFIX;
    for (const line of isDrop ? [page] : page.split('\n')) this.tellLine(line);
  }

  private tellLine(line: string): void {
    const space = line.indexOf(' ');
    const mark = line[0] as Mark | typeof DROP | typeof DROP_PREFIX;
    const revision = Number(line.slice(1, space));
    const key = line.slice(space + 1);
    if (mark === DROP || mark === DROP_PREFIX) {
      for (const each of [...this.listeners, ...this.watchers]) each.dropped(key, mark === DROP, revision);
      return;
    }
    if (mark === MARKS.expired) {
      for (const watcher of this.watchers) watcher.expired(key, revision);
      return;
    }
    for (const listener of this.listeners) listener.changed(key, revision);
    for (const watcher of this.watchers) watcher.changed(key, revision, mark);
  }

  private tellMissed(): void {
    for (const each of [...this.listeners, ...this.watchers]) each.missed?.();
  }

  private stopLooking(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
