import { BlockList, isIP } from 'node:net';

/** Addresses from which a credential may be used. */
export interface AllowedIps {
  readonly ranges: readonly string[];
  /** False for what is no address. */
  has(address: string): boolean;
  /** Whether every address of a range is one of these. */
  covers(range: string): boolean;
}

interface Range {
  readonly family: 'ipv4' | 'ipv6';
  readonly address: string;
  readonly prefixBits: number;
}

const ADDRESS_BITS = { ipv4: 32, ipv6: 128 };
/** An IPv4 address as an IPv6 socket names it (RFC 4291, section 2.5.5.2), in the one spelling of RFC 5952. */
const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;
const MAPPED_BITS = 96;

/** Addresses and CIDR ranges as a test of addresses; undefined where there are none, which allows all. */
export function allowedIps(ranges: readonly string[]): AllowedIps | undefined {
  if (ranges.length === 0) return undefined;
  const parsed = ranges.map(parse);
  // A list that knows both families would take ::/0 for IPv4 as well.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const { family, address, prefixBits } of parsed) lists[family].addSubnet(address, prefixBits, family);
  return {
    ranges,
    has: (text) => {
      const [address = ''] = text.split('%', 1);
      if (isIP(address) === 0) return false;
      const client = parse(address);
      return lists[client.family].check(client.address, client.family);
    },
    covers: (range) => {
      const wanted = parse(range);
      return parsed.some((own) => own.prefixBits <= wanted.prefixBits && isIn(wanted, own));
    },
  };
}

function isIn({ family, address }: Range, range: Range): boolean {
  if (range.family !== family) return false;
  const list = new BlockList();
  list.addSubnet(range.address, range.prefixBits, family);
  return list.check(address, family);
}

/** Of an address, or of a range that the contract has found well-formed. */
function parse(text: string): Range {
  const [address = '', bits] = text.split('/');
  if (!address.includes(':')) return range('ipv4', address, bits);
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [, high, low] = MAPPED.exec(canonical) ?? [];
  const isMapped = high !== undefined && low !== undefined && Number(bits ?? ADDRESS_BITS.ipv6) >= MAPPED_BITS;
  if (!isMapped) return range('ipv6', canonical, bits);
  const octets = [high, low].flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]);
  return range('ipv4', octets.join('.'), bits === undefined ? undefined : String(Number(bits) - MAPPED_BITS));
}

function range(family: Range['family'], address: string, bits: string | undefined): Range {
  return { family, address, prefixBits: bits === undefined ? ADDRESS_BITS[family] : Number(bits) };
}
