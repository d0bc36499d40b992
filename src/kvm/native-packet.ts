/**
 * The addon's functions for packets between processes of this host: unix sockets of SOCK_SEQPACKET.
 * What can fail in normal operation returns a negative errno instead of throwing.
 */
export interface NativePacket {
  packetListen: (path: string, backlog: number) => number;
  /** A connection, or a negative errno: -EAGAIN when there is none. */
  packetAccept: (fd: number) => number;
  packetConnect: (path: string, sendBuffer: number) => number;
  /** User id of the process at the other end. */
  packetPeerUser: (fd: number) => number;
  /** 0 or a negative errno. */
  packetSend: (fd: number, bytes: Uint8Array) => number;
  /**
   * Sends packets of a batch (see `src/net/lan/packet-batch.ts`), by their numbers, 32 bits each.
   * How many went, or a negative errno when none did.
   */
  packetSendBatch(
    fd: number,
    batch: Uint8Array,
    numbers: Uint8Array,
    from: number,
    count: number,
  ): number;
  /** Copies a packet of a batch with its header; returns its length. */
  packetCopy: (batch: Uint8Array, number: number, target: Uint8Array) => number;
  /**
   * Receives as many packets as `lengths` has words for: how many, or a negative errno. A length
   * greater than a slot: the packet was cut. A length of 0: the connection has ended.
   */
  packetReceive: (fd: number, slots: Uint8Array, slotBytes: number, lengths: Uint8Array) => number;
}
