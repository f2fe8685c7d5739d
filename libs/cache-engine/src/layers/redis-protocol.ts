import { decodeEntry, decodeHead, encodeContent, type Entry, type Head, HEADER, headerLength } from '../entry.js';
import { StorageFull, MalformedCursor } from '../errors.js';
import type { Condition, Mutation, Outcome } from '../mutation.js';
import { CommandNotRun } from '../redis/errors.js';

/**
 * Before every key of ours. The empty braces keep a key's own braces from acting as a hash tag, so that nobody can
 * force many keys into one slot of a cluster.
 */
const PREFIX = 'cache{}:';
const KINDS = { put: 'p', remove: 'r', touch: 't', increment: 'i', lease: 'l', release: 'f' } as const;
const NOTED = 'n';
const STATUSES = [
  'created',
  'updated',
  'touched',
  'removed',
  'refused',
  'missing',
  'unsuitable',
  'leased',
  'present',
  'released',
  'taken',
  'unproven',
  'full',
] as const;
const NO_BYTES = Buffer.alloc(0);
const CLOCK_INTERVAL_MS = 10_000;
/** Differences below this are the noise of the measurement and would only make expiry times flicker. */
const CLOCK_NOISE_MS = 100;

export function redisKey(key: string): string {
  return PREFIX + key;
}

function keyOf(redisKey: Buffer | string): string {
  return redisKey.toString().slice(PREFIX.length);
}

/** The key of ours behind that of a server, which may hold what belongs to others. */
export function ownKeyOf(redisKey: Buffer): string | undefined {
  return redisKey.toString('latin1', 0, PREFIX.length) === PREFIX ? keyOf(redisKey) : undefined;
}

/** The pattern of all keys that start with `prefix`. */
export function prefixPattern(prefix: string): string {
  return `${(PREFIX + prefix).replace(/[\\*?[\]]/g, '\\$&')}*`;
}

/** Whether a mutation needs the names of the outbox. */
export function isNoted(mutation: Mutation): boolean {
  return mutation.kind === 'put' && mutation.noted === true;
}

/** The arguments of `APPLY_SCRIPT` for one mutation. */
export function pushArguments(args: (string | Buffer)[], mutation: Mutation): void {
  const limit = 'limitBytes' in mutation ? (mutation.limitBytes ?? '') : '';
  args.push(`${KINDS[mutation.kind]}${isNoted(mutation) ? NOTED : ''}${limit}`, conditionArgument(mutation.condition));
  switch (mutation.kind) {
    case 'put': {
      const { preamble, body } = encodeContent(mutation.content);
      args.push(String(mutation.ttlMs), preamble, body);
      return;
    }
    case 'increment': {
      const { by, initial, initialTtlMs, defaultTtl, ttlMs } = mutation;
      const content = { format: 'json', ascii: true, defaultTtl, payload: NO_BYTES } as const;
      args.push(String(ttlMs), encodeContent(content).preamble, `${by} ${initial} ${initialTtlMs}`);
      return;
    }
    case 'touch':
      args.push(String(mutation.ttlMs), NO_BYTES, NO_BYTES);
      return;
    case 'lease':
      args.push(String(mutation.leaseMs), NO_BYTES, NO_BYTES);
      return;
    case 'release':
      args.push('0', NO_BYTES, String(mutation.token));
      return;
    case 'remove':
      args.push('0', NO_BYTES, NO_BYTES);
  }
}

/** What `APPLY_SCRIPT` answers for these mutations. */
export function readOutcomes(reply: readonly number[], mutations: readonly Mutation[], clock: ServerClock): Outcome[] {
  let at = 0;
  const next = () => reply[at++] ?? 0;
  return mutations.map(({ kind }): Outcome => {
    const status = STATUSES[next()] ?? 'refused';
    const [revision, version, createdAtMs, updatedAtMs] = [next(), next(), next(), next()];
    const endsAtMs = clock.toOwn(next());
    if (status === 'unproven') return { status, revision, version };
    if (status === 'full') return { status, revision, usedBytes: version };
    if (status === 'taken') return { status, revision, leaseEndsMs: endsAtMs };
    if (status !== 'created' && status !== 'updated' && status !== 'touched') return { status, revision };
    const stamp = { version, revision, createdAtMs, updatedAtMs, expiresAtMs: endsAtMs };
    if (status === 'touched' || kind !== 'increment') return { status, revision, stamp };
    return { status, revision, stamp, sum: next() };
  });
}

export function readEntry(bytes: Buffer | null, clock: ServerClock): Entry | undefined {
  const entry = bytes === null ? undefined : decodeEntry(bytes);
  return entry && { ...entry, expiresAtMs: clock.toOwn(entry.expiresAtMs) };
}

/** Enough for the header of nearly every record. */
const HEAD_BYTES = 1024;

/** Reads an entry without its value. */
export async function readHead(
  key: Buffer,
  send: (command: (string | Buffer)[]) => Promise<unknown>,
  clock: ServerClock,
): Promise<Head | undefined> {
  const range = (end: number) => send(['GETRANGE', key, '0', String(end - 1)]) as Promise<Buffer>;
  const [start, totalBytes] = await Promise.all([range(HEAD_BYTES), send(['STRLEN', key]) as Promise<number>]);
  if (start[HEADER.offsets.format] === HEADER.absent) return undefined;
  const bytes = headerLength(start) > start.length ? await range(headerLength(start)) : start;
  const head = decodeHead(keyOf(key), bytes, totalBytes);
  return head && { ...head, expiresAtMs: clock.toOwn(head.expiresAtMs) };
}

/** What a command that failed means to the caller of a layer. */
export function layerError(error: unknown): unknown {
  if (error instanceof Error && error.message.includes('OOM command not allowed')) {
    return new StorageFull('Redis has reached its maxmemory', { cause: error });
  }
  return error;
}

/** The first words of errors by which a server refuses a script before it has done anything. */
const REFUSALS = /(^|-)(MOVED|ASK|TRYAGAIN|CLUSTERDOWN|CROSSSLOT|OOM|READONLY|LOADING|MASTERDOWN|NOAUTH) /;

/** Whether a script that failed has certainly done nothing. */
export function wasRefused(error: unknown): boolean {
  return error instanceof CommandNotRun || (error instanceof Error && REFUSALS.test(error.message));
}

/** The clock of a Redis server as seen from here: expiry times are kept in the time of the server. */
export class ServerClock {
  private aheadMs = 0;
  private timer: NodeJS.Timeout | undefined;

  /** Reads the clock now and again every few seconds. */
  follow(send: (args: readonly string[]) => Promise<unknown>): void {
    const read = async () => {
      const sentAtMs = Date.now();
      const [seconds, micros] = (await send(['TIME'])) as [Buffer, Buffer];
      this.note(Number(seconds.toString()) * 1000 + Number(micros.toString()) / 1000, sentAtMs);
    };
    void read().catch(() => undefined);
    clearInterval(this.timer);
    this.timer = setInterval(() => void read().catch(() => undefined), CLOCK_INTERVAL_MS).unref();
  }

  note(serverMs: number, sentAtMs: number): void {
    const nowMs = Date.now();
    const aheadMs = Math.round(serverMs - (sentAtMs + nowMs) / 2);
    // The answer may have been written at any time of the round trip.
    if (Math.abs(aheadMs - this.aheadMs) > CLOCK_NOISE_MS + (nowMs - sentAtMs) / 2) this.aheadMs = aheadMs;
  }

  toOwn(serverMs: number): number {
    return serverMs === 0 ? 0 : serverMs - this.aheadMs;
  }

  toServer(ownMs: number): number {
    return ownMs === 0 ? 0 : ownMs + this.aheadMs;
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

/** Terms joined by `;`: `e` exists, `a` absent, `i1,2` version in, `n1,2` version not in, `l1` under this lease, `c1` this version is alive. */
function conditionArgument(condition: Condition | undefined): string {
  if (!condition) return '';
  const terms: string[] = [];
  if (condition.exists !== undefined) terms.push(condition.exists ? 'e' : 'a');
  if (condition.versionIn) terms.push(`i${condition.versionIn.join(',')}`);
  if (condition.versionNotIn) terms.push(`n${condition.versionNotIn.join(',')}`);
  if (condition.lease !== undefined) terms.push(`l${condition.lease}`);
  if (condition.checked !== undefined) terms.push(`c${condition.checked}`);
  if (condition.onlyLater) terms.push('x');
  return terms.join(';');
}

/** Checks where SCAN is to go on: whatever else came along would fail there, as if the server did. @throws MalformedCursor */
export function requirePosition(cursor: string | undefined): void {
  if (cursor !== undefined && !/^\d{1,20}$/.test(cursor)) throw new MalformedCursor();
}
