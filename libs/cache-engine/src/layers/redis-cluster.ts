import { setTimeout as delay } from 'node:timers/promises';
import type { Announcer } from '../backplane/announcer.js';
import type { Entry } from '../entry.js';
import { MalformedCursor } from '../errors.js';
import type { Page, Layer, ReplicatedLayer, Replication } from '../layer.js';
import type { Mutation, Outcome } from '../mutation.js';
import type { Outbox } from '../outbox.js';
import { type RedisCluster, SlotUnserved } from '../redis/cluster.js';
import { askReplication } from '../redis/replica-progress.js';
import { redisScript } from '../redis/script.js';
import type { RedisServer, SendOptions } from '../redis/server.js';
import { SLOTS, slotOf } from '../redis/slot.js';
import {
  isNoted,
  layerError,
  prefixPattern,
  pushArguments,
  readEntry,
  readHead,
  readOutcomes,
  redisKey,
  ServerClock,
  wasRefused,
} from './redis-protocol.js';
import { ClusterSpace, type Moved } from './cluster-space.js';
import { evictedOf } from './redis-recount.js';
import { namesOf, type OutboxPlace, placeOf } from './outbox-places.js';
import { type OutboxServer, RedisOutbox } from './redis-outbox.js';
import { APPLY_SCRIPT } from './redis-script.js';

const APPLY = redisScript(APPLY_SCRIPT);
/** Names the keys that no node has: those of a dead master without a successor. */
const NO_SHARD = '';
/** All slots are looked at. */
const LOOK_FOR_OUTBOXES_MS = 15_000;
const SLOTS_AT_A_TIME = 512;
/** Where a scan is to go on: the id of a master, and a position of its SCAN. */
const CURSOR = /^[0-9a-f]{40}:\d{1,20}$/;
/** What `APPLY_SCRIPT` answers at its end: how the entry has moved, and the time. */
const MOVED = [-6, -1] as const;
/** A replica that has not answered by then is frozen rather than slow; its master is asked. */
const REPLICA_PATIENCE_MS = 100;

/** When reads may come from replicas. */
export interface ReplicaReads {
  /** A replica that may be further behind is not asked. */
  readonly maxLagMs: number;
  enabled(): boolean;
  /** Whether what a replica has is no older than what is known to have happened to the key. */
  accepts(key: string, entry: Entry | undefined): boolean;
}

/**
 * Entries in a Redis Cluster. A shard is a partition: it fails by itself, and the commands for it go out together.
 * Each command is about one key, so that none is split by a slot that is being moved.
 */
export class RedisClusterLayer implements Layer, ReplicatedLayer {
  readonly outbox: Outbox;
  private readonly clocks = new Map<RedisServer, ServerClock>();
  private readonly space: ClusterSpace;

  /**
   * @param patienceMs how long a command is tried again while its slot is moved or taken over
   * @param replicaReads reads come from masters alone without it
   * @param onMissingRights as in `RedisLayer`
   */
  constructor(
    private readonly cluster: RedisCluster,
    private readonly announcer: Announcer | undefined,
    private readonly patienceMs: () => number,
    private readonly replicaReads?: ReplicaReads,
    onMissingRights?: (commands: readonly string[]) => void,
  ) {
    this.outbox = new RedisOutbox({
      lookEveryMs: LOOK_FOR_OUTBOXES_MS,
      used: () => this.usedOutboxes(),
      at: (name, call) => this.atOutbox(Number(name), call),
      nameFor: (key) => String(slotOf(redisKey(key))),
      onServers: () => cluster.topology.flatMap(({ ranges: [first] }) => (first ? [String(first[0])] : [])),
    });
    this.space = new ClusterSpace(
      {
        send: (key, command) => this.run(slotOf(key), false, (server, options) => server.send(command, options)),
        run: (script, key, args) =>
          this.run(slotOf(key), false, (server, options) => server.run(script, [key], args, options)),
        evictedKeys: async () => {
          const infos = cluster.topology.map(({ ranges: [first] }) =>
            this.run(first?.[0] ?? 0, true, (server) => server.send(['INFO', 'stats'])),
          );
          return (await Promise.all(infos)).reduce<number>((sum, info) => sum + evictedOf(String(info)), 0);
        },
        walks: () =>
          cluster.topology.map(({ ranges: [first] }) => (position, count) => {
            const command = ['SCAN', position, 'MATCH', prefixPattern(''), 'COUNT', String(count)];
            return this.run(first?.[0] ?? 0, true, (server) => server.send(command));
          }),
      },
      patienceMs,
      onMissingRights,
    );
    cluster.onServerChange(() => this.space.doubt());
  }

  partitionOf(key: string): string {
    return this.cluster.shardOf(slotOf(redisKey(key)))?.master.id ?? NO_SHARD;
  }

  getMany(keys: readonly string[], fresh = false): Promise<readonly (Entry | undefined)[]> {
    const replicas = !fresh && this.replicaReads?.enabled() ? this.replicaReads : undefined;
    return Promise.all(keys.map((key) => this.get(key, replicas)));
  }

  applyMany(mutations: readonly Mutation[]): Promise<readonly Outcome[]> {
    const last = new Map<string, Promise<Outcome>>();
    return Promise.all(
      mutations.map((mutation) => {
        const before = last.get(mutation.key);
        const outcome = before ? before.then(() => this.apply(mutation)) : this.apply(mutation);
        last.set(mutation.key, outcome);
        return outcome;
      }),
    );
  }

  async scan(prefix: string, cursor: string | undefined, limit: number): Promise<Page> {
    if (cursor !== undefined && !CURSOR.test(cursor)) throw new MalformedCursor();
    // Shard by shard; a key that is moved meanwhile from one not yet visited to one that was is found by neither.
    const shards = [...this.cluster.topology].sort((one, other) => (one.master.id < other.master.id ? -1 : 1));
    const [id = '', position = '0'] = (cursor ?? '').split(':');
    const at = cursor === undefined ? 0 : shards.findIndex(({ master }) => master.id >= id);
    const shard = shards[at];
    if (!shard) return { heads: [], cursor: undefined };
    const from = shard.master.id === id ? position : '0';
    const slot = shard.ranges[0]?.[0] ?? 0;
    const [next, found] = await this.run(slot, true, (server) =>
      server.send<[Buffer, Buffer[]]>([
        'SCAN',
        from,
        'MATCH',
        prefixPattern(prefix),
        'COUNT',
        String(limit),
        'TYPE',
        'string',
      ]),
    );
    const heads = await Promise.all(
      found.map((key) =>
        this.run(slotOf(key.toString()), true, (server, options) =>
          readHead(key, (command) => server.send(command, options), this.clockOf(server)),
        ),
      ),
    );
    const after = next.toString() === '0' ? shards[at + 1]?.master.id : `${shard.master.id}:${next.toString()}`;
    return {
      heads: heads.filter((head) => head !== undefined),
      cursor: after === undefined || after.includes(':') ? after : `${after}:0`,
    };
  }

  usedBytes(namespace: string): Promise<number | undefined> {
    return this.space.usedBytes(namespace);
  }

  async check(partition?: string): Promise<void> {
    if (partition === NO_SHARD && !this.cluster.isComplete) throw new SlotUnserved('some slots have no node');
    const shards = this.cluster.topology.filter(({ master }) => partition === undefined || master.id === partition);
    // A shard that is no more is not asked anything: whatever waits for it may go on.
    await Promise.all(
      shards.map(({ ranges }) => this.run(ranges[0]?.[0] ?? 0, true, (server) => server.send(['PING']))),
    );
  }

  /**
   * Waits until replicas have confirmed all that was written to the master of a key through one connection, this write
   * among it: asked in the same connection, right after the write.
   */
  async applyReplicated(
    mutation: Mutation,
    wanted: (replicas: number) => number,
    timeoutMs: number,
  ): Promise<{ outcome: Outcome; replication: Replication }> {
    const slot = slotOf(redisKey(mutation.key));
    return this.cluster.execute(
      slot,
      async (server, options) => {
        const shard = this.cluster.shardOf(slot);
        // Its replicas are not known yet, so neither is how many must confirm.
        if (!shard) throw new SlotUnserved(`the node that has taken over slot ${slot} is not known yet`);
        const { replicas, lostReplicas } = shard;
        // One that is dead is one that does not confirm, not one that there need not be.
        const count = wanted(replicas.length + lostReplicas);
        const connection = await server.dedicated();
        try {
          const outcome = await this.applyAt(connection, this.clockOf(server), options, mutation);
          if (count === 0) return { outcome, replication: { confirmedBy: [], confirmed: 0, wanted: 0 } };
          const before = await askReplication(connection);
          const waited = await connection.send<number>(['WAIT', String(count), String(timeoutMs)]);
          const after = await askReplication(connection);
          const caughtUp = after.replicas.filter(({ offset }) => offset >= before.offset).map(({ address }) => address);
          const named = replicas.filter(({ address }) => caughtUp.includes(address)).map(({ name }) => name);
          // The count is what is certain; of a replica that is reached by another address than its own no name is known.
          const confirmed = Math.max(waited, named.length);
          return { outcome, replication: { confirmedBy: named, confirmed, wanted: count } };
        } finally {
          connection.release();
        }
      },
      { patienceMs: this.patienceMs() },
    );
  }

  async close(): Promise<void> {
    for (const clock of this.clocks.values()) clock.stop();
    await this.space.close();
    await this.cluster.close();
  }

  /** Slots in which writes are noted: that cannot be asked of a server at once. */
  private async usedOutboxes(): Promise<string[]> {
    const used: string[] = [];
    for (let first = 0; first < SLOTS; first += SLOTS_AT_A_TIME) {
      const slots = Array.from({ length: SLOTS_AT_A_TIME }, (_, index) => first + index);
      const exist = await Promise.allSettled(
        slots.map((slot) => this.atOutbox(slot, (server, { records }) => server.send<number>(['EXISTS', records]))),
      );
      // What a dead shard has is looked for again once it is back.
      const isUsed = (answer: (typeof exist)[number] | undefined) =>
        answer?.status === 'fulfilled' && answer.value === 1;
      used.push(...slots.filter((_, index) => isUsed(exist[index])).map(String));
    }
    return used;
  }

  private atOutbox<T>(slot: number, call: (server: OutboxServer, place: OutboxPlace) => Promise<T>): Promise<T> {
    return this.run(slot, true, (server, options) =>
      call(
        {
          send: (command) => server.send(command, options),
          run: (script, keys, args) => server.run(script, keys, args, options),
          clock: this.clockOf(server),
        },
        placeOf(slot),
      ),
    );
  }

  private async get(key: string, replicas: ReplicaReads | undefined): Promise<Entry | undefined> {
    const name = redisKey(key);
    const slot = slotOf(name);
    const read = async (server: RedisServer, options: SendOptions) =>
      readEntry(await server.send<Buffer | null>(['GET', name], options), this.clockOf(server));
    if (replicas) {
      const answer = await soon(this.run(slot, true, read, replicas.maxLagMs).then((entry) => ({ entry })));
      if (answer && replicas.accepts(key, answer.entry)) return answer.entry;
    }
    return this.run(slot, true, read);
  }

  private apply(mutation: Mutation): Promise<Outcome> {
    const slot = slotOf(redisKey(mutation.key));
    return this.run(slot, false, (server, options) => this.applyAt(server, this.clockOf(server), options, mutation));
  }

  private applyAt(
    server: Pick<RedisServer, 'run'>,
    clock: ServerClock,
    options: SendOptions,
    mutation: Mutation,
  ): Promise<Outcome> {
    return this.space.count(mutation, (counted, tallies) => this.runAt(server, clock, options, counted, tallies));
  }

  private async runAt(
    server: Pick<RedisServer, 'run'>,
    clock: ServerClock,
    options: SendOptions,
    mutation: Mutation,
    tallies: string,
  ): Promise<{ outcome: Outcome; moved: Moved }> {
    const sequence = this.announcer?.begin();
    const args: (string | Buffer)[] =
      sequence === undefined ? ['', ''] : [this.announcer?.channel ?? '', this.announcer?.head(sequence) ?? ''];
    args.push('', tallies);
    pushArguments(args, mutation);
    const keys = [redisKey(mutation.key)];
    if (isNoted(mutation)) keys.push(...namesOf(placeOf(slotOf(redisKey(mutation.key)))));
    const sentAtMs = Date.now();
    try {
      const reply = await server.run<number[]>(APPLY, keys, args, options);
      if (sequence !== undefined) this.announcer?.settle(sequence, 'sent');
      clock.note(reply.at(-1) ?? sentAtMs, sentAtMs);
      const [outcome] = readOutcomes(reply, [mutation], clock);
      if (!outcome) throw new Error('the script answered nothing');
      return { outcome, moved: reply.slice(...MOVED) };
    } catch (error) {
      if (sequence !== undefined) this.announcer?.settle(sequence, wasRefused(error) ? 'never' : 'unknown');
      if (!wasRefused(error)) this.space.doubt();
      throw layerError(error);
    }
  }

  private run<T>(
    slot: number,
    readsOnly: boolean,
    call: (server: RedisServer, options: SendOptions) => Promise<T>,
    maxLagMs?: number,
  ): Promise<T> {
    return this.cluster.execute(slot, call, { patienceMs: this.patienceMs(), readsOnly, maxLagMs });
  }

  private clockOf(server: RedisServer): ServerClock {
    let clock = this.clocks.get(server);
    if (!clock) {
      this.clocks.set(server, (clock = new ServerClock()));
      clock.follow((args) => server.send(args));
    }
    return clock;
  }
}

/** Undefined when there is no good answer within the patience with a replica. */
async function soon<T>(answer: Promise<T>): Promise<T | undefined> {
  const given = new AbortController();
  const tooLate = delay(REPLICA_PATIENCE_MS, undefined, { ref: false, signal: given.signal }).catch(() => undefined);
  try {
    return await Promise.race([answer.catch(() => undefined), tooLate]);
  } finally {
    given.abort();
  }
}
