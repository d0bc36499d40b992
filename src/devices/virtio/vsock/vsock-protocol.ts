/** Names and numbers of the socket device (virtio 1.2, 5.10). */

/** Queues (5.10.2). */
export enum VsockQueue {
  Receive,
  Transmit,
  Event,
}

/** Feature bits (5.10.3). SEQPACKET is not offered: no host socket that Node.js has keeps messages. */
export enum VsockFeature {
  Stream = 0,
  SeqPacket = 1,
}

/** `struct virtio_vsock_config`: guest_cid. */
export const CONFIG_BYTES = 8;

/** The host's address (5.10.4). */
export const HOST_CID = 2;
/** Guests have addresses from here to {@link MAX_CID}; the others are reserved. */
export const MIN_CID = 3;
export const MAX_CID = 0xffff_fffe;

/** `struct virtio_vsock_hdr` (5.10.6). */
export const HEADER_BYTES = 44;
/** Offsets in it. */
export enum HeaderField {
  SourceCid = 0,
  DestinationCid = 8,
  SourcePort = 16,
  DestinationPort = 20,
  Length = 24,
  Type = 28,
  Operation = 30,
  Flags = 32,
  BufferAllocation = 36,
  ForwardCount = 40,
}

/** Socket types. */
export enum SocketType {
  Stream = 1,
  SeqPacket = 2,
}

/** Operations. */
export enum Operation {
  Request = 1,
  Response = 2,
  Reset = 3,
  Shutdown = 4,
  ReadWrite = 5,
  CreditUpdate = 6,
  CreditRequest = 7,
}

/** Flags of a SHUTDOWN: what its sender does no more. */
export enum Shutdown {
  Receive = 1,
  Send = 2,
  Both = 3,
}

/** Ids of events (5.10.6.7). */
export enum VsockEvent {
  TransportReset = 0,
}

/** Payload of one packet; what Linux and other devices keep to. */
export const MAX_PAYLOAD = 65536;
