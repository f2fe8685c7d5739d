import { setTimeout as delay } from 'node:timers/promises';
import { encodeContent, HEADER } from '../entry.js';
import type { Mutation, Outcome } from '../mutation.js';
import { redisScript } from '../redis/script.js';
import { wasRefused } from './redis-protocol.js';
import { type CountedServers, Recount, readTallies, SPACE_PLACE, TALLIES, type Tallies } from './redis-recount.js';
import { NOTE_SCRIPT, VISIT_SCRIPT } from './redis-space-script.js';
import { SpaceRights } from './space-rights.js';

const NOTE = redisScript(NOTE_SCRIPT);
const VISIT = redisScript(VISIT_SCRIPT);
/** So often the sheets are told what has changed, and asked for the sum of all nodes. */
const TELL_EVERY_MS = 250;
/** All nodes have heard of a new tally by then. */
const HEARD_MS = 8 * TELL_EVERY_MS;
/** What a sheet said is relied on for so long. */
const FRESH_MS = 1000;
/** The sheet of a namespace that was written under a limit is asked for so long after that, so that the next write need not wait. */
const WANTED_MS = 60_000;
/** A node may have this part of what is left before it tells of it: so many nodes may do so at once. */
const SHARES = 8;
/** Callers wait for a sheet for so long at most, or for this part of their deadline: it may be on a shard that is frozen, and theirs is not. */
const PATIENCE_MS = 100;
const PATIENCE_OF_DEADLINE = 1 / 4;
/** A sheet that did not answer is not asked again for so long. */
const OUT_OF_REACH_MS = 1000;
/** Of an increment. */
const LONGEST_SUM_BYTES = 17;

/** How many bytes more there are of what ends at a time; at 0: never. */
type Changes = Map<number, number>;

/** What this node knows of a namespace. */
interface Known {
  usedBytes: number;
  readAtMs: number;
  wantedUntilMs: number;
  outOfReachUntilMs: number;
  /** Of writes under way, and of what a sheet is being told. */
  reservedBytes: number;
  /** By tally: what its sheet has not been told yet. */
  readonly untold: Map<number, Changes>;
}

/** The answer of `APPLY_SCRIPT` and `VISIT_SCRIPT` to how an entry has moved: see `account` there. */
export type Moved = readonly number[];

/** Runs a mutation with bytes to grow by as its limit; of a full namespace it answers the bytes that it would grow by. */
type Run = (mutation: Mutation, tallies: string) => Promise<{ readonly outcome: Outcome; readonly moved: Moved }>;

/** By how much a namespace may grow, and what is to be called once it has, or has not. */
interface Allowance {
  readonly growthBytes: number;
  readonly release: () => void;
}

/** The cluster, as far as it is needed here. */
type ClusterServers = Pick<CountedServers, 'send' | 'run' | 'walks' | 'evictedKeys'>;

/**
 * Counts what entries take in a cluster, where a script that changes an entry cannot change a sheet as well: it answers
 * what has changed, and the node tells the sheets several times a second. Far from a limit a node relies on what it knows
 * of the sum; close to it, it has the bytes of a write noted before that.
 */
export class ClusterSpace {
  private readonly namespaces = new Map<string, Known>();
  private tallies: Tallies = readTallies(null);
  private readonly timer: NodeJS.Timeout;
  private readonly rights: SpaceRights;
  private readonly recount: Recount;
  private telling: Promise<void> | undefined;

  /** @param deadlineMs of the callers */
  constructor(
    private readonly servers: ClusterServers,
    private readonly deadlineMs: () => number,
    onMissingRights?: (commands: readonly string[]) => void,
  ) {
    this.rights = new SpaceRights((key, command) => servers.send(key, command), onMissingRights);
    this.recount = new Recount({
      ...servers,
      mayCount: () => this.rights.ask(),
      visit: async (keys) => {
        await Promise.all(keys.map((key) => this.visit(key)));
      },
      ready: (signal) => delay(HEARD_MS, undefined, { ref: false, signal }),
    });
    this.timer = setInterval(() => this.tellSoon(), TELL_EVERY_MS).unref();
    this.tellSoon();
  }

  /** Undefined until all was counted once, and where the sheet does not answer at once. */
  async usedBytes(namespace: string): Promise<number | undefined> {
    if (this.tallies.current === 0) return undefined;
    const known = this.knownOf(namespace);
    const isTold = await this.inReach(known, () => this.tell(namespace, known).then(() => true));
    return isTold ? Math.max(0, known.usedBytes) : undefined;
  }

  /** Runs a mutation by a script that is given the tallies. */
  async count(mutation: Mutation, run: Run): Promise<Outcome> {
    const { tallies } = this;
    const namespace = namespaceOf(mutation.key);
    const limitBytes = 'limitBytes' in mutation ? mutation.limitBytes : undefined;
    if (limitBytes === undefined || checkedTally(tallies) === 0) {
      const { outcome, moved } = await run({ ...mutation, limitBytes: undefined } as Mutation, tallies.text);
      this.note(namespace, tallies, moved);
      return outcome;
    }
    const known = this.knownOf(namespace);
    const bytes = mostBytes(mutation);
    const first = await this.runWithin(await this.allow(namespace, known, limitBytes, bytes), mutation, run, tallies);
    if (first.status !== 'full') return first;
    const full = { ...first, usedBytes: known.usedBytes };
    // What replaces something grows by less than it takes. The script has said by how much.
    const neededBytes = first.usedBytes;
    if (neededBytes >= bytes) return full;
    const claim = await this.claim(namespace, known, limitBytes, neededBytes);
    if (!claim) return { ...full, usedBytes: known.usedBytes };
    const second = await this.runWithin(claim, mutation, run, tallies);
    return second.status === 'full' ? { ...second, usedBytes: known.usedBytes } : second;
  }

  /** To be called where nobody knows what was done: the next count of everything tells. */
  doubt(): void {
    this.recount.doubt();
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.recount.close();
    await this.telling;
    await this.tellAll().catch(() => undefined);
  }

  /** @returns a full namespace with the bytes that it lacks */
  private async runWithin(
    { growthBytes, release }: Allowance,
    mutation: Mutation,
    run: Run,
    tallies: Tallies,
  ): Promise<Outcome> {
    try {
      const { outcome, moved } = await run({ ...mutation, limitBytes: growthBytes } as Mutation, tallies.text);
      this.note(namespaceOf(mutation.key), tallies, moved);
      return outcome;
    } finally {
      release();
    }
  }

  /** By how much something of so many bytes may make its namespace grow. */
  private async allow(namespace: string, known: Known, limitBytes: number, bytes: number): Promise<Allowance> {
    const nowMs = performance.now();
    const isFresh = nowMs - known.readAtMs < FRESH_MS;
    known.wantedUntilMs = nowMs + WANTED_MS;
    if (isFresh && bytes <= this.shareOf(known, limitBytes)) {
      known.reservedBytes += bytes;
      return { growthBytes: bytes, release: () => void (known.reservedBytes -= bytes) };
    }
    const claimed = await this.claim(namespace, known, limitBytes, bytes);
    return claimed ?? { growthBytes: Math.max(0, this.shareOf(known, limitBytes)), release: () => undefined };
  }

  /** Has bytes noted in the sheet; undefined where there is no room for them, or no answer in time. */
  private async claim(
    namespace: string,
    known: Known,
    limitBytes: number,
    bytes: number,
  ): Promise<Allowance | undefined> {
    const tally = checkedTally(this.tallies);
    const release = () => add(known, tally, 0, -bytes);
    const isGranted = await this.inReach(
      known,
      () => this.tellSheet(namespace, known, tally, { limitBytes, bytes }),
      (isGrantedLate) => isGrantedLate && release(),
    );
    return isGranted ? { growthBytes: bytes, release } : undefined;
  }

  /**
   * What a sheet answers, if that comes soon: where it does not, the key may be where it can be written.
   * @param comesLate is given an answer that nobody waits for any more
   */
  private async inReach<T>(
    known: Known,
    ask: () => Promise<T>,
    comesLate: (answer: T) => unknown = () => undefined,
  ): Promise<T | undefined> {
    if (performance.now() < known.outOfReachUntilMs) return undefined;
    const patienceMs = Math.min(PATIENCE_MS, this.deadlineMs() * PATIENCE_OF_DEADLINE);
    const answer = ask();
    const inTime = new AbortController();
    const tooLate = delay(patienceMs, undefined, { ref: false, signal: inTime.signal }).catch(() => undefined);
    try {
      const first = await Promise.race([answer.then((value) => ({ value })), tooLate]);
      if (first) return first.value;
      answer.then(comesLate, () => undefined);
    } catch {
      // As where it comes late.
    } finally {
      inTime.abort();
    }
    known.outOfReachUntilMs = performance.now() + OUT_OF_REACH_MS;
    return undefined;
  }

  /** Bytes by which the namespace may grow before its sheet is told. */
  private shareOf(known: Known, limitBytes: number): number {
    const untoldBytes = sumOf(known.untold.get(checkedTally(this.tallies)));
    return Math.floor((limitBytes - known.usedBytes) / SHARES - untoldBytes - known.reservedBytes);
  }

  private note(namespace: string, { current, coming }: Tallies, moved: Moved): void {
    const known = this.knownOf(namespace);
    const [mark = 0, bytesBefore = 0, endsBefore = 0, bytes = 0, ends = 0] = moved;
    for (const tally of [current, coming]) {
      if (tally === 0) continue;
      if (mark !== 0 && (mark === tally || mark === coming)) add(known, tally, endsBefore, -bytesBefore);
      add(known, tally, ends, bytes);
    }
  }

  private async visit(key: string): Promise<void> {
    const { tallies } = this;
    const moved = await this.servers.run<number[]>(VISIT, key, ['', '', '', tallies.text]);
    this.note(namespaceOf(key.slice(key.indexOf(':') + 1)), tallies, moved);
  }

  private tellSoon(): void {
    this.telling ??= this.tellAll()
      .catch(() => undefined)
      .finally(() => (this.telling = undefined));
  }

  private async tellAll(): Promise<void> {
    if (!(await this.rights.ask())) return;
    this.tallies = readTallies(await this.servers.send<Buffer | null>(TALLIES, ['GET', TALLIES]));
    const nowMs = performance.now();
    await Promise.all(
      [...this.namespaces].map(async ([namespace, known]) => {
        const isWanted = known.wantedUntilMs > nowMs;
        if (isWanted || known.untold.size > 0) await this.inReach(known, () => this.tell(namespace, known));
        else if (known.reservedBytes === 0) this.namespaces.delete(namespace);
      }),
    );
  }

  /** Tells all sheets of a namespace what they do not know, and notes what they say. */
  private async tell(namespace: string, known: Known): Promise<void> {
    const tallies = new Set([checkedTally(this.tallies), ...known.untold.keys()]);
    tallies.delete(0);
    await Promise.all([...tallies].map((tally) => this.tellSheet(namespace, known, tally)));
  }

  /** @param claim bytes that the sheet is to note unless it would have more than the limit @returns whether it did */
  private async tellSheet(
    namespace: string,
    known: Known,
    tally: number,
    claim?: { readonly limitBytes: number; readonly bytes: number },
  ): Promise<boolean> {
    const changes = known.untold.get(tally) ?? new Map<number, number>();
    known.untold.delete(tally);
    const toldBytes = sumOf(changes);
    known.reservedBytes += toldBytes;
    const args = claim ? [String(claim.limitBytes), String(claim.bytes)] : ['', '0'];
    args.push('', this.tallies.text);
    for (const [ends, bytes] of changes) args.push(String(ends), String(bytes));
    try {
      const name = `${SPACE_PLACE}${tally}:${namespace}`;
      const [bytes, granted] = await this.servers.run<[number, number]>(NOTE, name, args);
      if (tally === checkedTally(this.tallies)) Object.assign(known, { usedBytes: bytes, readAtMs: performance.now() });
      return granted === 1;
    } catch (error) {
      if (wasRefused(error)) for (const [ends, bytes] of changes) add(known, tally, ends, bytes);
      else this.doubt();
      throw error;
    } finally {
      known.reservedBytes -= toldBytes;
    }
  }

  private knownOf(namespace: string): Known {
    let known = this.namespaces.get(namespace);
    if (!known) {
      known = {
        usedBytes: 0,
        readAtMs: -Infinity,
        wantedUntilMs: 0,
        outOfReachUntilMs: 0,
        reservedBytes: 0,
        untold: new Map(),
      };
      this.namespaces.set(namespace, known);
    }
    return known;
  }
}

function add({ untold }: Known, tally: number, ends: number, bytes: number): void {
  if (bytes === 0) return;
  const changes: Changes = untold.get(tally) ?? new Map<number, number>();
  untold.set(tally, changes);
  changes.set(ends, (changes.get(ends) ?? 0) + bytes);
}

function sumOf(changes: Changes | undefined): number {
  let sum = 0;
  for (const bytes of changes?.values() ?? []) sum += bytes;
  return sum;
}

/** The one that says whether there is room. */
function checkedTally({ current, coming }: Tallies): number {
  return current === 0 ? coming : current;
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf(':'));
}

/** At most so many bytes the entry of a mutation takes. */
function mostBytes(mutation: Mutation): number {
  const valueBytes = mutation.kind === 'put' ? encodeContent(mutation.content).body.length : LONGEST_SUM_BYTES;
  return Buffer.byteLength(mutation.key) + HEADER.bytes + valueBytes;
}
