import { ClientClosedError, ClientOfflineError, createClient, ErrorReply } from 'redis';
import { formatAddress, type RedisAccess, type RedisAddress } from './address.js';
import { CONNECT_TIMEOUT_MS, clientOptions } from './client-options.js';
import { CannotConnect, CommandNotRun, ReplyLost } from './errors.js';

const HEARTBEAT_MS = 1000;
/** So many heartbeats without any reply while one is awaited, and the connection is given up. */
const SILENT_HEARTBEATS = 3;
/** Scripts that fail by one of these have it in the midst of the text on Redis 6. */
const NOT_SERVING = /(^|-)(READONLY|MASTERDOWN|LOADING) /;

export type Command = readonly (string | Buffer)[];

export interface SendOptions {
  /** To a node of a cluster which is just taking the slot over, as it answered with ASK. */
  readonly asking?: boolean;
}

/**
 * One connection to one server, from its handshake to its loss; another is made in its place, never the same again. Commands
 * are sent at once and answered in order.
 */
export class Connection {
  /** Commands without a reply yet. */
  pending = 0;
  /** When it last sent a command that was not its own, by `performance.now()`. */
  usedAtMs = performance.now();
  /** Whether a reply may take long without anything being wrong. */
  mayBlock = false;
  /** Resolves with the reason when the connection is not to be used any more. */
  readonly lost: Promise<Error>;
  /** Identifies the process behind; it differs after a restart. */
  runId = '';
  /** The reason, once there is one. */
  loss: Error | undefined;
  private settleLost: (reason: Error) => void = () => undefined;
  private readonly client;
  private readonly heartbeat: NodeJS.Timeout;
  private replies = 0;
  private repliesAtHeartbeat = 0;
  private silentHeartbeats = 0;

  private constructor(
    readonly address: RedisAddress,
    access: RedisAccess,
    readsFromReplica: boolean,
  ) {
    this.lost = new Promise((resolve) => (this.settleLost = resolve));
    this.client = createClient(clientOptions(address, access, readsFromReplica));
    this.client.on('error', (error: Error) => this.drop(error));
    this.heartbeat = setInterval(() => this.beat(), HEARTBEAT_MS).unref();
  }

  /** @throws CannotConnect unless the server answers commands within `CONNECT_TIMEOUT_MS` */
  static async open(address: RedisAddress, access: RedisAccess, readsFromReplica = false): Promise<Connection> {
    const connection = new Connection(address, access, readsFromReplica);
    const tooLate = setTimeout(
      () => connection.drop(new Error(`no answer within ${CONNECT_TIMEOUT_MS} ms`)),
      CONNECT_TIMEOUT_MS,
    );
    try {
      await Promise.race([connection.greet(), connection.failure()]);
      return connection;
    } catch (error) {
      connection.drop(error as Error);
      const { message, code } = error as NodeJS.ErrnoException;
      throw new CannotConnect(`${formatAddress(address)}: ${message || (code ?? 'no answer')}`, { cause: error });
    } finally {
      clearTimeout(tooLate);
    }
  }

  /**
   * @throws CommandNotRun, ReplyLost
   * @throws ErrorReply that the server gave, as it is
   */
  send<T>(command: Command, { asking = false }: SendOptions = {}): Promise<T> {
    this.usedAtMs = performance.now();
    // It holds for the next command on the connection, and this is the next, as both are queued without a pause.
    if (asking) this.request(['ASKING']).catch(() => undefined);
    return this.request<T>(command);
  }

  /** @throws CommandNotRun, ReplyLost, ErrorReply */
  async subscribe(channel: string, onMessage: (message: Buffer) => void): Promise<void> {
    try {
      // To a client that was destroyed before, the client would wait for ever.
      await Promise.race([this.client.subscribe(channel, onMessage, true), this.failure()]);
    } catch (error) {
      throw this.translate(error as Error);
    }
  }

  /** Commands without a reply fail. Only the first reason counts. */
  drop(reason: Error): void {
    if (this.loss) return;
    this.loss = reason;
    clearInterval(this.heartbeat);
    this.client.destroy();
    this.settleLost(reason);
  }

  /** One section of INFO as its `name:value` lines. */
  async info(section: 'server' | 'replication'): Promise<ReadonlyMap<string, string>> {
    const text = String(await this.request(['INFO', section]));
    return new Map(
      text.split(/\r?\n/).flatMap((line) => {
        const colon = line.indexOf(':');
        return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : [];
      }),
    );
  }

  private async greet(): Promise<void> {
    await this.connectClient();
    // Unlike INFO, PING is refused while the server loads its data or has lost its master.
    const [, server] = await Promise.all([this.request(['PING']), this.info('server')]);
    this.runId = server.get('run_id') ?? '';
  }

  private failure(): Promise<never> {
    return this.lost.then((reason) => {
      throw reason;
    });
  }

  private async connectClient(): Promise<void> {
    await this.client.connect();
    // The client forgets that it was destroyed while its socket was being opened.
    if (this.loss) this.client.destroy();
  }

  private async request<T>(command: Command): Promise<T> {
    this.pending++;
    try {
      return await this.client.sendCommand<T>(command);
    } catch (error) {
      throw this.translate(error as Error);
    } finally {
      this.pending--;
      this.replies++;
    }
  }

  private translate(error: Error): Error {
    if (error instanceof ErrorReply) {
      if (!NOT_SERVING.test(error.message)) return error;
      this.drop(error);
      return new CommandNotRun(error.message, { cause: error });
    }
    const cause = this.loss ?? error;
    const message = `no connection to ${formatAddress(this.address)}: ${cause.message}`;
    if (error instanceof ClientClosedError || error instanceof ClientOfflineError) {
      return new CommandNotRun(message, { cause });
    }
    return new ReplyLost(message, { cause });
  }

  /** A server that is frozen, or a network that swallows everything, says nothing and closes nothing. */
  private beat(): void {
    const silent = this.pending > 0 && !this.mayBlock && this.replies === this.repliesAtHeartbeat;
    this.silentHeartbeats = silent ? this.silentHeartbeats + 1 : 0;
    this.repliesAtHeartbeat = this.replies;
    // Beats are counted, not time: after this process itself was stopped there is one beat, however long it was.
    if (this.silentHeartbeats >= SILENT_HEARTBEATS) {
      this.drop(new Error(`no reply for ${SILENT_HEARTBEATS * HEARTBEAT_MS} ms`));
    } else if (this.pending === 0) {
      this.request(['PING']).catch(() => undefined);
    }
  }
}
