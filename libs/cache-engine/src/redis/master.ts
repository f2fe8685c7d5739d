import { setTimeout as sleep } from 'node:timers/promises';
import { formatAddress, type RedisAccess, type RedisAddress } from './address.js';
import { Connection } from './connection.js';
import { CannotConnect } from './errors.js';
import { gather, reasons } from './gather.js';

const POLL_MS = 500;
/** Finds the server that takes writes. */
export interface MasterFinder {
  /**
   * A connection to it.
   * @throws CannotConnect with what is wrong at each address
   */
  open(): Promise<Connection>;
  /** Resolves with the reason when the server of the connection is not the master any more; never after `signal`. */
  replaced(connection: Connection, signal: AbortSignal): Promise<Error>;
  close(): void;
}

/** The one address that there is leads to it. */
export class FixedMaster implements MasterFinder {
  constructor(
    private readonly address: RedisAddress,
    private readonly access: RedisAccess,
    private readonly readsFromReplica = false,
  ) {}

  open(): Promise<Connection> {
    return Connection.open(this.address, this.access, this.readsFromReplica);
  }

  replaced(): Promise<Error> {
    return new Promise(() => undefined);
  }

  close(): void {
    // Keeps nothing open.
  }
}

/**
 * The master among some servers that are told by others which of them it is. While two say so, all nodes of ours must take the
 * same: the one with more replicas, then the one that comes first in the list.
 */
export class MasterAmong implements MasterFinder {
  constructor(
    private readonly addresses: readonly RedisAddress[],
    private readonly access: RedisAccess,
  ) {}

  async open(): Promise<Connection> {
    const candidates = this.addresses.map((address) => openMaster(address, this.access));
    const { answers, problems } = await gather(candidates);
    const [chosen] = answers.sort((one, other) => other.replicas - one.replicas);
    for (const candidate of candidates) {
      void candidate.then(
        ({ connection }) => {
          if (connection !== chosen?.connection) connection.drop(new CannotConnect('another is the master'));
        },
        () => undefined,
      );
    }
    if (!chosen) throw new CannotConnect(reasons(problems));
    return chosen.connection;
  }

  /** A server that was told to follow another keeps its connections, and would go on answering reads. */
  async replaced(connection: Connection, signal: AbortSignal): Promise<Error> {
    for (;;) {
      await pause(signal);
      const { role } = await roleOf(connection).catch(() => ({ role: 'master' }));
      if (role !== 'master') return new CannotConnect(`${formatAddress(connection.address)} has become a ${role}`);
    }
  }

  close(): void {
    // Keeps nothing open.
  }
}

/** @throws CannotConnect when the server is not reached, or not a master */
export async function openMaster(
  address: RedisAddress,
  access: RedisAccess,
): Promise<{ connection: Connection; replicas: number }> {
  const connection = await Connection.open(address, access);
  try {
    const { role, replicas } = await roleOf(connection);
    if (role === 'master') return { connection, replicas };
    throw new CannotConnect(`${formatAddress(address)}: is a ${role}, not the master`);
  } catch (error) {
    connection.drop(error as Error);
    throw error;
  }
}

async function roleOf(connection: Connection): Promise<{ role: string; replicas: number }> {
  const replication = await connection.info('replication');
  return { role: replication.get('role') ?? '', replicas: Number(replication.get('connected_slaves')) };
}

/** Until the next time to look; for ever when `signal` has come. */
export async function pause(signal: AbortSignal): Promise<void> {
  await sleep(POLL_MS, undefined, { ref: false, signal }).catch(() => new Promise(() => undefined));
}
