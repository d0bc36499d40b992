/**
 * `struct virtio_net_hdr` (virtio 1.2, 5.1.6): what a frame leaves to its receiver.
 *
 * From a driver, all of it is hearsay: fields that do not fit the frame make the frame invalid, so
 * that a backend never computes outside of it (CVE-2023-6693 and its kind).
 */
import { GsoType, type FrameMeta, type NetOffloads } from '../../../net/net-backend.js';
import { GSO_ECN, HEADER_BYTES, HeaderField, HeaderFlag } from './net-layout.js';

/** Ethernet header: the least of a frame. */
const ETHERNET_BYTES = 14;
/** Longest frame: a 64 KiB IP packet behind an Ethernet header with a tag. */
export const FRAME_BYTES_MAX = 65535 + 18;

/** What a driver has negotiated for the frames it sends. */
export interface TxOffloads {
  readonly csum: boolean;
  readonly tso4: boolean;
  readonly tso6: boolean;
  readonly ufo: boolean;
  readonly ecn: boolean;
}

/**
 * Reads a driver's header into `meta`.
 * @param header {@link HEADER_BYTES} private bytes
 * @param frameLength bytes of the frame behind it
 * @returns false when the frame cannot be sent as it is described
 */
export function readHeader(
  header: DataView,
  frameLength: number,
  offloads: TxOffloads,
  meta: FrameMeta,
): boolean {
  if (frameLength < ETHERNET_BYTES || frameLength > FRAME_BYTES_MAX) return false;
  meta.needsCsum = (header.getUint8(HeaderField.Flags) & HeaderFlag.NeedsCsum) !== 0;
  meta.csumStart = header.getUint16(HeaderField.CsumStart, true);
  meta.csumOffset = header.getUint16(HeaderField.CsumOffset, true);
  meta.gsoType = header.getUint8(HeaderField.GsoType) & ~GSO_ECN;
  meta.gsoSize = header.getUint16(HeaderField.GsoSize, true);
  meta.headerLength = header.getUint16(HeaderField.HeaderLength, true);
  if (meta.needsCsum) {
    if (!offloads.csum || meta.csumStart + meta.csumOffset + 2 > frameLength) return false;
  }
  switch (meta.gsoType) {
    case GsoType.None:
      return true;
    case GsoType.Tcp4:
      return offloads.tso4 && meta.needsCsum && meta.gsoSize > 0;
    case GsoType.Tcp6:
      return offloads.tso6 && meta.needsCsum && meta.gsoSize > 0;
    case GsoType.Udp:
      return offloads.ufo && meta.needsCsum && meta.gsoSize > 0;
    default:
      return false;
  }
}

/**
 * Makes a driver's header one that the host's kernel can have: what {@link readHeader} did not look at
 * is cleared.
 */
export function cleanHeader(
  header: DataView,
  offloads: TxOffloads,
  meta: Readonly<FrameMeta>,
): void {
  const ecn = offloads.ecn && meta.gsoType !== GsoType.None && meta.gsoType !== GsoType.Udp;
  const type = header.getUint8(HeaderField.GsoType) & (ecn ? 0xff : ~GSO_ECN);
  header.setUint8(HeaderField.GsoType, type);
  header.setUint8(HeaderField.Flags, meta.needsCsum ? HeaderFlag.NeedsCsum : 0);
  header.setUint16(HeaderField.NumBuffers, 0, true);
}

/**
 * The flags that a driver gets with a frame that has these and this `gso_type`, or -1 when it does not
 * take such frames: they may be from before a change of what it takes.
 */
export function takenFlags(flags: number, type: number, offloads: NetOffloads): number {
  const { csum, tso4, tso6, ecn = false, ufo = false } = offloads;
  if (!csum && (flags & HeaderFlag.NeedsCsum) !== 0) return -1;
  if ((type & GSO_ECN) !== 0 && !ecn) return -1;
  const taken = csum ? flags & (HeaderFlag.NeedsCsum | HeaderFlag.DataValid) : 0;
  switch (type & ~GSO_ECN) {
    case GsoType.None:
      return taken;
    case GsoType.Tcp4:
      return tso4 ? taken : -1;
    case GsoType.Tcp6:
      return tso6 ? taken : -1;
    case GsoType.Udp:
      return ufo ? taken : -1;
    default:
      return -1;
  }
}

/** Writes the header of a frame for the driver; `num_buffers` is the caller's. */
export function writeHeader(header: DataView, meta: Readonly<FrameMeta>): void {
  for (let i = 0; i < HEADER_BYTES; i++) header.setUint8(i, 0);
  header.setUint16(HeaderField.NumBuffers, 1, true);
  if (meta.needsCsum) {
    header.setUint8(HeaderField.Flags, HeaderFlag.NeedsCsum);
    header.setUint16(HeaderField.CsumStart, meta.csumStart, true);
    header.setUint16(HeaderField.CsumOffset, meta.csumOffset, true);
  }
  if (meta.gsoType === GsoType.None) return;
  header.setUint8(HeaderField.GsoType, meta.gsoType);
  header.setUint16(HeaderField.GsoSize, meta.gsoSize, true);
  header.setUint16(HeaderField.HeaderLength, meta.headerLength, true);
}
