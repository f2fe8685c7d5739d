import { addressPolicy } from './allowed-hosts.js';
import { isForbiddenAddress } from './forbidden-address.js';

const FORBIDDEN = {
  'this host': ['0.0.0.0', '0.1.2.3', '::'],
  loopback: ['127.0.0.1', '127.255.255.254', '::1'],
  private: ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fd12:3456::1', 'fec0::1'],
  'link-local': ['169.254.169.254', 'fe80::1', 'fe80::1%eth0'],
  shared: ['100.64.0.1', '100.127.255.255'],
  multicast: ['224.0.0.1', '239.255.255.255', 'ff02::1'],
  reserved: ['240.0.0.1', '255.255.255.255', '192.0.0.8', '198.18.0.1', '192.88.99.1'],
  documentation: ['192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '3fff::1'],
  'mapped to IPv4': ['::ffff:127.0.0.1', '::ffff:7f00:1', '::FFFF:10.0.0.1', '::ffff:169.254.169.254'],
  'compatible with IPv4': ['::127.0.0.1', '::7f00:1', '::8.8.8.8'],
  translated: ['::ffff:0:127.0.0.1', '::ffff:0:8.8.8.8'],
  NAT64: ['64:ff9b::127.0.0.1', '64:ff9b::a00:1', '64:ff9b:1::8.8.8.8'],
  '6to4': ['2002:7f00:1::', '2002:a00:1::1', '2002:c0a8:101::1', '2002:a9fe:a9fe::'],
  Teredo: ['2001:0:7f00:1::', '2001::1'],
  'no address': ['', 'localhost', '127.1', '0x7f000001', '1.2.3.4.5', '[::1]'],
};

describe.each(Object.entries(FORBIDDEN))('%s', (_kind, addresses) => {
  test.each(addresses)('%s is forbidden', (address) => expect(isForbiddenAddress(address)).toBe(true));
});

test.each([
  '1.1.1.1',
  '8.8.8.8',
  '172.15.255.255',
  '172.32.0.1',
  '100.63.255.255',
  '100.128.0.1',
  '169.253.0.1',
  '223.255.255.255',
  '2606:4700:4700::1111',
  '::ffff:8.8.8.8',
  '64:ff9b::8.8.8.8',
  '2002:808:808::1',
])('%s is public', (address) => expect(isForbiddenAddress(address)).toBe(false));

describe('allowed hosts', () => {
  const place = (hostname: string, port = 80) => ({ hostname, port });
  test.each<[entry: string, hostname: string, port: number, address: string]>([
    ['books.internal', 'books.internal', 80, '10.0.0.1'],
    ['books.internal', 'BOOKS.internal.', 8080, '10.0.0.1'],
    ['Bücher.internal', 'xn--bcher-kva.internal', 80, '10.0.0.1'],
    ['books.internal:8080', 'books.internal', 8080, '10.0.0.1'],
    ['10.1.0.0/16', 'anything', 80, '10.1.2.3'],
    ['10.1.0.0/16', 'anything', 80, '::ffff:10.1.2.3'],
    ['127.0.0.1', 'localhost', 80, '127.0.0.1'],
    ['127.0.0.1:9000', '127.0.0.1', 9000, '127.0.0.1'],
    ['[::1]:9000', '::1', 9000, '::1'],
    ['[::1]', '::1', 9000, '::1'],
    ['::1', 'localhost', 9000, '::1'],
    ['fd00::/8', 'anything', 80, 'fd00::1'],
  ])('%s lets %s:%d at %s through', (entry, hostname, port, address) =>
    expect(addressPolicy([entry])(place(hostname, port), address)).toBe(true),
  );

  test.each<[entry: string, hostname: string, port: number, address: string]>([
    ['books.internal', 'evil.example', 80, '10.0.0.1'],
    ['books.internal', 'books.internal.evil.example', 80, '10.0.0.1'],
    ['books.internal:8080', 'books.internal', 80, '10.0.0.1'],
    ['10.1.0.0/16', 'anything', 80, '10.2.0.1'],
    ['127.0.0.1:9000', 'localhost', 9001, '127.0.0.1'],
    ['127.0.0.1', 'localhost', 80, '::1'],
  ])('%s does not let %s:%d at %s through', (entry, hostname, port, address) =>
    expect(addressPolicy([entry])(place(hostname, port), address)).toBe(false),
  );
});
