import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { redisScript, type RedisScript } from '../redis/script.js';
import { redisKey } from './redis-protocol.js';
import { TALLIES_SCRIPT } from './redis-space-script.js';

/** Before the names of all that is kept for the counting; no key of a caller begins with it. See `SPACE`. */
export const SPACE_PLACE = redisKey('\u0006');
/** Where it is noted which tallies there are, and when all is to be counted anew. */
export const TALLIES = `${SPACE_PLACE}tallies`;
const HOLDER = `${SPACE_PLACE}recount`;

const TALLIES_RUN = redisScript(TALLIES_SCRIPT);
const LOOK_EVERY_MS = 2000;
/** Not more often than so, where counts may have drifted; a walk touches each entry, so that the server knows less of which are used. */
const RECOUNT_PAUSE_MS = 15 * 60_000;
/** Also where nothing is known to make them drift. */
const RECOUNT_EVERY_MS = 24 * 3_600_000;
/** Who has not counted for so long has died with it. */
const HOLDER_MS = 30_000;
const KEYS_AT_A_TIME = 200;
/** Callers come first. */
const PAUSE_MS = 10;
/** A tally is one byte in the header of an entry; 0: in none. */
const MAX_TALLY = 255;

/** The servers on which entries are counted. */
export interface CountedServers {
  /** Whether this node may count. */
  mayCount(): Promise<boolean>;
  send<T>(key: string, command: readonly string[]): Promise<T>;
  run<T>(script: RedisScript, key: string, args: readonly string[]): Promise<T>;
  /** A walk over the keys of each server, page by page. */
  walks(): readonly ((position: string, count: number) => Promise<readonly [Buffer, readonly Buffer[]]>)[];
  /** Counts entries into the coming tally, unless they are. */
  visit(keys: readonly string[]): Promise<void>;
  /** How many keys were evicted so far, as far as the servers know that now have them. */
  evictedKeys(): Promise<number>;
  /** Resolves when all nodes count into the coming tally what they write; rejects when aborted. */
  ready(signal: AbortSignal): Promise<void>;
}

/** Which tallies there are, and when the next may begin. */
export interface Tallies {
  /** As it is stored. */
  readonly text: string;
  readonly current: number;
  readonly coming: number;
  readonly dueAtMs: number;
}

export function readTallies(bytes: Buffer | null): Tallies {
  const text = bytes?.toString() ?? '';
  const [current = 0, coming = 0, dueAtMs = 0] = text === '' ? [] : text.split(' ').map(Number);
  return { text, current, coming, dueAtMs };
}

/** How many keys a server has evicted. @param info its answer to `INFO stats` */
export function evictedOf(info: string): number {
  return Number(/^evicted_keys:(\d+)/m.exec(info)?.[1] ?? 0);
}

/**
 * Counts all that there is, on one node, where counts may have drifted, and once a day: what is evicted, and what was
 * counted by a node that has died before it could tell, makes them drift, and what is older than the counting was never
 * counted.
 */
export class Recount {
  private readonly timer: NodeJS.Timeout;
  private running: Promise<void> | undefined;
  private readonly closing = new AbortController();
  private doubtedAtMs = -Infinity;
  /** When it was last looked. */
  private evictedKeys = 0;

  constructor(private readonly servers: CountedServers) {
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS).unref();
    this.look();
  }

  /** To be called when something has happened by which counts may have drifted. */
  doubt(): void {
    this.doubtedAtMs = Date.now();
  }

  async close(): Promise<void> {
    this.closing.abort();
    clearInterval(this.timer);
    await this.running;
  }

  private look(): void {
    // One that fails is tried again: nothing depends on how far it has come.
    this.running ??= this.recountIfDue()
      .catch(() => undefined)
      .finally(() => (this.running = undefined));
  }

  private async recountIfDue(): Promise<void> {
    const { servers } = this;
    if (this.closing.signal.aborted || !(await servers.mayCount())) return;
    await this.lookForEvictions();
    if (!this.isDue(await this.tallies())) return;
    const token = randomUUID();
    const told = await servers.send<unknown>(HOLDER, ['SET', HOLDER, token, 'NX', 'PX', String(HOLDER_MS)]);
    if (told === null) return;
    try {
      // Another node may have done it meanwhile.
      const before = await this.tallies();
      if (this.isDue(before)) await this.recount(before);
    } finally {
      await servers.send(HOLDER, ['DEL', HOLDER]);
    }
  }

  private async recount({ text, current, coming: abandoned }: Tallies): Promise<void> {
    // One that was begun by a node that has died is gone on with: nothing is counted twice.
    const coming = abandoned === 0 ? tallyAfter(current) : abandoned;
    const begun = `${current} ${coming}`;
    if (text !== begun && !(await this.change(text, begun))) return;
    const beganAtMs = Date.now();
    await this.servers.ready(this.closing.signal);
    const old: string[] = [];
    for (const walk of this.servers.walks()) {
      let position = '0';
      do {
        const [next, found] = await walk(position, KEYS_AT_A_TIME);
        position = next.toString();
        const keys = found.map(String);
        await this.servers.visit(keys.filter(isEntry));
        old.push(...keys.filter((key) => isSheet(key) && tallyOf(key) !== coming));
        await this.servers.send(HOLDER, ['PEXPIRE', HOLDER, String(HOLDER_MS)]);
        await delay(PAUSE_MS, undefined, { ref: false, signal: this.closing.signal });
      } while (position !== '0');
    }
    if (!(await this.change(begun, `${coming} 0 ${beganAtMs + RECOUNT_PAUSE_MS}`))) return;
    for (const key of new Set(old)) await this.servers.send(key, ['DEL', key]);
  }

  /** Another server in the place of one has another number, too. */
  private async lookForEvictions(): Promise<void> {
    const evictedKeys = await this.servers.evictedKeys();
    if (evictedKeys !== this.evictedKeys) this.doubt();
    this.evictedKeys = evictedKeys;
  }

  private isDue({ coming, dueAtMs }: Tallies): boolean {
    const nowMs = Date.now();
    const beganAtMs = dueAtMs - RECOUNT_PAUSE_MS;
    if (coming !== 0 || nowMs >= beganAtMs + RECOUNT_EVERY_MS) return true;
    return nowMs >= dueAtMs && this.doubtedAtMs >= beganAtMs;
  }

  private async tallies(): Promise<Tallies> {
    return readTallies(await this.servers.send<Buffer | null>(TALLIES, ['GET', TALLIES]));
  }

  private async change(from: string, to: string): Promise<boolean> {
    return (await this.servers.run<number>(TALLIES_RUN, TALLIES, [from, to])) === 1;
  }
}

/** Where it was lost which there were, entries say that they are in one of them: it is hardly the same by chance. */
function tallyAfter(current: number): number {
  return current === 0 ? randomInt(1, MAX_TALLY + 1) : (current % MAX_TALLY) + 1;
}

function isEntry(key: string): boolean {
  return key.charCodeAt(redisKey('').length) >= 0x20;
}

function isSheet(key: string): boolean {
  return key.startsWith(SPACE_PLACE) && key.includes(':', SPACE_PLACE.length);
}

function tallyOf(sheet: string): number {
  return Number(sheet.slice(SPACE_PLACE.length, sheet.indexOf(':', SPACE_PLACE.length)));
}
