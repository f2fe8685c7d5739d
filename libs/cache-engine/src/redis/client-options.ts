import { type RedisClientOptions, RESP_TYPES } from 'redis';
import type { RedisAccess, RedisAddress } from './address.js';

export const CONNECT_TIMEOUT_MS = 2000;
const KEEP_ALIVE_AFTER_MS = 5000;
/** Shown by CLIENT LIST. */
const CLIENT_NAME = 'cache-system';

/**
 * Options of a client that stands for one connection: it is never made anew, and nothing waits for it to be. Blob strings come
 * as Buffer.
 */
export function clientOptions(address: RedisAddress, access: RedisAccess, readsFromReplica: boolean) {
  const { username, password, tls, database } = access;
  return {
    name: CLIENT_NAME,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    database,
    readonly: readsFromReplica,
    disableOfflineQueue: true,
    // Both would send commands that a user of minimal rights may not.
    disableClientInfo: true,
    maintNotifications: 'disabled' as const,
    // Deadlines are ours. That of the client makes an AbortSignal for each command, and does not hold once it is sent.
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer }, timeout: 0 },
    socket: {
      host: address.host,
      port: address.port,
      connectTimeout: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_AFTER_MS,
      noDelay: true,
      reconnectStrategy: false as const,
      ...(tls && { tls: true as const, ...tls }),
    },
  } satisfies RedisClientOptions;
}
