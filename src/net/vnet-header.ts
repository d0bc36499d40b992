/**
 * `struct virtio_net_hdr_v1` (virtio 1.2, 5.1.6) in front of frames that go between processes. The
 * fields are little-endian; `num_buffers` means nothing there and is 0.
 */
import { GsoType, type FrameMeta } from './net-backend.js';

export const VNET_HEADER_BYTES = 12;

const NEEDS_CSUM = 1;
/** The driver's note that the segments have ECN bits, which does not change how they are cut here. */
const GSO_ECN = 0x80;

const ETHERNET_HEADER = 14;
const VLAN_TAG = 4;
/** Longest frame: a 64 KiB IP packet behind an Ethernet header with a tag. */
export const LONGEST_FRAME = 65535 + ETHERNET_HEADER + VLAN_TAG;

function put(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

function get(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

/** Writes the header of a frame. */
export function writeVnetHeader(bytes: Uint8Array, at: number, meta: Readonly<FrameMeta>): void {
  bytes.fill(0, at, at + VNET_HEADER_BYTES);
  if (meta.needsCsum) {
    bytes[at] = NEEDS_CSUM;
    put(bytes, at + 6, meta.csumStart);
    put(bytes, at + 8, meta.csumOffset);
  }
  if (meta.gsoType === GsoType.None) return;
  bytes[at + 1] = meta.gsoType;
  put(bytes, at + 2, meta.headerLength);
  put(bytes, at + 4, meta.gsoSize);
}

/**
 * Reads a header that somebody else has written.
 * @param frameLength bytes of the frame behind it
 * @param mtu of the link
 * @returns false when it does not fit the frame, which is then not one
 */
export function readVnetHeader(
  bytes: Uint8Array,
  at: number,
  frameLength: number,
  mtu: number,
  meta: FrameMeta,
): boolean {
  if (frameLength < ETHERNET_HEADER || frameLength > LONGEST_FRAME) return false;
  meta.needsCsum = (bytes[at]! & NEEDS_CSUM) !== 0;
  meta.gsoType = bytes[at + 1]! & ~GSO_ECN;
  meta.headerLength = get(bytes, at + 2);
  meta.gsoSize = get(bytes, at + 4);
  meta.csumStart = get(bytes, at + 6);
  meta.csumOffset = get(bytes, at + 8);
  if (meta.needsCsum && meta.csumStart + meta.csumOffset + 2 > frameLength) return false;
  switch (meta.gsoType) {
    case GsoType.None:
      return frameLength <= mtu + ETHERNET_HEADER + VLAN_TAG;
    case GsoType.Tcp4:
    case GsoType.Tcp6:
      return meta.needsCsum && meta.gsoSize > 0;
    default:
      return false;
  }
}
