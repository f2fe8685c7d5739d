import { isIP } from 'node:net';
import { normalizeIp } from '@nestjs/throttler';

/** What one customer of a provider has at least (RFC 6177, section 2): single addresses of it cost nothing. */
const IPV6_PREFIX = 64;
/** As some proxies write it into `X-Forwarded-For`. */
const WITH_PORT = /^\[?([0-9A-Fa-f:.]+?)\]?:\d{1,5}$/;

/** Whom an address stands for: itself; of IPv6 the network; what is no address at all counts together. */
export function addressSubject(address: string | undefined): string {
  const text = address ?? '';
  if (isIP(text) === 4) return text;
  if (isIP(text) === 6) return normalizeIp(text, IPV6_PREFIX);
  const bare = WITH_PORT.exec(text)?.[1];
  return bare === undefined || isIP(bare) === 0 ? 'unknown' : normalizeIp(bare, IPV6_PREFIX);
}
