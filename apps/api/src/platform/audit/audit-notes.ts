import { log } from '../logging.js';

const WRITE_INTERVAL_MS = 500;
/** What the same caller does again within this time is counted rather than told again. */
const WINDOW_MS = 60_000;
const MAX_WAITING = 1000;
const MAX_CALLERS = 2000;
const BATCH = 100;

interface Notable {
  readonly action: string;
  readonly actor: { readonly type: string; readonly id: string | null; readonly address: string | null };
  readonly after?: object;
}

export interface Note<Entry extends Notable> {
  readonly at: Date;
  readonly entry: Entry;
}

interface Flood<Entry extends Notable> {
  readonly sinceMs: number;
  latest: Note<Entry>;
  repeats: number;
}

/**
 * Entries that are part of no change, on their way to the database. Nobody waits for them and their number is bounded:
 * the first of a caller is written within a second, and what it repeats in the minute after that becomes one entry with
 * a count. Of what finds no room, because the database is away or too many callers come at once, the log tells the number.
 */
export class AuditNotes<Entry extends Notable> {
  private waiting: Note<Entry>[] = [];
  private readonly floods = new Map<string, Flood<Entry>>();
  private dropped = 0;
  private toldAtMs = -Infinity;
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> | undefined;
  private isClosed = false;

  /** @param write stores entries in one transaction; rejects when none of them is stored */
  constructor(private readonly write: (notes: readonly Note<Entry>[]) => Promise<void>) {}

  /** @param group of several of one action and caller: each group has entries of its own */
  add(entry: Entry, group = ''): void {
    const { type, id, address } = entry.actor;
    const key = JSON.stringify([entry.action, type, id, address, group]);
    const note = { at: new Date(), entry };
    const flood = this.floods.get(key);
    if (flood) {
      flood.repeats++;
      flood.latest = note;
    } else if (this.floods.size >= MAX_CALLERS) this.dropped++;
    else {
      this.floods.set(key, { sinceMs: performance.now(), latest: note, repeats: 0 });
      this.enqueue(note);
    }
    this.schedule();
  }

  /** Writes what there is, before the process ends: the counts of what goes on as well. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.writing;
    this.endFloods(Infinity);
    while (this.waiting.length > 0 && (await this.writeBatch()));
    this.dropped += this.waiting.length;
    this.tellOfDropped();
  }

  private enqueue(note: Note<Entry>): void {
    if (this.waiting.length < MAX_WAITING) this.waiting.push(note);
    else this.dropped++;
  }

  private schedule(): void {
    if (this.isClosed) return;
    this.timer ??= setTimeout(() => {
      this.writing = this.work().finally(() => {
        this.writing = this.timer = undefined;
        if (this.waiting.length > 0 || this.floods.size > 0) this.schedule();
      });
    }, WRITE_INTERVAL_MS).unref();
  }

  private async work(): Promise<void> {
    this.endFloods(performance.now() - WINDOW_MS);
    if (performance.now() - this.toldAtMs > WINDOW_MS) this.tellOfDropped();
    if (this.waiting.length > 0) await this.writeBatch();
  }

  /** Turns floods that began before then into an entry each. */
  private endFloods(beforeMs: number): void {
    for (const [key, { sinceMs, latest, repeats }] of this.floods) {
      if (sinceMs > beforeMs) break;
      this.floods.delete(key);
      if (repeats === 0) continue;
      const { at, entry } = latest;
      this.enqueue({ at, entry: { ...entry, after: { ...entry.after, repeats } } });
    }
  }

  /** Whether the database has taken them. */
  private async writeBatch(): Promise<boolean> {
    const batch = this.waiting.slice(0, BATCH);
    try {
      await this.write(batch);
    } catch (error) {
      log.debug({ err: error, waiting: this.waiting.length }, 'the audit log takes no entries; trying again');
      return false;
    }
    this.waiting = this.waiting.slice(batch.length);
    return true;
  }

  private tellOfDropped(): void {
    if (this.dropped === 0) return;
    log.warn({ dropped: this.dropped }, 'entries of the audit log were dropped: it took no more');
    this.dropped = 0;
    this.toldAtMs = performance.now();
  }
}
