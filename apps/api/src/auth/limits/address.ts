import { isIP } from 'node:net';
import { normalizeIp } from '@nestjs/throttler';

/** What one customer of a provider has at least (RFC 6177, section 2): single addresses of it cost nothing. */
const IPV6_PREFIX = 64;
/** As some proxies write it into `X-Forwarded-For`. */
const WITH_PORT = /^\[?([0-9A-Fa-f:.]+?)\]?:\d{1,5}$/;

/** An address without the port that some proxies write behind it; what is none stays as it is. */
export function withoutPort(text: string): string {
  if (isIP(text) !== 0) return text;
  const bare = WITH_PORT.exec(text)?.[1];
  return bare !== undefined && isIP(bare) !== 0 ? bare : text;
}

/** Whom an address stands for: itself; of IPv6 the network; what is no address at all counts together. */
export function addressSubject(address: string | undefined): string {
  // Each read from L1 comes by here.
  if (address !== undefined && isIP(address) === 4) return address;
  const text = withoutPort(address ?? '');
  return isIP(text) === 0 ? 'unknown' : normalizeIp(text, IPV6_PREFIX);
}
