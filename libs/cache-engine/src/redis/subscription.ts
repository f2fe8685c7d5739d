import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from './backoff.js';
import type { Connection } from './connection.js';
import { CannotConnect } from './errors.js';

interface SubscriptionOptions {
  readonly channel: string;
  readonly onMessage: (message: Buffer) => void;
  readonly onState: (subscribed: boolean, reason?: Error) => void;
  readonly open: () => Promise<Connection>;
}

/** A channel that is subscribed to until it is closed, on one connection after the other. */
export class Subscription {
  isSubscribed = false;
  private connection: Connection | undefined;
  private readonly closing = new AbortController();
  private pause = new AbortController();

  constructor(private readonly options: SubscriptionOptions) {}

  /** Resolves when first subscribed; rejects when closed before. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      void this.keepSubscribed(resolve).then(() => reject(new CannotConnect('closed')));
    });
  }

  /** Gives its connection up for one to the server that is in use now. */
  renew(): void {
    this.connection?.drop(new CannotConnect('the server has changed'));
  }

  /** Ends the pause before the next attempt, as the server can be reached again. */
  hurry(): void {
    this.pause.abort();
  }

  close(): void {
    this.closing.abort();
    this.pause.abort();
    this.connection?.drop(new CannotConnect('closed'));
  }

  private async keepSubscribed(onSubscribed: () => void): Promise<void> {
    for (let failures = 0; !this.closing.signal.aborted; failures++) {
      try {
        const connection = this.adopt(await this.options.open());
        await this.listen(connection, onSubscribed);
        failures = 0;
        this.report(false, await connection.lost);
      } catch (error) {
        this.connection?.drop(error as Error);
        this.report(false, error as Error);
      }
      this.pause = new AbortController();
      await sleep(backoffMs(failures), undefined, { signal: this.pause.signal }).catch(() => undefined);
    }
  }

  private adopt(connection: Connection): Connection {
    this.connection = connection;
    if (this.closing.signal.aborted) connection.drop(new CannotConnect('closed'));
    return connection;
  }

  private async listen(connection: Connection, onSubscribed: () => void): Promise<void> {
    await connection.subscribe(this.options.channel, (message) => {
      // A message can come in the same packet as the reply, and so before the promise of that resolves.
      this.report(true);
      this.options.onMessage(message);
    });
    this.report(true);
    onSubscribed();
  }

  private report(subscribed: boolean, reason?: Error): void {
    if (subscribed === this.isSubscribed || this.closing.signal.aborted) return;
    this.isSubscribed = subscribed;
    this.options.onState(subscribed, reason);
  }
}
