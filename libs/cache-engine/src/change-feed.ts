import type { Backplane, Watch } from './backplane/backplane.js';
import { type Mark, MARKS } from './backplane/mark.js';
import { readSweepNotice } from './sweep-notice.js';
import { isReserved, tagOf } from './tags.js';

const MAX_EVENTS = 50_000;
/** What an event takes beside its texts, about. */
const EVENT_BYTES = 150;
/** Trimmed by so much at a time, as to move what is left costs as much each time. */
const TRIM_PART = 0.1;
/** After the last reader has gone: it may come again, or have come from another node. */
const LINGER_MS = 300_000;
const ASK_INTERVAL_MS = 10_000;
/** The revision, and what tells apart events with the same one. */
const EVENT_ID = /^(\d{1,16})(?:-([0-9a-z]{1,11}))?$/;

/** Something that has happened to entries, on whichever node. */
export interface CacheEvent {
  /** `reset`: some of what happened was not heard. */
  readonly kind: 'set' | 'delete' | 'expire' | 'invalidate' | 'reset';
  /** With the namespace. Of an invalidation: how the keys begin that it concerns. */
  readonly key: string;
  /** What entries have to fit, too, to be concerned by an invalidation. */
  readonly pattern?: string | undefined;
  readonly tag?: string | undefined;
  /** The version of an entry that was set; else about when it was, in the same measure. */
  readonly revision: number;
  /** Names the event, on this node. */
  readonly id: string;
  /** When this node heard of it. */
  readonly atMs: number;
}

/** A place in the feed that moves on with its reader. */
export interface FeedReader {
  /** Whether nothing is missing between what was read before and what comes. */
  readonly isResumed: boolean;
  /** Undefined where there is no more for now. */
  next(): CacheEvent | undefined;
  /** What comes next has been thrown away: the reader is too slow. */
  isLost(): boolean;
  /** Where one goes on who has read everything so far; undefined where there is more to read, or nothing is heard. */
  position(): string | undefined;
  close(): void;
}

/**
 * What has happened to entries of late, in the order in which this node has heard of it. It listens while there are readers
 * on any node, and a while longer, so that a reader can go on where it was, also on another node. Readers share what is
 * kept, and each has no more than its place in it.
 */
export class ChangeFeed {
  private events: CacheEvent[] = [];
  /** How many were thrown away before the first that is left. */
  private trimmed = 0;
  private bytes = 0;
  /** Everything with a later revision is here. */
  private completeFrom = Infinity;
  private watch: Watch | undefined;
  private readonly readers = new Set<() => void>();
  private isWakingReaders = false;
  private asking: NodeJS.Timeout | undefined;
  private lingering: NodeJS.Timeout | undefined;

  /** @param maxBytes that events may take, about */
  constructor(
    private readonly backplane: Backplane,
    private readonly maxBytes: () => number,
  ) {
    backplane.onAskedToWatch(() => this.linger());
  }

  /** Listens from now on, and resolves when it hears of expiries, too. That may be never: see `Watch`. */
  listen(): Promise<void> {
    this.linger();
    return this.watch?.ready ?? Promise.resolve();
  }

  /**
   * @param after the id of an event, or a position, on whichever node; without it only what happens from now on is read
   * @param onMore told when there is more to read
   */
  open(after: string | undefined, onMore: () => void): FeedReader {
    this.linger();
    const place = after === undefined ? this.end : this.placeAfter(after);
    let at = place ?? this.end;
    // So that each reader is told by itself.
    const wake = () => onMore();
    this.readers.add(wake);
    this.askOthers();
    return {
      isResumed: place !== undefined,
      next: () => {
        const event = this.events[at - this.trimmed];
        if (event) at++;
        return event;
      },
      isLost: () => at < this.trimmed,
      position: () => {
        const position = this.backplane.heardUpTo();
        return at === this.end && position !== undefined ? String(position) : undefined;
      },
      close: () => {
        this.readers.delete(wake);
        this.askOthers();
        this.linger();
      },
    };
  }

  private get end(): number {
    return this.trimmed + this.events.length;
  }

  private placeAfter(id: string): number | undefined {
    const [, revisionText, token] = EVENT_ID.exec(id) ?? [];
    if (revisionText === undefined) return undefined;
    const index = token === undefined ? -1 : this.events.findLastIndex((event) => event.id === id);
    if (index >= 0) return this.trimmed + index + 1;
    const { disorder } = this.backplane;
    const revision = Number(revisionText);
    if (revision - disorder < this.completeFrom || revision > this.backplane.position() + disorder) return undefined;
    const next = this.events.findIndex((event) => event.revision > revision - disorder);
    return next < 0 ? this.end : this.trimmed + next;
  }

  /** Listens, and stops a while after the last reader has gone. */
  private linger(): void {
    if (!this.watch) this.start();
    clearTimeout(this.lingering);
    this.lingering = setTimeout(() => {
      if (this.readers.size === 0) this.stop();
    }, LINGER_MS).unref();
  }

  private start(): void {
    this.watch = this.backplane.watch({
      changed: (key, revision, mark) => this.noteChange(key, revision, mark),
      expired: (key, revision) => {
        if (!isReserved(key)) this.record({ kind: 'expire', key, revision });
      },
      dropped: (text, exact, revision) => {
        const sweep = exact ? readSweepNotice(text) : undefined;
        if (!sweep) return;
        const { prefix: key, pattern, tag } = sweep;
        this.record({ kind: 'invalidate', key, pattern, tag, revision });
      },
      missed: () => this.record({ kind: 'reset', key: '', revision: this.backplane.position() }),
    });
    this.completeFrom = this.backplane.position();
  }

  private stop(): void {
    this.watch?.stop();
    this.watch = undefined;
    this.trim(this.events.length);
    this.completeFrom = Infinity;
  }

  /** Readers of this node may go on at others. */
  private askOthers(): void {
    clearInterval(this.asking);
    if (this.readers.size === 0) return;
    this.backplane.askToWatch();
    this.asking = setInterval(() => this.backplane.askToWatch(), ASK_INTERVAL_MS).unref();
  }

  private noteChange(key: string, revision: number, mark: Mark): void {
    if (isReserved(key)) {
      const tag = tagOf(key);
      // A tag is made when it is first used, and changes when it is invalidated.
      if (tag === undefined || mark !== MARKS.updated) return;
      this.record({ kind: 'invalidate', key: key.slice(0, key.indexOf(':') + 1), tag, revision });
    } else if (mark === MARKS.created || mark === MARKS.updated) {
      this.record({ kind: 'set', key, revision });
    } else if (mark === MARKS.removed) {
      this.record({ kind: 'delete', key, revision });
    }
  }

  private record(event: Omit<CacheEvent, 'id' | 'atMs'>): void {
    // By chance, and not counted: a count would tell of the events of other namespaces.
    const token = Math.floor(Math.random() * 2 ** 40).toString(36);
    const recorded = { ...event, id: `${event.revision}-${token}`, atMs: Date.now() };
    this.events.push(recorded);
    this.bytes += bytesOf(recorded);
    const maxBytes = this.maxBytes();
    if (this.events.length > MAX_EVENTS || this.bytes > maxBytes) {
      // Who reads fast enough must not lose its place to what comes in one turn.
      for (const wake of [...this.readers]) wake();
    }
    while (this.events.length > MAX_EVENTS || this.bytes > maxBytes) {
      this.trim(Math.ceil(this.events.length * TRIM_PART));
    }
    this.wakeReaders();
  }

  private trim(count: number): void {
    for (const event of this.events.splice(0, count)) {
      this.bytes -= bytesOf(event);
      this.completeFrom = Math.max(this.completeFrom, event.revision);
    }
    this.trimmed += count;
  }

  /** Once for all that comes in one turn. */
  private wakeReaders(): void {
    if (this.isWakingReaders || this.readers.size === 0) return;
    this.isWakingReaders = true;
    setImmediate(() => {
      this.isWakingReaders = false;
      for (const wake of [...this.readers]) wake();
    });
  }
}

function bytesOf({ key, pattern = '', tag = '' }: CacheEvent): number {
  return EVENT_BYTES + 2 * (key.length + pattern.length + tag.length);
}
