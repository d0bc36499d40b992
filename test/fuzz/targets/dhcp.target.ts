/** The DHCP server: messages with any options. */
import { NetworkAddresses } from '../../../src/net/addresses.js';
import { DhcpServer } from '../../../src/net/dhcp.js';
import { Cidr } from '../../../src/net/wire/address.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';

const FIXED = 240;
const server = new DhcpServer(new NetworkAddresses(Cidr.of('10.0.2.0/24'), Cidr.of('fd00::/64')), {
  mtu: 1500,
  hostName: 'h'.repeat(100),
  domain: 'd'.repeat(100),
});

/** The last bytes of a case are the options; what comes first lies over a message that is right. */
function run(bytes: Uint8Array): void {
  const fixed = Math.min((bytes[0] ?? 0) % 64, Math.max(0, bytes.length - 1));
  const options = bytes.subarray(1 + fixed);
  const message = new Uint8Array(FIXED + options.length);
  message.set([1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78]);
  message.set([0x63, 0x82, 0x53, 0x63], FIXED - 4);
  for (let i = 0; i + 1 < fixed; i += 2) message[bytes[1 + i]! % FIXED] = bytes[2 + i]!;
  message.set(options, FIXED);
  const reply = server.input(message);
  if (reply === undefined) return;
  must(reply.bytes.length >= 300 && reply.bytes.length <= 548, 'a reply has a length of replies');
  must(reply.bytes[0] === 2 && reply.bytes[FIXED] === 53, 'a reply says what it is');
  must(Buffer.compare(reply.bytes.subarray(4, 8), message.subarray(4, 8)) === 0, 'the same xid');
  server.input(message.subarray(0, options.length));
}

export const target: FuzzTarget = {
  name: 'dhcp',
  maxBytes: 512,
  seeds: [
    '00350101ff',
    '0035010332040a00020f36040a000202ff',
    '00350108ff',
    '02000235010437020103ff',
  ].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex'))),
  open: () => ({ run }),
};
