/** Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little endian. */

const SECTION_HEADER = 0x0a0d_0d0a;
const BYTE_ORDER = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const LINKTYPE_ETHERNET = 1;
/** Options of the enhanced packet block and the statistics block. */
const EPB_FLAGS = 2;
const ISB_IFDROP = 5;
const END_OF_OPTIONS = 0;

/** Long enough for a frame with segmentation offload. */
export const SNAP_LENGTH = 262_144;

/** Which way a frame went, as the interface of the guest sees it. */
export enum Direction {
  Inbound = 1,
  Outbound = 2,
}

/** Puts type and length around a body of whole words. */
function block(type: number, body: number): Buffer {
  const length = 12 + body;
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(length, 4);
  bytes.writeUInt32LE(length, length - 4);
  return bytes;
}

/** What a file begins with: one section with one Ethernet interface, times in microseconds. */
export function fileHeader(): Buffer {
  const section = block(SECTION_HEADER, 16);
  section.writeUInt32LE(BYTE_ORDER, 8);
  section.writeUInt16LE(1, 12);
  // The length of the section is not known yet.
  section.writeBigInt64LE(-1n, 16);
  const description = block(INTERFACE_DESCRIPTION, 8);
  description.writeUInt16LE(LINKTYPE_ETHERNET, 8);
  description.writeUInt32LE(SNAP_LENGTH, 12);
  return Buffer.concat([section, description]);
}

/** Bytes that {@link packetBlock} makes for a frame. */
export function packetBlockLength(frameLength: number): number {
  return 12 + 20 + ((frameLength + 3) & ~3) + 12;
}

/** A frame. `fill` writes its bytes, so that they are copied once. */
export function packetBlock(
  length: number,
  microseconds: number,
  direction: Direction,
  fill: (target: Uint8Array) => void,
): Buffer {
  const padded = (length + 3) & ~3;
  const bytes = block(ENHANCED_PACKET, 20 + padded + 12);
  bytes.writeUInt32LE(Math.floor(microseconds / 2 ** 32), 12);
  bytes.writeUInt32LE(microseconds % 2 ** 32, 16);
  bytes.writeUInt32LE(length, 20);
  bytes.writeUInt32LE(length, 24);
  fill(bytes.subarray(28, 28 + length));
  const options = 28 + padded;
  bytes.writeUInt16LE(EPB_FLAGS, options);
  bytes.writeUInt16LE(4, options + 2);
  bytes.writeUInt32LE(direction, options + 4);
  bytes.writeUInt16LE(END_OF_OPTIONS, options + 8);
  return bytes;
}

/** How many frames were not captured. */
export function statisticsBlock(microseconds: number, dropped: number): Buffer {
  const bytes = block(INTERFACE_STATISTICS, 12 + 12 + 4);
  bytes.writeUInt32LE(Math.floor(microseconds / 2 ** 32), 12);
  bytes.writeUInt32LE(microseconds % 2 ** 32, 16);
  bytes.writeUInt16LE(ISB_IFDROP, 20);
  bytes.writeUInt16LE(8, 22);
  bytes.writeBigUInt64LE(BigInt(dropped), 24);
  return bytes;
}
