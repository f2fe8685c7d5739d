import { isIPv4, isIPv6 } from 'node:net';

/** One customer of a provider has a whole /64 at the least (RFC 6177): guesses from within count together. */
const GROUPED_HEXTETS = 4;

/** The address, or of IPv6 its /64: those who cannot be told apart from one that changes its address at will. */
export function addressGroup(address: string): string {
  const [plain = ''] = address.split('%');
  const mapped = plain.slice(plain.lastIndexOf(':') + 1);
  if (isIPv4(mapped) && /^(::ffff:)?[\d.]+$/i.test(plain)) return mapped;
  if (!isIPv6(plain)) return address;
  const [head = '', tail] = plain.split('::');
  const before = hextets(head);
  const after = hextets(tail ?? '');
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => '0');
  return `${[...before, ...zeros, ...after].slice(0, GROUPED_HEXTETS).join(':')}::/64`;
}

/** An IPv4 address at the end stands for two. */
function hextets(part: string): string[] {
  if (part === '') return [];
  return part.split(':').flatMap((each) => (isIPv4(each) ? ['0', '0'] : [parseInt(each, 16).toString(16)]));
}
