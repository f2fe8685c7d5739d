import { addressSubject } from './address.js';

describe('an address stands', () => {
  test.each([
    ['192.0.2.7', '192.0.2.7'],
    ['192.0.2.7:51234', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:c000:207', '192.0.2.7'],
    ['::1', '::1'],
    ['64:ff9b::192.0.2.7', '64:ff9b::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
  ])('%s for %s', (address, subject) => {
    expect(addressSubject(address)).toBe(subject);
  });

  test('in IPv6 for its network of 64 bits, however it is written', () => {
    const written = [
      '2001:db8:1:2::1',
      '2001:0DB8:1:2:ffff:ffff:ffff:ffff',
      '2001:db8:1:2:0:0:0:9',
      '[2001:db8:1:2::8]:443',
    ];
    expect(new Set(written.map(addressSubject))).toEqual(new Set(['2001:db8:1:2::/64']));
    expect(addressSubject('2001:db8:1:3::1')).not.toBe('2001:db8:1:2::/64');
  });

  test.each([undefined, '', 'unknown', '1.2.3', '999.1.1.1', '<script>', 'x'.repeat(10_000)])(
    'for nobody in particular where it is none: %.20s',
    (address) => {
      expect(addressSubject(address)).toBe('unknown');
    },
  );
});
