/** What people write about networks, and what they are told when it is wrong. */
import { parseInterface } from '../../../src/net/interface-option.js';
import { parseNetOption, parsePublish, checkNetOptions } from '../../../src/net/options.js';
import { Rules } from '../../../src/net/policy/rules.js';
import { NameCache } from '../../../src/net/policy/name-cache.js';
import { parseAllowNet } from '../../../src/net/policy/target.js';
import { Cidr, IpAddress } from '../../../src/net/wire/address.js';
import { VexitError } from '../../../src/util/errors.js';
import { FakeClock } from './fake-clock.js';

function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (!(error instanceof VexitError)) throw error;
    expect(error.code).toBe('ERR_CONFIG');
    expect(error.message).not.toContain('\n');
    expect(error.hint).toBeDefined();
    return error.message;
  }
  throw new Error('nothing was refused');
}

describe('addresses', () => {
  test.each([
    ['10.0.2.15', '10.0.2.15'],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['fe80::1:0:0:2', 'fe80::1:0:0:2'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
  ])('%s is %s (RFC 5952)', (text, canonical) => {
    expect(IpAddress.of(text).toString()).toBe(canonical);
  });

  test.each([
    '',
    '1.2.3',
    '1.2.3.256',
    '01.2.3.4',
    '1::2::3',
    ':1',
    '1:2:3:4:5:6:7',
    '12345::',
    'g::',
    '1:2:3:4:5:6:7:8:9',
    '::1.2.3',
  ])('"%s" is none', (text) => {
    expect(IpAddress.parse(text)).toBeUndefined();
  });

  test('ranges hold what they say', () => {
    const inside = (range: string, address: string): boolean =>
      Cidr.of(range).contains(IpAddress.of(address));
    expect(inside('10.0.0.0/8', '10.255.0.1')).toBe(true);
    expect(inside('10.0.0.0/8', '11.0.0.1')).toBe(false);
    expect(inside('0.0.0.0/0', '203.0.113.1')).toBe(true);
    expect(inside('0.0.0.0/0', '2001:db8::1')).toBe(false);
    expect(inside('2001:db8::/33', '2001:db8:7fff::1')).toBe(true);
    expect(inside('2001:db8::/33', '2001:db8:8000::1')).toBe(false);
    expect(inside('::/0', '10.0.0.1')).toBe(true);
  });
});

describe('published ports', () => {
  test.each([
    ['8080:80', 'tcp', '127.0.0.1', 8080, 80],
    ['80', 'tcp', '127.0.0.1', 80, 80],
    ['0:22/tcp', 'tcp', '127.0.0.1', 0, 22],
    ['0.0.0.0:5353:53/udp', 'udp', '0.0.0.0', 5353, 53],
    ['[::1]:8080:80', 'tcp', '::1', 8080, 80],
  ])('%s', (text, protocol, hostAddress, hostPort, guestPort) => {
    expect(parsePublish(text)).toEqual({ protocol, hostAddress, hostPort, guestPort });
  });

  test.each([
    '',
    'a:b',
    '80:0',
    '80:65536',
    '70000:80',
    '8080:80/sctp',
    'localhost:80:80',
    '1:2:3:4',
    '80:',
  ])('"%s" is refused', (text) => {
    expect(refusal(() => parsePublish(text))).toContain(`"${text}"`);
  });
});

describe('--net', () => {
  test('settings become plain data', () => {
    const options = parseNetOption(
      'user,host=on,ipv6=off,mtu=9000,net=192.168.7.0/24,hostname=lab,dns=192.0.2.1,dns=[2001:db8::1]:5353',
    );
    expect(options).toEqual({
      kind: 'user',
      host: true,
      ipv6: false,
      mtu: 9000,
      net: '192.168.7.0/24',
      hostName: 'lab',
      dns: ['192.0.2.1', '[2001:db8::1]:5353'],
    });
    expect(structuredClone(options)).toEqual(options);
    expect(parseNetOption('user')).toEqual({ kind: 'user' });
    const mac = '52:54:00:00:00:01';
    expect(parseInterface('tap=tap0')).toEqual({ kind: 'tap', name: 'tap0' });
    expect(parseInterface(`tap=tap0,mac=${mac},mtu=9000,queues=2`)).toEqual({
      ...{ kind: 'tap', name: 'tap0', mac, mtu: 9000, queues: 2 },
    });
  });

  test.each([
    ['bridge', 'unknown network "bridge"'],
    ['user=me', 'unknown network "user=me"'],
    ['tap', '"" is not the name of an interface'],
    ['tap=a/b', '"a/b" is not the name of an interface'],
    ['tap=vm%d', '"vm%d" is not the name of an interface'],
    ['tap=sixteen-letters-', 'the name of tap "sixteen-letters-" is too long'],
    ['tap=tap0,host=on', 'unknown setting "host" of a tap'],
    ['tap=tap0,mtu=67', 'an MTU of 67 does not work'],
    ['tap=tap0,mtu=65522', 'an MTU of 65522 does not work'],
    ['tap=tap0,queues=0', '0 queues do not work'],
    ['tap=tap0,queues=9', '9 queues do not work'],
    ['tap=tap0,queues=two', 'queues=two is not a number'],
    ['tap=tap0,mac=a,mac=b', 'network setting mac is given twice'],
    ['user,colour=red', 'unknown network setting "colour"'],
    ['user,host=maybe', 'host=maybe is neither on nor off'],
    ['user,mtu=many', 'mtu=many is not a number'],
    ['user,mtu=100', 'an MTU of 100 does not work'],
    ['user,mtu=1500,mtu=1400', 'network setting mtu is given twice'],
    ['user,net=10.0.2.1/24', 'network 10.0.2.1/24 is not an IPv4 range'],
    ['user,net=10.0.2.0/30', 'network 10.0.2.0/30 is not an IPv4 range'],
    ['user,net6=fd00::/48', 'network fd00::/48 is not an IPv6 prefix of 64 bits'],
    ['user,hostname=a b', '"a b" is not a host name'],
    ['user,dns=ns.example.org', '"ns.example.org" is not the address of a name server'],
    ['user,max-connections=0', '0 connections do not work'],
  ])('%s: %s', (text, message) => {
    expect(refusal(() => parseInterface(text))).toBe(message);
  });

  test('a port that is published twice is refused', () => {
    const publish = [parsePublish('8080:80'), parsePublish('8080:81')];
    expect(refusal(() => checkNetOptions({ kind: 'user', publish }))).toBe(
      'port 127.0.0.1:8080/tcp is published twice',
    );
  });
});

describe('rules', () => {
  test.each([
    ['example.org:443', [{ name: 'example.org', ports: [443, 443] }]],
    ['*.Example.org', [{ name: '*.example.org' }]],
    ['10.0.0.0/8', [{ cidr: '10.0.0.0/8' }]],
    ['192.0.2.1:80-90/tcp', [{ cidr: '192.0.2.1/32', ports: [80, 90], protocol: 'tcp' }]],
    ['[2001:db8::]/32:443', [{ cidr: '2001:db8::/32', ports: [443, 443] }]],
    ['2001:db8::1', [{ cidr: '2001:db8::1/128' }]],
    [':53/udp', [{ ports: [53, 53], protocol: 'udp' }]],
    ['any', [{}]],
    ['a.org,b.org:1', [{ name: 'a.org' }, { name: 'b.org', ports: [1, 1] }]],
  ])('%s', (text, targets) => {
    expect(parseAllowNet(text)).toEqual(targets);
  });

  test.each([
    '',
    'a b',
    '-a.org',
    '1.2.3.4.5',
    '10.0.0.0/33',
    'a.org:0',
    'a.org:99999',
    'a.org/sctp',
    '*.*.org',
    'x:1/icmp',
    'a,,b',
    '300.1.1.1',
  ])('"%s" is refused', (text) => {
    expect(refusal(() => parseAllowNet(text))).toContain(`in network rule "${text}"`);
  });

  const verdict = (rules: Rules, address: string, port: number, names: string[] = []): string =>
    rules.flow('tcp', IpAddress.of(address), port, names).verdict;

  test('deny goes before allow, and one allow denies the rest', () => {
    const all = new Rules([], parseAllowNet('10.0.0.0/8'));
    expect(verdict(all, '10.1.1.1', 80)).toBe('deny');
    expect(verdict(all, '11.1.1.1', 80)).toBe('allow');
    const some = new Rules(
      parseAllowNet('*.example.org:443,192.0.2.0/24'),
      parseAllowNet('192.0.2.9'),
    );
    expect(verdict(some, '198.51.100.1', 443, ['www.example.org'])).toBe('allow');
    expect(verdict(some, '198.51.100.1', 80, ['www.example.org'])).toBe('deny');
    expect(verdict(some, '198.51.100.1', 443, ['example.org', 'notexample.org'])).toBe('deny');
    expect(verdict(some, '192.0.2.1', 22)).toBe('allow');
    expect(verdict(some, '192.0.2.9', 22)).toBe('deny');
  });

  test('names are looked up when a rule is about them', () => {
    const rules = new Rules(
      parseAllowNet('example.org:443,10.0.0.0/8'),
      parseAllowNet('b.org,c.org:80'),
    );
    const lookup = (name: string): string => rules.lookup(name).verdict;
    expect(['example.org', 'www.example.org', 'b.org'].map(lookup)).toEqual([
      'allow',
      'deny',
      'deny',
    ]);
    const open = new Rules([], parseAllowNet('b.org,c.org:80'));
    expect(['a.org', 'b.org', 'c.org'].map((name) => open.lookup(name).verdict)).toEqual([
      'allow',
      'deny',
      'allow',
    ]);
  });

  test('names of addresses end with their time, and their number is bounded', () => {
    const clock = new FakeClock();
    const cache = new NameCache(clock);
    cache.add('192.0.2.1', 'a.org', 300);
    cache.add('192.0.2.1', 'b.org', 0);
    expect(cache.names('192.0.2.1')).toEqual(['a.org', 'b.org']);
    clock.advance(100_000);
    expect(cache.names('192.0.2.1')).toEqual(['a.org']);
    clock.advance(300_000);
    expect(cache.names('192.0.2.1')).toEqual([]);
    for (let i = 0; i < 10_000; i++) cache.add(`address ${i}`, `name ${i}`, 60);
    expect(cache.size).toBe(4096);
  });
});
