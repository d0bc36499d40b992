/** Names and numbers of virtio 1.2: status bits, feature bits, device types, ring flags. */

/** Device status field (2.1). */
export enum Status {
  Acknowledge = 1,
  Driver = 2,
  DriverOk = 4,
  FeaturesOk = 8,
  NeedsReset = 64,
  Failed = 128,
}

/** Feature bits that do not depend on the device (6). */
export enum Feature {
  IndirectDescriptors = 28,
  EventIndex = 29,
  Version1 = 32,
  RingPacked = 34,
  InOrder = 35,
  RingReset = 40,
}

/** Device types (5). */
export enum DeviceType {
  Network = 1,
  Block = 2,
  Console = 3,
  Entropy = 4,
  Balloon = 5,
  Socket = 19,
  Pmem = 27,
  FileSystem = 26,
}

/** Descriptor flags (2.7.5). */
export enum DescriptorFlag {
  Next = 1,
  Write = 2,
  Indirect = 4,
}

export const constants = {
  /** 2.7: the highest power of two that fits into 16 bits. */
  MAX_QUEUE_SIZE: 32768,
  /** 2.7.5: `struct virtq_desc`. */
  DESCRIPTOR_SIZE: 16,
  /** 2.7.6: VIRTQ_AVAIL_F_NO_INTERRUPT. */
  AVAIL_NO_INTERRUPT: 1,
  /** 2.7.8: VIRTQ_USED_F_NO_NOTIFY. */
  USED_NO_NOTIFY: 1,
  /** 2.7.5: no chain is longer, in bytes. */
  MAX_CHAIN_BYTES: 2 ** 32,
  /** Epochs are the upper half of a token, which stays below 2^31. */
  EPOCH_MASK: 0x7fff,
} as const;
