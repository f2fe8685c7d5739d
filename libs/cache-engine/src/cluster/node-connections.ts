import { ErrorReply } from 'redis';
import { formatAddress, type RedisAccess, type RedisAddress } from '../redis/address.js';
import { type Command, Connection } from '../redis/connection.js';
import { NodeUnreachable } from './errors.js';

const DEADLINE_MS = 2000;

/** One connection to each node of a cluster, for commands that are about the node itself. */
export class NodeConnections {
  private readonly connections = new Map<string, Promise<Connection>>();
  private closed = false;

  constructor(readonly access: RedisAccess) {}

  /**
   * @throws NodeUnreachable when there is no reply in time
   * @throws ErrorReply that the node gave, as it is
   */
  async send<T>(address: RedisAddress, command: Command, deadlineMs = DEADLINE_MS): Promise<T> {
    const connection = await this.open(address);
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no reply within ${deadlineMs} ms`)), deadlineMs);
    });
    try {
      return await Promise.race([connection.send<T>(command), tooLate]);
    } catch (error) {
      if (error instanceof ErrorReply) throw error;
      // Whatever it may still do for this connection, nobody waits for it any more.
      connection.drop(error as Error);
      throw new NodeUnreachable(`${formatAddress(address)}: ${(error as Error).message}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /** A reply as text. */
  async text(address: RedisAddress, ...command: string[]): Promise<string> {
    return String(await this.send<Buffer | string | number>(address, command));
  }

  close(): void {
    this.closed = true;
    for (const opening of this.connections.values()) {
      void opening.then(
        (connection) => connection.drop(new Error('closed')),
        () => undefined,
      );
    }
    this.connections.clear();
  }

  private async open(address: RedisAddress): Promise<Connection> {
    if (this.closed) throw new NodeUnreachable('closed');
    const name = formatAddress(address);
    const opening = this.connections.get(name) ?? this.connect(name, address);
    try {
      return await opening;
    } catch (error) {
      throw new NodeUnreachable((error as Error).message, { cause: error });
    }
  }

  private connect(name: string, address: RedisAddress): Promise<Connection> {
    const opening = Connection.open(address, this.access);
    this.connections.set(name, opening);
    const forget = () => {
      if (this.connections.get(name) === opening) this.connections.delete(name);
    };
    opening.then((connection) => {
      // The deadline of each command is what ends a wait here; MIGRATE may rightly take long.
      connection.mayBlock = true;
      void connection.lost.then(forget);
    }, forget);
    return opening;
  }
}

/** The fields of a reply to INFO or CLUSTER INFO. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split(/\r?\n/).flatMap((line) => {
      const colon = line.indexOf(':');
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : [];
    }),
  );
}
