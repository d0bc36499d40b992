/** Frames as a guest sees them, written and read without the code under test. */

export const GUEST_MAC = '525400123456';
export const GATEWAY_MAC = '52550a000202';
export const GUEST = '10.0.2.15';
export const GATEWAY = '10.0.2.2';

export function ipv4(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** The internet checksum, the slow and obvious way. */
export function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return 0xffff - sum;
}

export interface Ipv4Fields {
  readonly source?: string;
  readonly destination?: string;
  readonly ttl?: number;
  /** Flags and offset. */
  readonly fragment?: number;
  readonly id?: number;
  readonly mac?: string;
  readonly to?: string;
}

export function ethernet(type: number, payload: Buffer, mac = GUEST_MAC, to = GATEWAY_MAC): Buffer {
  const header = Buffer.alloc(14);
  header.write(to + mac, 'hex');
  header.writeUInt16BE(type, 12);
  return Buffer.concat([header, payload]);
}

export function ipv4Frame(protocol: number, payload: Buffer, fields: Ipv4Fields = {}): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + payload.length, 2);
  header.writeUInt16BE(fields.id ?? 1, 4);
  header.writeUInt16BE(fields.fragment ?? 0x4000, 6);
  header[8] = fields.ttl ?? 64;
  header[9] = protocol;
  ipv4(fields.source ?? GUEST).copy(header, 12);
  ipv4(fields.destination ?? GATEWAY).copy(header, 16);
  header.writeUInt16BE(checksum(header), 10);
  return ethernet(0x0800, Buffer.concat([header, payload]), fields.mac, fields.to);
}

/** Fills in a transport checksum over the IPv4 pseudo-header. */
export function transport(
  protocol: number,
  bytes: Buffer,
  field: number,
  source: string,
  destination: string,
): Buffer {
  const pseudo = Buffer.alloc(12);
  ipv4(source).copy(pseudo, 0);
  ipv4(destination).copy(pseudo, 4);
  pseudo[9] = protocol;
  pseudo.writeUInt16BE(bytes.length, 10);
  bytes.writeUInt16BE(0, field);
  bytes.writeUInt16BE(checksum(Buffer.concat([pseudo, bytes])) || 0xffff, field);
  return bytes;
}

export function udpFrame(
  sourcePort: number,
  port: number,
  payload: Buffer,
  fields: Ipv4Fields = {},
): Buffer {
  const bytes = Buffer.alloc(8 + payload.length);
  bytes.writeUInt16BE(sourcePort, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.writeUInt16BE(bytes.length, 4);
  payload.copy(bytes, 8);
  const { source = GUEST, destination = GATEWAY } = fields;
  return ipv4Frame(17, transport(17, bytes, 6, source, destination), fields);
}

export interface TcpFields {
  readonly sourcePort: number;
  readonly port: number;
  readonly seq: number;
  readonly ack?: number;
  readonly flags: number;
  readonly window?: number;
  readonly options?: Buffer;
  readonly payload?: Buffer;
}

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

export function tcpFrame(fields: TcpFields, ip: Ipv4Fields = {}): Buffer {
  const { options = Buffer.alloc(0), payload = Buffer.alloc(0) } = fields;
  const header = Buffer.alloc(20);
  header.writeUInt16BE(fields.sourcePort, 0);
  header.writeUInt16BE(fields.port, 2);
  header.writeUInt32BE(fields.seq >>> 0, 4);
  header.writeUInt32BE((fields.ack ?? 0) >>> 0, 8);
  header[12] = ((20 + options.length) / 4) << 4;
  header[13] = fields.flags;
  header.writeUInt16BE(fields.window ?? 0xffff, 14);
  const { source = GUEST, destination = GATEWAY } = ip;
  const bytes = Buffer.concat([header, options, payload]);
  return ipv4Frame(6, transport(6, bytes, 16, source, destination), ip);
}

/** A segment to the guest, its checksums checked. */
export interface SeenSegment {
  readonly source: string;
  readonly sourcePort: number;
  readonly port: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  readonly options: Buffer;
  readonly payload: Buffer;
}

export interface SeenPacket {
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  readonly fragment: number;
  readonly body: Buffer;
}

/** Takes an IPv4 frame apart; throws when something about it is wrong. */
export function readIpv4(frame: Buffer, partial = false): SeenPacket {
  if (frame.readUInt16BE(12) !== 0x0800) throw new Error('not IPv4');
  const ip = frame.subarray(14);
  if (checksum(ip.subarray(0, 20)) !== 0) throw new Error('wrong header checksum');
  if (ip.readUInt16BE(2) !== ip.length) throw new Error('wrong length');
  const body = ip.subarray(20);
  const protocol = ip[9]!;
  const fragment = ip.readUInt16BE(6) & 0x3fff;
  const pseudo = Buffer.concat([ip.subarray(12, 20), Buffer.from([0, protocol, 0, 0])]);
  pseudo.writeUInt16BE(body.length, 10);
  const covered = protocol === 1 ? body : Buffer.concat([pseudo, body]);
  if (fragment === 0 && !partial && checksum(covered) !== 0) throw new Error('wrong checksum');
  return {
    protocol,
    source: [...ip.subarray(12, 16)].join('.'),
    destination: [...ip.subarray(16, 20)].join('.'),
    fragment,
    body,
  };
}

export function readTcp(frame: Buffer, partial = false): SeenSegment {
  const { protocol, source, body } = readIpv4(frame, partial);
  if (protocol !== 6) throw new Error('not TCP');
  const length = (body[12]! >>> 4) * 4;
  return {
    source,
    sourcePort: body.readUInt16BE(0),
    port: body.readUInt16BE(2),
    seq: body.readUInt32BE(4),
    ack: body.readUInt32BE(8),
    flags: body[13]!,
    window: body.readUInt16BE(14),
    options: body.subarray(20, length),
    payload: body.subarray(length),
  };
}
