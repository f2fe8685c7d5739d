import { BlockList, isIP, isIPv6 } from 'node:net';
import { isForbiddenAddress } from './forbidden-address.js';

/** A place that a source wants to reach: a name or an address, without brackets, and a port. */
export interface Place {
  readonly hostname: string;
  readonly port: number;
}

/** Tells whether a connection to one of the addresses of a place may be opened. */
export type AddressPolicy = (place: Place, address: string) => boolean;

interface Exception {
  /** Undefined: any. */
  readonly port: number | undefined;
  readonly matches: (hostname: string, address: string) => boolean;
}

/**
 * Everything public is allowed, and what the operator names. A name that is allowed is so whatever it resolves to: who
 * names it trusts those who answer for it.
 *
 * @param allowedHosts such as `cache.sources.allowed_hosts`
 * @throws TypeError when one is neither host, host:port nor CIDR
 */
export function addressPolicy(allowedHosts: readonly string[]): AddressPolicy {
  const exceptions = allowedHosts.map(parseException);
  return (place, address) => {
    if (!isForbiddenAddress(address)) return true;
    const hostname = canonicalHost(place.hostname);
    return exceptions.some(
      ({ port, matches }) => (port === undefined || port === place.port) && matches(hostname, address),
    );
  };
}

function parseException(entry: string): Exception {
  const [network = '', bits] = entry.split('/');
  if (bits !== undefined) return { port: undefined, matches: withinNetwork(network, Number(bits)) };
  if (isIP(entry) !== 0) return { port: undefined, matches: withinNetwork(entry) };
  const { host = '', port } = /^(?<host>\[.*\]|[^:]*)(:(?<port>\d+))?$/.exec(entry)?.groups ?? {};
  const address = canonicalHost(host);
  const matches = isIP(address) === 0 ? (hostname: string) => hostname === address : withinNetwork(address);
  return { port: port === undefined ? undefined : Number(port), matches };
}

function withinNetwork(network: string, bits?: number): Exception['matches'] {
  const family = isIPv6(network) ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  list.addSubnet(network, bits ?? (family === 'ipv6' ? 128 : 32), family);
  return (_hostname, address) => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/** As a URL spells it: lower case, Punycode, an address in its usual form; without the dot of the root, and brackets. */
function canonicalHost(host: string): string {
  const bracketed = isIPv6(host) ? `[${host}]` : host;
  return new URL(`http://${bracketed}`).hostname.replace(/^\[|\]$|\.$/g, '');
}
