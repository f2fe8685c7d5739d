import type { Connection } from './connection.js';
import { CannotConnect } from './errors.js';

/**
 * A second connection is opened when so many commands are without a reply on the first, and each further one when each has
 * `GROWTH` times as many. Measured with one process beside the server, both cores free: a second brought a quarter to a half
 * from 16 batches at once on, a fourth hardly more, and with eight single reads became slower. With the cores busy otherwise
 * the difference is within the noise.
 */
const BUSY_COMMANDS = 8;
const GROWTH = 4;
const IDLE_MS = 30_000;
const SWEEP_MS = 5000;

/**
 * Connections to one server process. One, pipelined, is the fastest until a large reply holds up the small ones behind it; so
 * more are opened only when all are busy, and closed when they have been idle for half a minute.
 */
export class ConnectionPool {
  /** Resolves with the reason when the last shared connection is lost. */
  readonly lost: Promise<Error>;
  private settleLost: (reason: Error) => void = () => undefined;
  private readonly shared: Connection[] = [];
  /** Lent to one caller each, or waiting to be. */
  private readonly own = new Set<Connection>();
  private readonly free: Connection[] = [];
  private readonly waiting: (() => void)[] = [];
  private growing = false;
  private opening = 0;
  private openingOwn = 0;
  private readonly sweep: NodeJS.Timeout;

  /** @param hasRoom whether one more connection may be opened */
  constructor(
    readonly first: Connection,
    private readonly openAnother: () => Promise<Connection>,
    private readonly hasRoom: () => boolean,
  ) {
    this.lost = new Promise((resolve) => (this.settleLost = resolve));
    this.share(first);
    this.sweep = setInterval(() => this.closeIdle(), SWEEP_MS).unref();
  }

  /** Those that are just being opened count. */
  get size(): number {
    return this.shared.length + this.own.size + this.opening;
  }

  /** The first that is not busy, so that those behind it become idle when there is less to do. */
  pick(): Connection | undefined {
    const busy = BUSY_COMMANDS * GROWTH ** (this.shared.length - 1);
    let best: Connection | undefined;
    for (const connection of this.shared) {
      if (connection.pending < busy) return connection;
      if (!best || connection.pending < best.pending) best = connection;
    }
    if (best && !this.growing && this.hasRoom()) void this.grow();
    return best;
  }

  /**
   * A connection that nobody else uses until it is given back. At the limit it waits for one; one there always is.
   * @throws CannotConnect
   */
  async lend(): Promise<Connection> {
    while (this.free.length === 0 && this.own.size + this.openingOwn > 0 && !this.hasRoom()) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    const connection = this.free.pop() ?? (await this.openOwn());
    connection.mayBlock = true;
    return connection;
  }

  giveBack(connection: Connection): void {
    if (!this.own.has(connection)) return;
    connection.mayBlock = false;
    this.free.push(connection);
    this.waiting.shift()?.();
  }

  drop(reason: Error): void {
    for (const connection of [...this.shared, ...this.own]) connection.drop(reason);
  }

  private share(connection: Connection): void {
    this.shared.push(connection);
    void connection.lost.then((reason) => {
      remove(this.shared, connection);
      if (this.shared.length > 0) return;
      clearInterval(this.sweep);
      for (const wake of this.waiting.splice(0)) wake();
      this.settleLost(reason);
    });
  }

  private async grow(): Promise<void> {
    this.growing = true;
    try {
      this.share(await this.openSame());
    } catch {
      // Those that there are go on; the next command tries again.
    } finally {
      this.growing = false;
    }
  }

  private async openOwn(): Promise<Connection> {
    this.openingOwn++;
    try {
      const connection = await this.openSame();
      this.own.add(connection);
      void connection.lost.then(() => {
        this.own.delete(connection);
        remove(this.free, connection);
        this.waiting.shift()?.();
      });
      return connection;
    } catch (error) {
      this.waiting.shift()?.();
      throw error;
    } finally {
      this.openingOwn--;
    }
  }

  /** A server that was restarted behind the same address is another one, for which another pool is made. */
  private async openSame(): Promise<Connection> {
    this.opening++;
    const connection = await this.openAnother().finally(() => this.opening--);
    if (connection.runId === this.first.runId && this.shared.length > 0) return connection;
    const changed = new CannotConnect('the server has changed');
    connection.drop(changed);
    throw changed;
  }

  private closeIdle(): void {
    const since = performance.now() - IDLE_MS;
    const candidates = [...this.shared.slice(1), ...this.free];
    for (const connection of candidates) {
      if (connection.pending === 0 && connection.usedAtMs < since) connection.drop(new CannotConnect('idle'));
    }
  }
}

function remove<T>(list: T[], item: T): void {
  const index = list.indexOf(item);
  if (index >= 0) list.splice(index, 1);
}
