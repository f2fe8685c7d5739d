import { formatAddress, type RedisAccess, type RedisAddress, type RedisLogin } from './address.js';
import { Connection } from './connection.js';
import { CannotConnect } from './errors.js';
import { gather, reasons } from './gather.js';
import { type MasterFinder, openMaster, pause } from './master.js';

interface SentinelOptions {
  readonly sentinels: readonly RedisAddress[];
  readonly masterName: string;
  readonly login: RedisLogin;
  /** To the servers. The Sentinels use TLS where the servers do. */
  readonly access: RedisAccess;
}

/**
 * The master that Sentinels name. All are asked, twice a second, and the one that took part in the latest failover is believed:
 * a Sentinel cut off from the others would go on naming the old master. (Redis' "Guidelines for Redis clients with support for
 * Redis Sentinel" ask one after the other.)
 */
export class SentinelMaster implements MasterFinder {
  private readonly connections = new Map<RedisAddress, Promise<Connection>>();
  private isClosed = false;

  constructor(private readonly options: SentinelOptions) {}

  async open(): Promise<Connection> {
    const address = await this.ask();
    const abandon = new AbortController();
    const opening = openMaster(address, this.options.access);
    try {
      // To a master that is frozen it takes long to fail; by then the Sentinels may have made another one.
      const named = await Promise.race([opening, this.anotherThan(address, abandon.signal)]);
      if (named instanceof Error) throw named;
      return named.connection;
    } catch (error) {
      void opening.then(({ connection }) => connection.drop(error as Error)).catch(() => undefined);
      throw error;
    } finally {
      abandon.abort();
    }
  }

  replaced({ address }: Connection, signal: AbortSignal): Promise<Error> {
    return this.anotherThan(address, signal);
  }

  close(): void {
    this.isClosed = true;
    for (const connection of this.connections.values()) connection.then(dropUnused, () => undefined);
  }

  private async anotherThan(address: RedisAddress, signal: AbortSignal): Promise<Error> {
    for (;;) {
      await pause(signal);
      const named = await this.ask().catch(() => address);
      if (formatAddress(named) !== formatAddress(address)) {
        return new CannotConnect(`the master is now ${formatAddress(named)}`);
      }
    }
  }

  private async ask(): Promise<RedisAddress> {
    const { answers, problems } = await gather(this.options.sentinels.map((sentinel) => this.askOne(sentinel)));
    const [latest] = answers.sort((one, other) => other.epoch - one.epoch);
    if (!latest) throw new CannotConnect(reasons(problems));
    return latest.address;
  }

  private async askOne(sentinel: RedisAddress): Promise<{ address: RedisAddress; epoch: number }> {
    const { masterName } = this.options;
    try {
      const connection = await this.connectionTo(sentinel);
      // During a failover the second has still the old address, but already the new epoch.
      const [address, state] = await Promise.all([
        connection.send<[Buffer, Buffer] | null>(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName]),
        connection.send<Record<string, Buffer>>(['SENTINEL', 'MASTER', masterName]),
      ]);
      if (!address) throw new CannotConnect(`${formatAddress(sentinel)}: knows no master named ${masterName}`);
      const [host, port] = address;
      return { address: { host: host.toString(), port: Number(port) }, epoch: Number(state['config-epoch']) };
    } catch (error) {
      const { message } = error as Error;
      const place = error instanceof CannotConnect ? '' : `${formatAddress(sentinel)}: `;
      throw new CannotConnect(`Sentinel ${place}${message}`, { cause: error });
    }
  }

  private connectionTo(sentinel: RedisAddress): Promise<Connection> {
    const known = this.connections.get(sentinel);
    if (known) return known;
    const { login, access } = this.options;
    const opening = Connection.open(sentinel, { ...login, ...(access.tls && { tls: access.tls }), database: 0 });
    this.connections.set(sentinel, opening);
    const forget = () => this.connections.delete(sentinel);
    opening.then((connection) => {
      if (this.isClosed) dropUnused(connection);
      void connection.lost.then(forget);
    }, forget);
    return opening;
  }
}

function dropUnused(connection: Connection): void {
  connection.drop(new CannotConnect('closed'));
}
