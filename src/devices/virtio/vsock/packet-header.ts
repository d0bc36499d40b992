/** `struct virtio_vsock_hdr`, read and written in private memory. */
import type { ReadableSegments, WritableSegments } from '../queue/segments.js';
import { HEADER_BYTES, HOST_CID, HeaderField, SocketType } from './vsock-protocol.js';

/** One header: a scratch object that is used for one packet after the other. */
export class PacketHeader {
  private readonly bytes = new Uint8Array(HEADER_BYTES);
  private readonly view = new DataView(this.bytes.buffer);

  /** Fetches a header once from guest memory. False when the packet is too short for one. */
  read(from: ReadableSegments): boolean {
    return from.read(this.bytes) === HEADER_BYTES;
  }

  /** Puts the header into guest memory, which has room for it. */
  write(to: WritableSegments): void {
    to.write(this.bytes);
  }

  private get32(field: HeaderField): number {
    return this.view.getUint32(field, true);
  }

  /** True when the packet is from this guest, all 64 bits of it. */
  isFrom(cid: number): boolean {
    return this.get32(HeaderField.SourceCid) === cid && this.get32(HeaderField.SourceCid + 4) === 0;
  }

  /** True when the packet is for the host. */
  get isForHost(): boolean {
    const { destinationLow, destinationHigh } = this;
    return destinationLow === HOST_CID && destinationHigh === 0;
  }

  get destinationLow(): number {
    return this.get32(HeaderField.DestinationCid);
  }

  get destinationHigh(): number {
    return this.get32(HeaderField.DestinationCid + 4);
  }

  get sourcePort(): number {
    return this.get32(HeaderField.SourcePort);
  }

  get destinationPort(): number {
    return this.get32(HeaderField.DestinationPort);
  }

  /** Bytes of payload, as the sender says. */
  get length(): number {
    return this.get32(HeaderField.Length);
  }

  get type(): number {
    return this.view.getUint16(HeaderField.Type, true);
  }

  get operation(): number {
    return this.view.getUint16(HeaderField.Operation, true);
  }

  get flags(): number {
    return this.get32(HeaderField.Flags);
  }

  /** Bytes that the sender has room for in all. */
  get bufferAllocation(): number {
    return this.get32(HeaderField.BufferAllocation);
  }

  /** Bytes that have left the sender's buffer so far, modulo 2^32. */
  get forwardCount(): number {
    return this.get32(HeaderField.ForwardCount);
  }

  /** A packet of a stream from the host to the guest, without payload, flags and credit. */
  address(cid: number, hostPort: number, guestPort: number, operation: number): void {
    const { view } = this;
    view.setUint32(HeaderField.SourceCid, HOST_CID, true);
    view.setUint32(HeaderField.SourceCid + 4, 0, true);
    view.setUint32(HeaderField.DestinationCid, cid, true);
    view.setUint32(HeaderField.DestinationCid + 4, 0, true);
    view.setUint32(HeaderField.SourcePort, hostPort, true);
    view.setUint32(HeaderField.DestinationPort, guestPort, true);
    view.setUint16(HeaderField.Type, SocketType.Stream, true);
    view.setUint16(HeaderField.Operation, operation, true);
    this.setLength(0);
    this.setFlags(0);
    this.setCredit(0, 0);
  }

  /** Another sender than the host: whom the guest took for one. */
  setSource(low: number, high: number): void {
    this.view.setUint32(HeaderField.SourceCid, low, true);
    this.view.setUint32(HeaderField.SourceCid + 4, high, true);
  }

  setType(type: number): void {
    this.view.setUint16(HeaderField.Type, type, true);
  }

  setLength(length: number): void {
    this.view.setUint32(HeaderField.Length, length, true);
  }

  setFlags(flags: number): void {
    this.view.setUint32(HeaderField.Flags, flags, true);
  }

  setCredit(bufferAllocation: number, forwardCount: number): void {
    this.view.setUint32(HeaderField.BufferAllocation, bufferAllocation, true);
    this.view.setUint32(HeaderField.ForwardCount, forwardCount, true);
  }
}
