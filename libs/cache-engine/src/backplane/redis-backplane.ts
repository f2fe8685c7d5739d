import { setTimeout as delay } from 'node:timers/promises';
import { CommandNotRun } from '../redis/errors.js';
import { Expiries } from '../redis/expiries.js';
import { type RedisScript, redisScript } from '../redis/script.js';
import type { RedisServer } from '../redis/server.js';
import type { Announcer } from './announcer.js';
import type { Backplane, BackplaneListener, BackplaneState, Watch, Watcher } from './backplane.js';
import { type Beat, Ledger } from './ledger.js';
import { type Mark, MARKS } from './mark.js';

/** What the backplane needs of a server, or of a cluster as a whole. */
export interface Bus {
  run<T>(script: RedisScript, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<T>;
  /** A connection of its own, made anew by itself. Messages of one server come in the order in which it sent them. */
  subscribe(
    channel: string,
    onMessage: (message: Buffer) => void,
    onState: (subscribed: boolean) => void,
  ): Promise<{ close(): Promise<void> }>;
  /** Told when a server may have lost what it had acknowledged: another process or another master answers. */
  onServerChange(listener: () => void): void;
  /** Those that take writes now. */
  masters(): readonly RedisServer[];
}

const BEATS_PER_LEASE = 5;
/** A node that was silent for so many leases is taken for dead. */
const LEASES_TO_LIVE = 3;
const MAX_OPEN_BEATS = 3;
const MAX_PAST_EPOCHS = 1000;
const NODES_KEY = '{cache-nodes}';
const EPOCH_KEY = '{cache-nodes}:copies';
const NOTHING = '-';
/** Clocks of masters differ, and announcements of different masters overtake each other. */
const DISORDER_MICROS = 1_000_000;
const WATCH_MESSAGE = 'w';

/** The epoch is a time, so that it does not start again where the key is lost. */
const RAISE_EPOCH = `
local function raise(key, channel, micros)
  local epoch = string.format('%.0f', math.max(micros, tonumber(redis.call('GET', key) or '0') + 1))
  redis.call('SET', key, epoch)
  redis.call('PUBLISH', channel, 'e ' .. epoch)
  return epoch
end
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
`;

/**
 * Registers this node and sends its beat, in one step: who finds it registered has heard the beat. A node that is found
 * to be dead may have changed an entry and not lived to bring the layer of copies up to date, so the epoch goes up.
 * KEYS: the nodes, the epoch of the copies. ARGV: id, channel, beat, time to live in milliseconds.
 */
const BEAT_SCRIPT = redisScript(`${RAISE_EPOCH}
local now = math.floor(micros / 1000)
local added = redis.call('ZADD', KEYS[1], now, ARGV[1])
local dead = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[4]))
redis.call('PUBLISH', ARGV[2], ARGV[3])
local epoch = redis.call('GET', KEYS[2])
if not epoch or dead > 0 then epoch = raise(KEYS[2], ARGV[2], micros) end
return { added, epoch, redis.call('ZRANGE', KEYS[1], 0, -1), string.format('%.0f', micros) }
`);

const GOODBYE_SCRIPT = redisScript(`
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('PUBLISH', ARGV[2], ARGV[3])
`);

const PUBLISH_SCRIPT = redisScript(`return redis.call('PUBLISH', ARGV[1], ARGV[2])`);

const EPOCH_SCRIPT = redisScript(`${RAISE_EPOCH}return raise(KEYS[1], ARGV[1], micros)`);

/**
 * The backplane over the pub/sub of the deepest shared layer, which sends each announcement in the script that makes
 * the change. Beats of the nodes prove that nothing was missed; see `Ledger`.
 */
export class RedisBackplane implements Backplane {
  readonly disorder = DISORDER_MICROS;
  private readonly ledger: Ledger;
  private readonly sentAtMs = new Map<number, number>();
  private readonly listeners = new Set<BackplaneListener>();
  private readonly watchers = new Set<Watcher>();
  private readonly watchRequestListeners = new Set<() => void>();
  private expiries: Expiries | undefined;
  /** When the clock of this process began, by that of the servers. */
  private originMicros = performance.timeOrigin * 1000;
  private subscription: { close(): Promise<void> } | undefined;
  private timer: NodeJS.Timeout | undefined;
  private count = 0;
  private openBeats = 0;
  private listenings = 0;
  private isMoving = false;
  private readonly startedAtMs = performance.now();
  private registeredAtMs = -Infinity;
  private copiesEpoch = 0;
  private readonly epochListeners = new Set<(epoch: number) => void>();
  private untrustedSinceMs: number | undefined = performance.now();
  /** Since when nothing vouches for copies of past epochs. */
  private readonly epochsEndedMs = new Map<number, number>();
  private notedEpoch = 0;

  constructor(
    private readonly bus: Bus,
    private readonly announcer: Announcer,
    private leaseMs: number,
    /** Told when L1 is trusted no more, and when it is again. */
    private readonly onTrust: (trusted: boolean) => void = () => undefined,
    /** Told why it may be that nobody hears of entries that end with their ttl. */
    private readonly onDeafToExpiries: (reason: Error) => void = () => undefined,
  ) {
    this.ledger = new Ledger(announcer.nodeId, leaseMs);
    bus.onServerChange(() => {
      this.ledger.serverChanged();
      this.noteEpoch();
    });
  }

  get epoch(): number {
    return this.ledger.epoch;
  }

  isTrusted(): boolean {
    return performance.now() < this.ledger.trustedUntilMs;
  }

  uncheckedMs(epoch: number): number {
    const sinceMs = epoch < this.notedEpoch ? (this.epochsEndedMs.get(epoch) ?? -Infinity) : this.untrustedSinceMs;
    return sinceMs === undefined ? 0 : performance.now() - sinceMs;
  }

  follow(listener: BackplaneListener): void {
    this.listeners.add(listener);
  }

  watch(watcher: Watcher): Watch {
    this.watchers.add(watcher);
    this.expiries ??= new Expiries(() => this.bus.masters(), {
      expired: (key) => {
        for (const each of this.watchers) each.expired(key, this.position());
      },
      missed: () => this.tellWatchersOfGap(),
      refused: this.onDeafToExpiries,
    });
    return {
      ready: this.expiries.ready(),
      stop: () => {
        this.watchers.delete(watcher);
        if (this.watchers.size === 0) this.stopExpiries();
      },
    };
  }

  askToWatch(): void {
    // Asked again and again: one that is not heard is of no consequence.
    this.bus.run(PUBLISH_SCRIPT, [], [this.announcer.channel, WATCH_MESSAGE]).catch(() => undefined);
  }

  onAskedToWatch(listener: () => void): void {
    this.watchRequestListeners.add(listener);
  }

  position(): number {
    return this.revisionAt(performance.now());
  }

  /** Until now would be too much: what was announced may be under way, or be there and not read yet. */
  heardUpTo(): number | undefined {
    const { echoedAtMs } = this.ledger;
    return Number.isFinite(echoedAtMs) ? this.revisionAt(echoedAtMs) : undefined;
  }

  setLease(leaseMs: number): void {
    if (leaseMs === this.leaseMs) return;
    this.leaseMs = leaseMs;
    this.ledger.setLease(leaseMs);
    if (this.timer) this.schedule();
  }

  /** Resolves when this node is registered: only then may it change anything. */
  async start(): Promise<void> {
    await this.listen();
    await this.sendBeat();
    this.schedule();
  }

  async drop(prefix: string, exact: boolean): Promise<void> {
    const sequence = this.announcer.begin();
    const message = `d ${this.announcer.nodeId} ${sequence} ${exact ? 1 : 0} ${prefix}`;
    try {
      await this.inTime(this.bus.run(PUBLISH_SCRIPT, [], [this.announcer.channel, message]));
      this.announcer.settle(sequence, 'sent');
    } catch (error) {
      this.announcer.settle(sequence, error instanceof CommandNotRun ? 'never' : 'unknown');
      throw error;
    }
  }

  /** Tells which copies in the layer above the deepest are to be trusted: those that carry this epoch. */
  followCopies(listener: (epoch: number) => void): void {
    this.epochListeners.add(listener);
    listener(this.copiesEpoch);
  }

  /** Makes every node distrust the copies that are in the layer above the deepest now. */
  async distrustCopies(): Promise<void> {
    const raised = this.bus.run<Buffer | string>(EPOCH_SCRIPT, [EPOCH_KEY], [this.announcer.channel]);
    this.noteCopiesEpoch(await this.inTime(raised));
  }

  state(): BackplaneState {
    const { gaps } = this.ledger;
    const { nodeId: selfId } = this.announcer;
    return { selfId, trusted: this.isTrusted(), epoch: this.epoch, gaps, peers: this.ledger.peers(performance.now()) };
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    this.stopExpiries();
    const { nodeId, channel, progress } = this.announcer;
    const message = `b ${nodeId} ${progress.through}`;
    const farewell = this.bus.run(GOODBYE_SCRIPT, [NODES_KEY], [nodeId, channel, message]).catch(() => undefined);
    await Promise.race([farewell, new Promise((resolve) => setTimeout(resolve, this.leaseMs).unref())]);
    await this.subscription?.close();
  }

  private revisionAt(ms: number): number {
    return Math.round(this.originMicros + ms * 1000);
  }

  private async listen(): Promise<void> {
    const listening = ++this.listenings;
    const isCurrent = () => listening === this.listenings;
    this.subscription = await this.bus.subscribe(
      this.announcer.channel,
      (message) => {
        if (!isCurrent()) return;
        this.receive(message.toString());
        this.noteEpoch();
      },
      (subscribed) => {
        if (!isCurrent()) return;
        if (subscribed) this.ledger.startListening();
        else this.ledger.stopListening();
        this.noteEpoch();
      },
    );
  }

  /** Beats arrive where they are sent, and yet do not come back: the server that we listen at is cut off or gone. */
  private async listenElsewhere(): Promise<void> {
    if (this.isMoving) return;
    this.isMoving = true;
    try {
      this.ledger.stopListening();
      await this.subscription?.close();
      await this.listen();
    } catch {
      // Tried again with the next beat.
    } finally {
      this.isMoving = false;
    }
  }

  private schedule(): void {
    clearInterval(this.timer);
    this.timer = setInterval(() => {
      const nowMs = performance.now();
      this.ledger.giveUpGaps(nowMs);
      this.noteEpoch();
      this.noteTrust(nowMs);
      const silentMs = nowMs - Math.max(this.ledger.echoedAtMs, this.startedAtMs);
      if (silentMs > 2 * this.leaseMs && nowMs - this.registeredAtMs < this.leaseMs) void this.listenElsewhere();
      void this.sendBeat().catch(() => undefined);
    }, this.leaseMs / BEATS_PER_LEASE).unref();
  }

  /** At once: what is begun from then on has missed nothing, and need not be thrown away. */
  private noteEpoch(): void {
    if (this.notedEpoch === this.epoch) return;
    const nowMs = performance.now();
    while (this.notedEpoch < this.epoch) this.epochsEndedMs.set(this.notedEpoch++, this.untrustedSinceMs ?? nowMs);
    for (const epoch of this.epochsEndedMs.keys()) {
      if (this.epochsEndedMs.size <= MAX_PAST_EPOCHS) break;
      this.epochsEndedMs.delete(epoch);
    }
    for (const listener of this.listeners) listener.missed?.();
    this.tellWatchersOfGap();
  }

  private tellWatchersOfGap(): void {
    this.expiries?.forget();
    for (const watcher of this.watchers) watcher.missed();
  }

  private stopExpiries(): void {
    this.expiries?.stop();
    this.expiries = undefined;
  }

  private noteTrust(nowMs: number): void {
    const trusted = this.isTrusted();
    if (trusted === (this.untrustedSinceMs === undefined)) return;
    this.untrustedSinceMs = trusted ? undefined : nowMs;
    this.onTrust(trusted);
  }

  private async sendBeat(): Promise<void> {
    if (this.openBeats >= MAX_OPEN_BEATS) return;
    const { nodeId, nodeName, channel, progress } = this.announcer;
    const count = ++this.count;
    const [open, never] = [progress.open, progress.never].map((numbers) => numbers.join(',') || NOTHING);
    const { copiesEpoch } = this;
    const sentMs = performance.now();
    this.sentAtMs.set(count, sentMs);
    this.sentAtMs.delete(count - 100);
    this.openBeats++;
    try {
      const timeToLiveMs = this.leaseMs * LEASES_TO_LIVE;
      const [added, epoch, ids, micros] = await this.bus.run<[number, Buffer, Buffer[], Buffer]>(
        BEAT_SCRIPT,
        [NODES_KEY, EPOCH_KEY],
        [
          nodeId,
          channel,
          `h ${nodeId} ${count} ${progress.through} ${open} ${never} ${nodeName}`,
          String(timeToLiveMs),
        ],
      );
      this.originMicros = Number(micros.toString()) - ((sentMs + performance.now()) / 2) * 1000;
      // We were on the list a moment ago: the server has lost its data.
      const isLost = added === 1 && sentMs - this.registeredAtMs < timeToLiveMs / 2;
      if (isLost) this.ledger.serverChanged();
      this.registeredAtMs = sentMs;
      this.ledger.register(ids.map(String), sentMs);
      this.noteEpoch();
      // A master that died has taken the last epochs with it: copies from before those must not count again.
      if (isLost || Number(epoch.toString()) < copiesEpoch) await this.distrustCopies();
      else this.noteCopiesEpoch(epoch);
    } finally {
      this.openBeats--;
    }
  }

  private receive(message: string): void {
    switch (message[0]) {
      case 'c':
        return this.receiveChanges(message);
      case 'h':
        return this.receiveBeat(message);
      case 'd': {
        const [, node = '', sequence, exact] = message.split(' ', 4);
        const prefix = message.split(' ').slice(4).join(' ');
        const revision = this.position();
        for (const each of [...this.listeners, ...this.watchers]) each.dropped(prefix, exact === '1', revision);
        return this.ledger.announcement(node, Number(sequence), performance.now());
      }
      case 'e':
        return this.noteCopiesEpoch(message.slice(2));
      case WATCH_MESSAGE:
        for (const listener of this.watchRequestListeners) listener();
        return;
      case 'b': {
        const [, node = '', through] = message.split(' ');
        return this.ledger.goodbye(node, Number(through));
      }
    }
  }

  private receiveChanges(message: string): void {
    const [head = '', ...changes] = message.split('\n');
    for (const change of changes) {
      const space = change.indexOf(' ');
      const mark = change[0] as Mark;
      const revision = Number(change.slice(1, space));
      const key = change.slice(space + 1);
      if (this.watchers.size > 0) this.tellWatchers(key, revision, mark);
      // A lease changes nothing of what copies are taken of.
      if (mark === MARKS.leased) continue;
      for (const listener of this.listeners) listener.changed(key, revision);
    }
    const [, node = '', sequence] = head.split(' ');
    this.ledger.announcement(node, Number(sequence), performance.now());
  }

  private tellWatchers(key: string, revision: number, mark: Mark): void {
    if (mark === MARKS.removed || mark === MARKS.nothing || mark === MARKS.leased) this.expiries?.noteAbsent(key);
    else this.expiries?.notePresent(key);
    for (const watcher of this.watchers) watcher.changed(key, revision, mark);
  }

  private receiveBeat(message: string): void {
    const [, node = '', count, through, open, never, name = ''] = message.split(' ');
    const beat: Beat = {
      node,
      name,
      count: Number(count),
      through: Number(through),
      open: numbersIn(open),
      never: numbersIn(never),
    };
    const own = node === this.announcer.nodeId ? this.sentAtMs.get(beat.count) : undefined;
    this.ledger.beat(beat, performance.now(), own);
  }

  /** Callers wait for these; the connection itself would give up later. */
  private async inTime<T>(answer: Promise<T>): Promise<T> {
    const given = new AbortController();
    const tooLate = delay(this.leaseMs, undefined, { ref: false, signal: given.signal }).then(() => {
      throw new Error(`no answer within ${this.leaseMs} ms`);
    });
    try {
      return await Promise.race([answer, tooLate]);
    } finally {
      tooLate.catch(() => undefined);
      given.abort();
    }
  }

  private noteCopiesEpoch(text: Buffer | string): void {
    const epoch = Number(text.toString());
    if (epoch <= this.copiesEpoch) return;
    this.copiesEpoch = epoch;
    for (const listener of this.epochListeners) listener(epoch);
  }
}

function numbersIn(text = NOTHING): number[] {
  return text === NOTHING ? [] : text.split(',').map(Number);
}
