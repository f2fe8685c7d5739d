import { BlockList, isIPv4, isIPv6 } from 'node:net';

/**
 * Networks that are not the public internet (IANA special-purpose address registry, RFC 6890): this host, private, shared
 * (CGNAT), loopback, link-local, protocol assignments, documentation, 6to4 relays, benchmarks, multicast, reserved.
 */
const FORBIDDEN_IPV4 = blockList('ipv4', [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]);

/** Of IPv6 only this is given out to the public; loopback, ULA, link-local and multicast lie outside. */
const GLOBAL_UNICAST = blockList('ipv6', ['2000::/3']);
/** Parts of it that are not public: protocol assignments with Teredo and ORCHID, and documentation. */
const FORBIDDEN_IPV6 = blockList('ipv6', ['2001::/23', '2001:db8::/32', '3fff::/20']);

/** Whether an address leads, or may lead, elsewhere than to the public internet. True for what is no address. */
export function isForbiddenAddress(address: string): boolean {
  if (isIPv4(address)) return FORBIDDEN_IPV4.check(address);
  if (!isIPv6(address) || address.includes('%')) return true;
  const embedded = embeddedIpv4(address);
  if (embedded !== undefined) return FORBIDDEN_IPV4.check(embedded);
  return !GLOBAL_UNICAST.check(address, 'ipv6') || FORBIDDEN_IPV6.check(address, 'ipv6');
}

/** The IPv4 address to which a mapped (RFC 4291), NAT64 (RFC 6052) or 6to4 (RFC 3056) address leads. */
function embeddedIpv4(address: string): string | undefined {
  const groups = groupsOf(address);
  const [first, second, third] = groups as [number, number, number];
  const middle = groups.slice(2, 5);
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) return dotted(groups.slice(6));
  if (first === 0x64 && second === 0xff9b && [...middle, groups[5]].every((group) => group === 0)) {
    return dotted(groups.slice(6));
  }
  return first === 0x2002 ? dotted([second, third]) : undefined;
}

function groupsOf(address: string): number[] {
  // A URL spells an address in one way only (RFC 5952), without a dotted part.
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const parse = (part: string) => (part === '' ? [] : part.split(':').map((group) => parseInt(group, 16)));
  const left = parse(head);
  const right = parse(tail ?? '');
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
}

function dotted(groups: number[]): string {
  return groups.flatMap((group) => [group >> 8, group & 0xff]).join('.');
}

function blockList(family: 'ipv4' | 'ipv6', networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    list.addSubnet(address, Number(bits), family);
  }
  return list;
}
