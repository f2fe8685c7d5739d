import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type ClientBase } from 'pg';
import { connectionOf, type ReadVariable } from './postgres-connection.js';
import type { PostgresSourceDefinition } from '@cache-system/contracts';
import { Wake } from './wake.js';
import { changesSql, markHorizonSql, pruneSql, type WatchedTable, watchedTable } from './watch-sql.js';

/** Beyond this many changes at once it is cheaper to take everything for changed. */
const MAX_CHANGES = 10_000;
/** A watch that was away for longer than half of this takes everything for changed. */
const RETENTION_MS = 3_600_000;
const PROBE_MS = 1000;
const PROBE_TIMEOUT_MS = 2000;
const PRUNE_MS = 60_000;
/** Few enough for one statement to end well within PROBE_TIMEOUT_MS. */
const MAX_PRUNED = 10_000;
const RECONNECT_MS = 100;
const MAX_RECONNECT_MS = 5000;
/** Of Postgres: no such table, no such schema. */
const NOT_THERE = ['42P01', '3F000'];

/** Who is told of changes. A change counts as told when the promise has resolved; otherwise it is told again. */
export interface WatchListener {
  /** @param keys as the cache knows them, with the prefix of the source; each once */
  onChanged(keys: readonly string[]): Promise<void> | void;
  /** Any key of the source may have changed: nothing is known of the time before, or too much has happened. */
  onAllChanged(): Promise<void> | void;
  /** @param cause why changes are not heard of now */
  onState(connected: boolean, cause?: unknown): void;
}

/** The triggers are not there: `installWatch` has not been run, or the table was made anew since. */
export class WatchNotInstalled extends Error {
  constructor(source: string, options?: ErrorOptions) {
    super(`the triggers of the source ${source} are not installed`, options);
  }
}

interface Changes {
  readonly snapshot: string;
  readonly end: string;
  readonly generation: string;
  readonly installed: boolean;
  readonly changes: number;
  readonly everything: boolean;
  readonly keys: readonly string[];
}

/** Up to where changes have been told. */
interface Cursor {
  readonly snapshot: string;
  readonly generation: string;
  /** When it was read, in milliseconds since the epoch. */
  readonly atMs: number;
}

/**
 * Tells of changes that anybody makes in the table of a source, each at least once, whatever becomes of the connection.
 * A connection of its own listens for notifications, and is probed, as one that is dead may look as if nothing happened.
 * At the start, everything counts as changed.
 */
export class PostgresWatch {
  private readonly watched: WatchedTable;
  private readonly closing = new AbortController();
  private readonly running: Promise<void>;
  private cursor: Cursor | undefined;

  /** @throws ConnectionNotSet, NotWatchable */
  constructor(
    private readonly definition: PostgresSourceDefinition,
    private readonly readVariable: ReadVariable,
    private readonly listener: WatchListener,
  ) {
    this.watched = watchedTable(definition);
    connectionOf(definition, readVariable);
    this.running = this.run();
  }

  /** Afterwards nothing is told any more. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.closing;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await this.listen(() => {
          failures = 0;
          this.listener.onState(true);
        });
      } catch (error) {
        if (error instanceof WatchNotInstalled) this.cursor = undefined;
        // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- it was closed meanwhile
        if (!signal.aborted) this.listener.onState(false, error);
      }
      const boundMs = Math.min(RECONNECT_MS * 2 ** failures, MAX_RECONNECT_MS);
      await sleep(Math.random() * boundMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Tells of changes as long as the connection lasts. @throws what ended it */
  private async listen(onConnected: () => void): Promise<void> {
    const wake = new Wake();
    const client = new Client({
      ...connectionOf(this.definition, this.readVariable),
      query_timeout: PROBE_TIMEOUT_MS,
    });
    client.on('notification', () => wake.up());
    client.on('error', (error) => wake.fail(error));
    client.on('end', () => wake.fail(new Error('the connection has ended')));
    const onClosing = () => wake.fail(new Error('closed'));
    this.closing.signal.addEventListener('abort', onClosing);
    try {
      await client.connect();
      // Before the first reading: what happens after that is notified.
      await client.query(`LISTEN ${this.watched.identity}`);
      await this.tell(client);
      onConnected();
      for (let prunedAtMs = -Infinity; ;) {
        await wake.wait(PROBE_MS);
        await this.tell(client);
        if (performance.now() - prunedAtMs < PRUNE_MS) continue;
        const isDone = await this.prune(client);
        if (isDone) prunedAtMs = performance.now();
      }
    } finally {
      this.closing.signal.removeEventListener('abort', onClosing);
      // A server that does not answer is not waited for.
      client.end().catch(() => undefined);
    }
  }

  private async tell(client: ClientBase): Promise<void> {
    const { cursor } = this;
    const changes = await this.read(client, cursor);
    if (!cursor || isBroken(cursor, changes) || changes.everything || changes.changes > MAX_CHANGES) {
      await this.listener.onAllChanged();
    } else if (changes.keys.length > 0) {
      await this.listener.onChanged(changes.keys.map((key) => `${this.definition.prefix}${key}`));
    }
    const { snapshot, generation } = changes;
    this.cursor = { snapshot, generation, atMs: Date.now() };
  }

  private async read(client: ClientBase, cursor: Cursor | undefined): Promise<Changes> {
    const { name } = this.definition;
    const parameters = [cursor?.snapshot ?? null, this.watched.table, MAX_CHANGES + 1];
    const { rows } = await client.query<Changes>(changesSql(this.watched), parameters).catch((cause: unknown) => {
      const isThere = !NOT_THERE.includes((cause as { code?: string }).code ?? '');
      throw isThere ? cause : new WatchNotInstalled(name, { cause });
    });
    const [changes] = rows;
    if (!changes?.installed) throw new WatchNotInstalled(name);
    return changes;
  }

  /** @returns false when there is more to remove */
  private async prune(client: ClientBase): Promise<boolean> {
    const retentionSeconds = RETENTION_MS / 1000;
    await client.query(markHorizonSql(this.watched), [retentionSeconds]);
    const { rowCount } = await client.query(pruneSql(this.watched), [retentionSeconds, MAX_PRUNED]);
    return (rowCount ?? 0) < MAX_PRUNED;
  }
}

/** Whether changes since then may be unknown: removed as old, with their table, in a restored database, or without triggers. */
function isBroken({ generation, snapshot, atMs }: Cursor, changes: Changes): boolean {
  const endThen = BigInt(snapshot.split(':')[1] ?? 0);
  return (
    generation !== changes.generation || endThen > BigInt(changes.end) || Math.abs(Date.now() - atMs) > RETENTION_MS / 2
  );
}
