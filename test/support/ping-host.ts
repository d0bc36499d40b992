/**
 * Runs in a network namespace of its own, where ping sockets are allowed and the loopback interface
 * has the addresses of the arguments: pings each of them from a guest and prints what came back.
 */
import { native } from '../../src/kvm/native.js';
import { IpAddress } from '../../src/net/wire/address.js';
import { checksum, ethernet, readIpv4 } from '../unit/net/frames.js';
import { NetworkBench, ping } from '../unit/net/network-bench.js';

const GUEST6 = 'fd76:6578:6974::15';
const IPV6_HEADER = 40;

function ipv6(address: string): Uint8Array {
  const bytes = new Uint8Array(16);
  IpAddress.parse(address)!.write(bytes, 0);
  return bytes;
}

/** An ICMPv6 echo request with the identifier and payload of {@link ping}. */
function ping6(destination: string): Buffer {
  const message = Buffer.alloc(8 + 56, 0x5a);
  message.writeUInt32BE(0x8000_0000, 0);
  message.writeUInt32BE(0x1234_0001, 4);
  const ends = Buffer.concat([ipv6(GUEST6), ipv6(destination)]);
  const pseudo = Buffer.from([0, 0, 0, message.length, 0, 0, 0, 58]);
  message.writeUInt16BE(checksum(Buffer.concat([ends, pseudo, message])), 2);
  const header = Buffer.from([0x60, 0, 0, 0, 0, message.length, 58, 64]);
  return ethernet(0x86dd, Buffer.concat([header, ends, message]));
}

function isAnswer(frame: Buffer, v4: boolean): boolean {
  const type = frame.readUInt16BE(12);
  if (v4) return type === 0x0800 && frame[23] === 1;
  // Neighbour discovery is 133 to 137.
  return type === 0x86dd && frame[20] === 58 && frame[14 + IPV6_HEADER]! < 130;
}

function icmpOf(frame: Buffer, v4: boolean): Buffer {
  if (v4) return readIpv4(frame).body;
  const body = frame.subarray(14 + IPV6_HEADER);
  const pseudo = Buffer.from([0, 0, 0, body.length, 0, 0, 0, 58]);
  if (checksum(Buffer.concat([frame.subarray(22, 54), pseudo, body])) !== 0) {
    throw new Error('wrong checksum of ICMPv6');
  }
  return body;
}

async function main(addresses: readonly string[]): Promise<void> {
  const openPing = (v4: boolean): number => native().pingSocket(v4);
  const bench = new NetworkBench({}, { openPing });
  bench.announce();
  for (const address of addresses) {
    const v4 = !address.includes(':');
    bench.frames = [];
    bench.send(v4 ? ping(address) : ping6(address));
    const frame = await bench.next((candidate) => isAnswer(candidate, v4));
    const body = icmpOf(frame, v4);
    console.log(`${address} ${body[0]} ${body.subarray(4, 10).toString('hex')} ${body.length}`);
  }
  await bench.network.close();
  process.exit(0);
}

void main(process.argv.slice(2));
