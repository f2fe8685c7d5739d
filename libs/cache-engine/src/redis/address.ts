/** Where a Redis server listens. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

/** PEM texts. The server's certificate is always verified: by `ca` if given, else by the authorities that Node knows. */
export interface RedisTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** A user of the server's ACL; without a name, the one called `default`. */
export interface RedisLogin {
  readonly username?: string;
  readonly password?: string;
}

/** How to get into a server: the same for all servers that stand for each other. */
export interface RedisAccess extends RedisLogin {
  /** Not encrypted where it is undefined. */
  readonly tls?: RedisTls;
  readonly database: number;
}

/** A text is no address of a Redis. The message says what it must be, and never repeats a password. */
export class InvalidAddress extends Error {}

const DEFAULT_PORT = 6379;
const HOST_AND_PORT = /^(\[[0-9A-Fa-f:.]+\]|[\w.-]+):(\d{1,5})$/;

/** @throws InvalidAddress unless the text is `redis://…` or `rediss://…` */
export function parseRedisUrl(text: string): { address: RedisAddress; access: RedisAccess } {
  if (!/^rediss?:\/\//.test(text) || !URL.canParse(text)) {
    throw new InvalidAddress('must be a URL that starts with redis:// or rediss://');
  }
  const url = new URL(text);
  if (url.hostname === '') throw new InvalidAddress('must name a host');
  if (url.username !== '' && url.password === '') throw new InvalidAddress('must have a password for its user');
  if (url.search !== '' || url.hash !== '') throw new InvalidAddress('must not have ? or #; write them %3F and %23');
  return {
    address: { host: unbracket(url.hostname), port: url.port === '' ? DEFAULT_PORT : parsePort(url.port) },
    access: {
      ...(url.username !== '' && { username: decode(url.username) }),
      ...(url.password !== '' && { password: decode(url.password) }),
      ...(url.protocol === 'rediss:' && { tls: {} }),
      database: parseDatabase(url.pathname),
    },
  };
}

/** @throws InvalidAddress unless the text is `host:port`, with an IPv6 address in brackets */
export function parseRedisAddress(text: string): RedisAddress {
  const [, host, port] = HOST_AND_PORT.exec(text) ?? [];
  if (host === undefined || port === undefined) throw new InvalidAddress('must be host:port, such as redis-1:6379');
  return { host: unbracket(host), port: parsePort(port) };
}

/**
 * Nodes of a cluster, separated by commas, each `host:port` or a URL. User and password of the first URL that has them,
 * and TLS of the first that starts with `rediss:`, hold for all nodes, those that the cluster names later included.
 *
 * @throws InvalidAddress
 */
export function parseClusterNodes(text: string): { addresses: readonly RedisAddress[]; access: RedisAccess } {
  const nodes = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => (part.includes('://') ? parseRedisUrl(part) : { address: parseRedisAddress(part), access: null }));
  if (nodes.length === 0) throw new InvalidAddress('must name a node, such as redis-1:6379');
  const accesses = nodes.flatMap(({ access }) => access ?? []);
  if (accesses.some(({ database }) => database !== 0)) throw new InvalidAddress('a cluster has no database but 0');
  const login = accesses.find(({ username, password }) => username !== undefined || password !== undefined);
  const tls = accesses.find((access) => access.tls)?.tls;
  return { addresses: nodes.map(({ address }) => address), access: { ...login, ...(tls && { tls }), database: 0 } };
}

export function formatAddress({ host, port }: RedisAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (port < 1 || port > 65_535) throw new InvalidAddress('must have a port from 1 to 65535');
  return port;
}

function parseDatabase(path: string): number {
  const [, digits] = /^\/?(\d{0,5})$/.exec(path) ?? [];
  if (digits === undefined) throw new InvalidAddress('must have no path but the number of a database, such as /0');
  return Number(digits);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new InvalidAddress('has a "%" in user or password that must be written %25');
  }
}

function unbracket(host: string): string {
  return host.replace(/^\[|\]$/g, '');
}
