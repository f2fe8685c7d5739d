import { setTimeout as delay } from 'node:timers/promises';
import type { Bus } from '../backplane/redis-backplane.js';
import { formatAddress, type RedisAccess, type RedisAddress, parseRedisAddress } from './address.js';
import { CommandNotRun, ReplyLost } from './errors.js';
import { askReplication, ReplicaProgress } from './replica-progress.js';
import type { RedisScript } from './script.js';
import { RedisServer, type SendOptions } from './server.js';
import { SLOTS, slotOf } from './slot.js';
import { readShards, type Shard } from './shards.js';

export interface RedisClusterOptions {
  readonly access: RedisAccess;
  /** Some of the nodes; the others are learnt from them. */
  readonly seeds: readonly RedisAddress[];
  readonly maxConnections: number;
  /** Told once per change that no node can be reached (with the reason) or one can again. */
  readonly onConnection?: (connected: boolean, reason?: Error) => void;
}

/** The cluster cannot serve a slot now: no node is known to have it. */
export class SlotUnserved extends Error {}

const MAX_REDIRECTS = 16;
const REFRESH_INTERVAL_MS = 1000;
const ANSWER_TIMEOUT_MS = 500;
/** Not more often than this, however many commands are sent to the wrong node. */
const REFRESH_PAUSE_MS = 50;
const BUS_PATIENCE_MS = 1000;
const RETRY_MS = 20;
const MAX_RETRY_MS = 100;
/** A node that left the cluster may have answers under way. */
const FORGET_AFTER_MS = 30_000;

interface ExecuteOptions {
  readonly patienceMs: number;
  readonly readsOnly?: boolean;
  /** A replica is asked first, if there is one that is so many milliseconds behind at most. */
  readonly maxLagMs?: number | undefined;
}

interface Connected {
  readonly server: RedisServer;
  listedAtMs: number;
}

/**
 * A Redis Cluster: which node has which slot, a connection to each, and the redirections of the cluster followed. Every
 * command is about one key, so that slots can be moved while they are in use.
 */
export class RedisCluster implements Bus {
  private readonly nodes = new Map<string, Connected>();
  private readonly replicas = new Map<string, Connected>();
  private readonly slots: (string | undefined)[] = [];
  private shards: readonly Shard[] = [];
  private readonly progress = new ReplicaProgress();
  private isProgressWanted = false;
  private shardByAddress: ReadonlyMap<string, Shard> = new Map();
  private readonly changeListeners = new Set<() => void>();
  private refreshing: Promise<void> | undefined;
  private refreshedAtMs = -Infinity;
  private timer: NodeJS.Timeout | undefined;
  private connected = false;
  private closed = false;

  constructor(private readonly options: RedisClusterOptions) {}

  /** Resolves when the slots are known; rejects when no seed answers. */
  async connect(): Promise<void> {
    const attempts = this.options.seeds.map(async (seed) => {
      const { server } = this.node(formatAddress(seed));
      await server.connect();
      await this.learnFrom(server, seed);
    });
    try {
      await Promise.any(attempts);
    } catch (error) {
      throw new Error((error as AggregateError).errors.map((each) => (each as Error).message).join('; '));
    }
    await inTime(this.connectAll()).catch(() => undefined);
    this.timer = setInterval(() => this.refreshSoon(), REFRESH_INTERVAL_MS).unref();
  }

  /** The masters with their replicas and slots, as last heard. */
  get topology(): readonly Shard[] {
    return this.shards;
  }

  masters(): readonly RedisServer[] {
    return this.shards.map(({ master }) => this.node(master.address).server);
  }

  /** The master that has a slot, with its replicas. */
  shardOf(slot: number): Shard | undefined {
    return this.shardByAddress.get(this.slots[slot] ?? '');
  }

  /** Whether each slot has a node. */
  get isComplete(): boolean {
    for (let slot = 0; slot < SLOTS; slot++) if (this.slots[slot] === undefined) return false;
    return true;
  }

  /** The nodes of the topology, by whether this process is connected to them. */
  get nodeCounts(): { healthy: number; unhealthy: number; total: number } {
    const masters = this.shards.map(({ master }) => this.nodes.get(master.address));
    const replicas = this.shards.flatMap((shard) => shard.replicas.map(({ address }) => this.replicas.get(address)));
    const all = [...masters, ...replicas];
    const healthy = all.filter((node) => node !== undefined && node.server.connections.active > 0).length;
    return { healthy, unhealthy: all.length - healthy, total: all.length };
  }

  get connections(): { active: number; max: number } {
    let active = 0;
    for (const { server } of [...this.nodes.values(), ...this.replicas.values()]) active += server.connections.active;
    return { active, max: this.options.maxConnections * Math.max(1, this.nodes.size) };
  }

  /**
   * Runs a command where the slot is, wherever that moves meanwhile. Tried again until `patienceMs` are over, as long as
   * it is certain that it was not run; what only reads is tried again in any case.
   */
  async execute<T>(
    slot: number,
    call: (server: RedisServer, options: SendOptions) => Promise<T>,
    { patienceMs, readsOnly = false, maxLagMs }: ExecuteOptions,
  ): Promise<T> {
    const giveUpAtMs = performance.now() + patienceMs;
    let asked: string | undefined;
    for (let attempt = 0, redirects = 0; ; attempt++) {
      try {
        if (asked !== undefined) return await call(this.node(asked).server, { asking: true });
        const reader = maxLagMs !== undefined && attempt === 0 ? this.replicaOf(slot, maxLagMs) : undefined;
        return await call(reader ?? this.owner(slot), {});
      } catch (error) {
        const { message } = error as Error;
        const [kind, , address] = message.split(' ');
        asked = undefined;
        if ((kind === 'MOVED' || kind === 'ASK') && address !== undefined && redirects++ < MAX_REDIRECTS) {
          if (kind === 'ASK') asked = address;
          else this.slots[slot] = address;
          this.refreshSoon();
          continue;
        }
        const again =
          error instanceof CommandNotRun ||
          error instanceof SlotUnserved ||
          kind === 'TRYAGAIN' ||
          kind === 'CLUSTERDOWN' ||
          (error instanceof ReplyLost && readsOnly);
        if (!again || this.closed || performance.now() > giveUpAtMs) throw error;
        this.refreshSoon();
        await delay(Math.min(RETRY_MS * 2 ** attempt, MAX_RETRY_MS) * (0.5 + Math.random()));
      }
    }
  }

  run<T>(script: RedisScript, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<T> {
    const slot = slotOf(keys[0] ?? '{cache-nodes}');
    return this.execute(slot, (server, options) => server.run<T>(script, keys, args, options), {
      patienceMs: BUS_PATIENCE_MS,
    });
  }

  /** Listens at one of the nodes, which hears what any node of the cluster publishes. */
  async subscribe(
    channel: string,
    onMessage: (message: Buffer) => void,
    onState: (subscribed: boolean) => void,
  ): Promise<{ close(): Promise<void> }> {
    const masters = this.masters().filter(({ connections }) => connections.active > 0);
    const server = masters[Math.floor(Math.random() * masters.length)];
    if (!server) throw new SlotUnserved('no master of the cluster can be reached');
    let abandoned = false;
    const subscribing = server.subscribe(
      channel,
      (message) => {
        if (!abandoned) onMessage(message);
      },
      (subscribed) => {
        if (!abandoned) onState(subscribed);
      },
    );
    try {
      return await inTime(subscribing);
    } catch (error) {
      abandoned = true;
      void subscribing.then((subscription) => subscription.close()).catch(() => undefined);
      throw error;
    }
  }

  onServerChange(listener: () => void): void {
    this.changeListeners.add(listener);
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    await Promise.all([...this.nodes.values(), ...this.replicas.values()].map(({ server }) => server.close()));
  }

  /** Waits for those that there are; one that cannot be reached is tried again by itself. */
  private async connectAll(): Promise<void> {
    await Promise.allSettled([...this.nodes.values()].map(({ server }) => server.connect()));
  }

  private owner(slot: number): RedisServer {
    const address = this.slots[slot];
    if (address === undefined) throw new SlotUnserved(`no node of the cluster has slot ${slot}`);
    return this.node(address).server;
  }

  private replicaOf(slot: number, maxLagMs: number): RedisServer | undefined {
    this.isProgressWanted = true;
    const replicas = (this.shardOf(slot)?.replicas ?? []).filter(
      ({ address }) => this.progress.lagMs(address) < maxLagMs,
    );
    const chosen = replicas[Math.floor(Math.random() * replicas.length)];
    const server = chosen && this.replica(chosen.address).server;
    return server && server.connections.active > 0 ? server : undefined;
  }

  private node(address: string): Connected {
    const known = this.nodes.get(address);
    if (known) return known;
    const added = { server: this.open(address, false), listedAtMs: performance.now() };
    added.server.onServerChange(() => this.tellChange());
    this.nodes.set(address, added);
    return added;
  }

  private replica(address: string): Connected {
    const known = this.replicas.get(address);
    if (known) return known;
    const added = { server: this.open(address, true), listedAtMs: performance.now() };
    added.server.onServerChange(() => this.progress.forget(address));
    this.replicas.set(address, added);
    return added;
  }

  private open(address: string, readsFromReplica: boolean): RedisServer {
    const { access, maxConnections } = this.options;
    const server = new RedisServer({
      access,
      nodes: [parseRedisAddress(address)],
      maxConnections,
      readsFromReplica,
      onConnection: () => this.noteConnections(),
    });
    // Tried again by the server itself; commands say what is wrong meanwhile.
    void server.connect().catch(() => undefined);
    return server;
  }

  private refreshSoon(): void {
    if (this.refreshing || this.closed) return;
    const wait = Math.max(0, this.refreshedAtMs + REFRESH_PAUSE_MS - performance.now());
    this.refreshing = delay(wait, undefined, { ref: false })
      .then(() => this.refresh())
      .catch(() => undefined)
      .finally(() => {
        this.refreshedAtMs = performance.now();
        this.refreshing = undefined;
      });
  }

  /** Asks the nodes in a random order until one answers in time. */
  private async refresh(): Promise<void> {
    const addresses = [...this.nodes.keys()].map((address) => ({ address, order: Math.random() }));
    for (const { address } of addresses.sort((one, other) => one.order - other.order)) {
      if (this.closed) return;
      const { server } = this.node(address);
      if (server.connections.active === 0) continue;
      try {
        await inTime(this.learnFrom(server, parseRedisAddress(address)));
        return;
      } catch {
        continue;
      }
    }
  }

  private async learnFrom(server: RedisServer, asked: RedisAddress): Promise<void> {
    const shards = readShards(String(await server.send(['CLUSTER', 'NODES'])), asked);
    if (shards.length === 0) throw new SlotUnserved('the cluster has given no slots to its nodes');
    const nowMs = performance.now();
    const before = this.shards;
    this.shards = shards;
    this.shardByAddress = new Map(shards.map((shard) => [shard.master.address, shard]));
    this.slots.length = 0;
    for (const { master, replicas, ranges } of shards) {
      this.node(master.address).listedAtMs = nowMs;
      for (const { address } of replicas) this.replica(address).listedAtMs = nowMs;
      for (const [from, to] of ranges) for (let slot = from; slot <= to; slot++) this.slots[slot] = master.address;
    }
    this.progress.keep(new Set(shards.map(({ master }) => master.id)));
    if (this.isProgressWanted) for (const shard of shards) void this.followReplicas(shard).catch(() => undefined);
    for (const nodes of [this.nodes, this.replicas]) this.forgetUnlisted(nodes, nowMs);
    const promoted = new Set(before.flatMap(({ replicas }) => replicas.map(({ id }) => id)));
    if (shards.some(({ master }) => promoted.has(master.id))) this.tellChange();
    this.noteConnections();
  }

  private async followReplicas({ master, replicas }: Shard): Promise<void> {
    if (replicas.length === 0) return;
    const sentMs = performance.now();
    this.progress.note(master.id, await askReplication(this.node(master.address).server), sentMs);
  }

  private forgetUnlisted(nodes: Map<string, Connected>, nowMs: number): void {
    for (const [address, { server, listedAtMs }] of nodes) {
      if (nowMs - listedAtMs < FORGET_AFTER_MS) continue;
      nodes.delete(address);
      void server.close();
    }
  }

  private tellChange(): void {
    for (const listener of this.changeListeners) listener();
  }

  private noteConnections(): void {
    const connected = [...this.nodes.values()].some(({ server }) => server.connections.active > 0);
    if (connected === this.connected) return;
    this.connected = connected;
    this.options.onConnection?.(connected);
  }
}

function inTime<T>(answer: Promise<T>): Promise<T> {
  const tooLate = delay(ANSWER_TIMEOUT_MS, undefined, { ref: false }).then(() => {
    throw new Error(`no answer within ${ANSWER_TIMEOUT_MS} ms`);
  });
  return Promise.race([answer, tooLate]);
}
