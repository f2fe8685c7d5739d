import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisAccess, RedisAddress, RedisLogin } from './address.js';
import { backoffMs } from './backoff.js';
import { type Command, Connection, type SendOptions } from './connection.js';
import { CannotConnect, CommandNotRun } from './errors.js';
import { FixedMaster, MasterAmong, type MasterFinder } from './master.js';
import { ConnectionPool } from './pool.js';
import { type RedisScript, runScript } from './script.js';
import { SentinelMaster } from './sentinel.js';
import { Subscription } from './subscription.js';

export type { SendOptions } from './connection.js';

/** A connection that held so long was a good one: the next attempt after it need not wait. */
const STEADY_AFTER_MS = 5000;

export interface RedisServerOptions {
  readonly access: RedisAccess;
  /** One address: that server. Several: the one of them that is master. With `sentinelMaster`: Sentinels. */
  readonly nodes: readonly RedisAddress[];
  readonly sentinelMaster?: string;
  /** User of the Sentinels themselves. TLS they have where the servers have it. */
  readonly sentinelLogin?: RedisLogin;
  /** Subscriptions count too; one connection for commands there always is. */
  readonly maxConnections: number;
  /** The address is that of a replica in a cluster, and only reads are sent. */
  readonly readsFromReplica?: boolean;
  /** Told once per change that the server cannot be reached (with the reason) or can again. */
  readonly onConnection?: (connected: boolean, reason?: Error) => void;
}

/** Its commands are run in the order in which they were sent. */
export interface DedicatedConnection extends Pick<RedisServer, 'send' | 'run'> {
  /** Gives it to the next; it must not be used any more. */
  release(): void;
}

/**
 * One logical server: whichever process is the master now. Connections that are lost are made anew in the background, with
 * back-off and jitter; meanwhile commands fail at once. No command is ever sent twice, but for a script that the server did
 * not know.
 */
export class RedisServer {
  private readonly finder: MasterFinder;
  private readonly changeListeners = new Set<() => void>();
  private readonly subscriptions = new Set<Subscription>();
  private readonly closing = new AbortController();
  private readonly loads = new Map<string, Promise<unknown>>();
  private connecting: Promise<void> | undefined;
  private pool: ConnectionPool | undefined;
  private reported = false;
  private lastRunId: string | undefined;

  constructor(private readonly options: RedisServerOptions) {
    this.finder = finderFor(options);
  }

  /**
   * Resolves when connected. After a failure attempts go on in the background, until `close`.
   * @throws CannotConnect when the first attempt fails
   */
  connect(): Promise<void> {
    this.connecting ??= new Promise((resolve, reject) => {
      void this.keepConnected(resolve, reject);
    });
    return this.connecting;
  }

  /**
   * One command; blob strings come as Buffer.
   * @throws CommandNotRun, ReplyLost
   * @throws ErrorReply that the server gave, as it is
   */
  send<T>(args: Command, options?: SendOptions): Promise<T> {
    const connection = this.pool?.pick();
    return connection ? connection.send<T>(args, options) : Promise.reject(new CommandNotRun('no connection to Redis'));
  }

  /**
   * Runs a script by its digest; to a server that does not know it, it is sent once.
   * @throws CommandNotRun, ReplyLost, ErrorReply
   */
  run<T>(script: RedisScript, keys: readonly string[], args: Command, options?: SendOptions): Promise<T> {
    return runScript(
      script,
      keys,
      args,
      (command) => this.send<T>(command, options),
      () => this.load(script),
    );
  }

  /**
   * A connection that nobody else uses, for commands that concern the connection (WAIT) or block it; to be released.
   * At the limit of the connections it waits for another to be released.
   *
   * @throws CommandNotRun
   */
  async dedicated(): Promise<DedicatedConnection> {
    const pool = this.pool;
    if (!pool) throw new CommandNotRun('no connection to Redis');
    try {
      const connection = await pool.lend();
      return {
        send: (args, options) => connection.send(args, options),
        run: (script, keys, args, options) =>
          runScript(
            script,
            keys,
            args,
            (command) => connection.send(command, options),
            () => this.load(script),
          ),
        release: () => pool.giveBack(connection),
      };
    } catch (error) {
      throw new CommandNotRun((error as Error).message, { cause: error });
    }
  }

  /** As `listen`; resolves when first subscribed. */
  async subscribe(
    channel: string,
    onMessage: (message: Buffer) => void,
    onState: (subscribed: boolean, reason?: Error) => void,
  ): Promise<{ close(): Promise<void> }> {
    const { subscribed, close } = this.listen(channel, onMessage, onState);
    await subscribed;
    return {
      close: () => {
        close();
        return Promise.resolve();
      },
    };
  }

  /**
   * Takes the messages of a channel, in order, on a connection of its own, which is made anew by itself. What is published
   * between a loss and the next `onState(true)` is missed.
   */
  listen(
    channel: string,
    onMessage: (message: Buffer) => void,
    onState: (subscribed: boolean, reason?: Error) => void,
  ): { readonly subscribed: Promise<void>; readonly close: () => void } {
    const subscription = new Subscription({ channel, onMessage, onState, open: () => this.openBeside() });
    this.subscriptions.add(subscription);
    return {
      subscribed: subscription.start(),
      close: () => {
        this.subscriptions.delete(subscription);
        subscription.close();
      },
    };
  }

  /** The servers of a `Bus`: this one alone. */
  masters(): readonly RedisServer[] {
    return [this];
  }

  get database(): number {
    return this.options.access.database;
  }

  /** Calls back when the process behind is another than at the last connection: restarted, or another master. */
  onServerChange(listener: () => void): void {
    this.changeListeners.add(listener);
  }

  /** `active` is 0 while commands fail because there is no connection. */
  get connections(): { active: number; max: number } {
    const subscribed = [...this.subscriptions].filter(({ isSubscribed }) => isSubscribed).length;
    return { active: this.pool ? this.pool.size + subscribed : 0, max: this.options.maxConnections };
  }

  close(): Promise<void> {
    this.closing.abort();
    for (const subscription of this.subscriptions) subscription.close();
    this.pool?.drop(new CannotConnect('closed'));
    this.finder.close();
    return Promise.resolve();
  }

  private get isClosed(): boolean {
    return this.closing.signal.aborted;
  }

  private async keepConnected(onFirst: () => void, onFirstFailure: (reason: Error) => void): Promise<void> {
    for (let failures = 0; !this.isClosed; failures++) {
      try {
        const first = await this.finder.open();
        const connectedAtMs = performance.now();
        onFirst();
        const reason = await this.use(first);
        if (performance.now() - connectedAtMs > STEADY_AFTER_MS) failures = 0;
        this.report(false, reason);
      } catch (error) {
        onFirstFailure(error as Error);
      }
      await sleep(backoffMs(failures), undefined, { signal: this.closing.signal }).catch(() => undefined);
    }
    onFirstFailure(new CannotConnect('closed'));
  }

  /** Resolves with the reason when there is no connection to the master any more. */
  private async use(first: Connection): Promise<Error> {
    const pool = new ConnectionPool(
      first,
      () => this.openBeside(),
      () => this.connections.active < this.options.maxConnections,
    );
    if (this.isClosed) pool.drop(new CannotConnect('closed'));
    this.pool = pool;
    this.noteServer(first.runId);
    this.report(true);
    for (const subscription of this.subscriptions) subscription.hurry();
    const ended = new AbortController();
    const reason = await Promise.race([pool.lost, this.finder.replaced(first, ended.signal)]);
    ended.abort();
    this.pool = undefined;
    pool.drop(reason);
    return reason;
  }

  /** One more connection to the server that is in use. */
  private async openBeside(): Promise<Connection> {
    const first = this.pool?.first;
    if (!first) throw new CannotConnect('no connection to Redis');
    return Connection.open(first.address, this.options.access, this.options.readsFromReplica);
  }

  private noteServer(runId: string): void {
    const previous = this.lastRunId;
    this.lastRunId = runId;
    if (previous === undefined || previous === runId) return;
    this.loads.clear();
    for (const subscription of this.subscriptions) subscription.renew();
    for (const listener of this.changeListeners) listener();
  }

  private report(connected: boolean, reason?: Error): void {
    if (connected === this.reported || this.isClosed) return;
    this.reported = connected;
    this.options.onConnection?.(connected, reason);
  }

  /** Calls that miss the same script at once load it together. */
  private load(script: RedisScript): Promise<unknown> {
    const loading =
      this.loads.get(script.sha) ??
      this.send(['SCRIPT', 'LOAD', script.source]).finally(() => this.loads.delete(script.sha));
    this.loads.set(script.sha, loading);
    return loading;
  }
}

function finderFor(options: RedisServerOptions): MasterFinder {
  const { access, nodes, sentinelMaster, sentinelLogin = {}, readsFromReplica } = options;
  if (sentinelMaster !== undefined) {
    return new SentinelMaster({ sentinels: nodes, masterName: sentinelMaster, login: sentinelLogin, access });
  }
  const [only, ...others] = nodes;
  if (only === undefined) throw new CannotConnect('there is no address of a Redis');
  return others.length > 0 ? new MasterAmong(nodes, access) : new FixedMaster(only, access, readsFromReplica);
}
