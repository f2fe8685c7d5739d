import { lookup as lookUp } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { Agent, buildConnector, Pool } from 'undici';
import type { AddressPolicy, Place } from './allowed-hosts.js';

/** All addresses of a host name. */
export type Resolve = (hostname: string) => Promise<readonly string[]>;

/** As the rest of this machine resolves names. */
export const resolveBySystem: Resolve = async (hostname) =>
  (await lookUp(hostname, { all: true })).map(({ address }) => address);

/** The connection was not opened: the host has an address to which it must not lead. */
export class AddressForbidden extends Error {
  constructor({ hostname, port }: Place) {
    super(`${hostname}:${port} has an address that is not public, and is not in allowed_hosts`);
  }
}

/** The connection could not be opened: nothing has been sent. */
export class ConnectFailed extends Error {}

interface GuardedAgentOptions {
  readonly policy: AddressPolicy;
  readonly resolve: Resolve;
  /** Per origin. */
  readonly connections: number;
  readonly connectTimeoutMs: number;
  /** Milliseconds without a byte of the answer. */
  readonly idleTimeoutMs: number;
  /** Of an answer as it comes, before decompression. */
  readonly maxBytes: number;
}

/**
 * Opens connections only to addresses that the policy allows. The addresses are looked up once per connection, and those
 * that were judged are those that are connected to: an answer that changes afterwards (DNS rebinding) changes nothing.
 */
export function guardedAgent(options: GuardedAgentOptions): Agent {
  return new Agent({
    connections: options.connections,
    maxResponseSize: options.maxBytes,
    headersTimeout: options.idleTimeoutMs,
    bodyTimeout: options.idleTimeoutMs,
    factory: (origin, poolOptions) =>
      new Pool(origin, Object.assign({}, poolOptions, { connect: connectorTo(new URL(origin), options) })),
  });
}

function connectorTo(origin: URL, options: GuardedAgentOptions): buildConnector.connector {
  const place = placeOf(origin);
  const connect = buildConnector({ timeout: options.connectTimeoutMs, lookup: guardedLookup(place, options) });
  return (target, callback) => {
    // What is an address already is not looked up.
    if (isIP(place.hostname) !== 0 && !options.policy(place, place.hostname)) {
      callback(new AddressForbidden(place), null);
      return;
    }
    connect(target, (error, socket) => {
      if (socket) callback(null, socket);
      else
        callback(
          error instanceof AddressForbidden ? error : new ConnectFailed('no connection', { cause: error }),
          null,
        );
    });
  };
}

/** One forbidden address among several refuses them all: nobody who means well has such a name. */
function guardedLookup(place: Place, { policy, resolve }: GuardedAgentOptions): LookupFunction {
  return (hostname, { all }, callback) => {
    resolve(hostname)
      .then((addresses) => {
        const [first] = addresses;
        if (first === undefined) throw new Error(`${hostname} has no address`);
        if (!addresses.every((address) => policy(place, address))) throw new AddressForbidden(place);
        if (all !== true) return () => callback(null, first, isIP(first));
        return () =>
          callback(
            null,
            addresses.map((address) => ({ address, family: isIP(address) })),
          );
      })
      .catch((error: unknown) => () => callback(error as Error, ''))
      .then((answer) => answer())
      // Thrown by the one who was called back: not the affair of this chain.
      .catch((error: unknown) =>
        queueMicrotask(() => {
          throw error;
        }),
      );
  };
}

function placeOf({ hostname, port, protocol }: URL): Place {
  const byDefault = protocol === 'https:' ? 443 : 80;
  return { hostname: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? byDefault : Number(port) };
}
