/** Names of the network device (virtio 1.2, 5.1), and the layout of its state. */

import { TokenBucket } from '../token-bucket.js';

/** Feature bits (5.1.3). */
export enum NetFeature {
  Csum = 0,
  GuestCsum = 1,
  ControlGuestOffloads = 2,
  Mtu = 3,
  Mac = 5,
  GuestTso4 = 7,
  GuestTso6 = 8,
  GuestEcn = 9,
  GuestUfo = 10,
  HostTso4 = 11,
  HostTso6 = 12,
  HostEcn = 13,
  HostUfo = 14,
  MergeableBuffers = 15,
  Status = 16,
  ControlQueue = 17,
  ControlRx = 18,
  ControlVlan = 19,
  GuestAnnounce = 21,
  MultiQueue = 22,
  ControlMac = 23,
}

/** Offloads of the driver: from the beginning, and switched while the device runs (5.1.6.5.6.1). */
export const GUEST_OFFLOADS = [
  NetFeature.GuestCsum,
  NetFeature.GuestTso4,
  NetFeature.GuestTso6,
  NetFeature.GuestEcn,
  NetFeature.GuestUfo,
] as const;

/** `struct virtio_net_hdr` with num_buffers (5.1.6): VERSION_1 has it always. */
export const HEADER_BYTES = 12;

/** Offsets in the header. */
export enum HeaderField {
  Flags = 0,
  GsoType = 1,
  HeaderLength = 2,
  GsoSize = 4,
  CsumStart = 6,
  CsumOffset = 8,
  NumBuffers = 10,
}

/** Bits of `flags`. */
export enum HeaderFlag {
  NeedsCsum = 1,
  DataValid = 2,
}

/** Bit of `gso_type` beside the type. */
export const GSO_ECN = 0x80;

/** Offsets in `struct virtio_net_config` (5.1.4), which begins the state. */
export enum ConfigField {
  Mac = 0,
  Status = 6,
  MaxQueuePairs = 8,
  Mtu = 10,
}
export const CONFIG_BYTES = 12;

/** Bits of `status`. */
export enum LinkStatus {
  Up = 1,
  Announce = 2,
}

/** Classes and commands of the control queue (5.1.6.5). */
export enum ControlClass {
  Rx = 0,
  Mac = 1,
  Vlan = 2,
  Announce = 3,
  MultiQueue = 4,
  GuestOffloads = 5,
}

export enum RxCommand {
  Promiscuous = 0,
  AllMulticast = 1,
  AllUnicast = 2,
  NoMulticast = 3,
  NoUnicast = 4,
  NoBroadcast = 5,
}

export enum MacCommand {
  TableSet = 0,
  AddressSet = 1,
}

export enum VlanCommand {
  Add = 0,
  Delete = 1,
}

/** VIRTIO_NET_CTRL_ANNOUNCE_ACK, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET */
export const ONLY_COMMAND = 0;

export enum ControlAck {
  Ok = 0,
  Error = 1,
}

export const MAC_BYTES = 6;
/** Addresses of each kind that the filter holds; a driver that sends more gets all of that kind. */
export const MAC_TABLE_LIMIT = 64;
export const VLAN_BYTES = 4096 / 8;

/** Counters of the device, in 64-bit floating point numbers. */
export enum Counter {
  TxPackets,
  TxBytes,
  TxDropped,
  RxPackets,
  RxBytes,
  RxDropped,
  RxFiltered,
  Count,
}

const RX_MODES = 16;
const UNICAST = RX_MODES + 16;
const MULTICAST = UNICAST + MAC_TABLE_LIMIT * MAC_BYTES;
const VLANS = MULTICAST + MAC_TABLE_LIMIT * MAC_BYTES;
const QUEUE_PAIRS = VLANS + VLAN_BYTES;
const COUNTERS = QUEUE_PAIRS + 8;
const BUCKETS = COUNTERS + 8 * Counter.Count;

/** Offsets in the state: configuration space, filter, then what the driver has set. */
export const StateField = {
  /** One byte for each {@link RxCommand}. */
  RxModes: RX_MODES,
  UnicastCount: RX_MODES + 8,
  MulticastCount: RX_MODES + 12,
  Unicast: UNICAST,
  Multicast: MULTICAST,
  Vlans: VLANS,
  /** Queue pairs in use. */
  QueuePairs: QUEUE_PAIRS,
  /** The offloads the driver takes now: low 32 feature bits. */
  GuestOffloads: QUEUE_PAIRS + 4,
  Counters: COUNTERS,
  /** Token buckets: bytes and frames, in each direction. */
  Buckets: BUCKETS,
  Bytes: BUCKETS + 4 * TokenBucket.STATE_BYTES,
} as const;
