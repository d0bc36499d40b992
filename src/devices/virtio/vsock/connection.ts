/**
 * One stream between the guest and a program of the host.
 *
 * What it owes the guest are bits and counts, not queued packets: however long the guest leaves the
 * receive queue without buffers, a connection does not grow.
 */
import type { ReadableSegments, WritableSegments } from '../queue/segments.js';
import { ChunkQueue, type ChunkPool } from './chunk-queue.js';
import { ReceiveCredit, SendCredit } from './credit.js';
import { DataQueue } from './data-queue.js';
import type { HostStream, StreamListener } from './host-backend.js';
import type { PacketHeader } from './packet-header.js';
import { HEADER_BYTES, MAX_PAYLOAD, Operation, Shutdown } from './vsock-protocol.js';

/** Where a connection is in its life. */
export enum ConnectionState {
  /** A program of the host has asked; the guest has not answered. */
  Requesting,
  /** The guest has asked; the program of the host has not answered. */
  Connecting,
  Open,
  /** Over but for the reset that the guest is owed. */
  Closing,
  /** Over for the guest; the program of the host gets what was sent to it. */
  Lingering,
  Gone,
}

/** Packets owed to the guest. */
enum Owed {
  Request = 1,
  Response = 2,
  Reset = 4,
  CreditUpdate = 8,
}

/** How long a guest has to answer a request. */
const REQUEST_TIMEOUT_MS = 10_000;

/** The device, as a connection sees it. */
export interface ConnectionOwner {
  readonly cid: number;
  readonly pool: ChunkPool;
  /** The connection has something for the guest. */
  schedule(connection: Connection): void;
  /** The connection is in the table no more; it may linger. */
  forget(connection: Connection): void;
}

/** A connection. Methods of {@link StreamListener} are the program's side. */
export class Connection implements StreamListener {
  // Links of the device's list of those that have something to send.
  ready = false;
  nextReady: Connection | undefined;

  private readonly toHost: ChunkQueue;
  private readonly toGuest = new DataQueue();
  private readonly sendCredit = new SendCredit();
  private readonly receiveCredit: ReceiveCredit;
  private stream!: HostStream;
  private owed = 0;
  private paused = true;
  private creditRequested = false;
  /** What the guest does no more, by its word. */
  private guestShutdown = 0;
  /** What the program does no more, and what of that the guest has been told. */
  private hostShutdown = 0;
  private toldShutdown = 0;
  private ended = false;
  private finished = false;
  private timer: NodeJS.Timeout | undefined;

  /** @param allocation bytes held for data of the guest */
  constructor(
    private readonly owner: ConnectionOwner,
    readonly hostPort: number,
    readonly guestPort: number,
    allocation: number,
    public state: ConnectionState,
  ) {
    this.toHost = new ChunkQueue(owner.pool);
    this.receiveCredit = new ReceiveCredit(allocation);
  }

  /** Gives the connection its stream, right after it was made. */
  attach(stream: HostStream): void {
    this.stream = stream;
    if (this.state === ConnectionState.Requesting) this.owe(Owed.Request);
  }

  private owe(what: Owed): void {
    this.owed |= what;
    this.owner.schedule(this);
  }

  /** The guest has not seen anything of this connection. */
  get unsent(): boolean {
    return this.state === ConnectionState.Requesting && (this.owed & Owed.Request) !== 0;
  }

  // ---- from the guest ----

  /** Every packet says what room the guest has. False when what it says is impossible. */
  updateCredit(header: PacketHeader): boolean {
    const { sendCredit } = this;
    if (!sendCredit.update(header.bufferAllocation, header.forwardCount)) return false;
    if (sendCredit.available === 0) return true;
    this.creditRequested = false;
    if (this.toGuest.length > 0) this.owner.schedule(this);
    return true;
  }

  /** The guest accepts. False when nobody has asked it. */
  accept(): boolean {
    if (this.state !== ConnectionState.Requesting || this.unsent) return false;
    this.stream.accepted(this.hostPort);
    this.open();
    return true;
  }

  private open(): void {
    clearTimeout(this.timer);
    this.state = ConnectionState.Open;
    this.resume();
  }

  /** Data of the guest. False when it had no right to send them. */
  receive(from: ReadableSegments, length: number): boolean {
    const sends = (this.guestShutdown & Shutdown.Send) === 0;
    if (this.state !== ConnectionState.Open || !sends) return false;
    if (!this.receiveCredit.receive(length)) return false;
    this.toHost.append(from, length);
    return true;
  }

  /** Hands what has been received to the stream, and its end. */
  flush(): void {
    if (this.state !== ConnectionState.Open && this.state !== ConnectionState.Lingering) return;
    const all = this.toHost.flush(this.stream);
    if (!all || this.ended || (this.guestShutdown & Shutdown.Send) === 0) return;
    this.ended = true;
    this.stream.end();
  }

  /** The guest does not send any more, does not receive any more, or both. */
  shutdown(flags: number): void {
    if (this.state !== ConnectionState.Open) {
      // Between a request and its answer it is a refusal.
      if (this.state < ConnectionState.Open && flags !== 0) this.abort();
      return;
    }
    this.guestShutdown |= flags & Shutdown.Both;
    if ((this.guestShutdown & Shutdown.Receive) !== 0) {
      this.toGuest.clear();
      this.pause();
    }
    if (this.guestShutdown === Shutdown.Both && this.finished) this.abort();
  }

  /** The guest has reset the connection: it is over, but what was sent properly arrives. */
  resetByGuest(): void {
    const sentAll = (this.guestShutdown & Shutdown.Send) !== 0;
    if (this.state === ConnectionState.Open && sentAll && !this.finished) this.linger();
    else this.drop();
  }

  private linger(): void {
    this.owed = 0;
    this.toGuest.clear();
    this.state = ConnectionState.Lingering;
    this.owner.forget(this);
    this.flush();
  }

  /** The guest wants to know what room there is. */
  requestCredit(): void {
    if (this.state === ConnectionState.Open) this.owe(Owed.CreditUpdate);
  }

  // ---- ends ----

  /** Ends the connection at once on both sides; the guest is owed a reset. */
  abort(): void {
    if (this.state >= ConnectionState.Closing) return;
    if (this.unsent) {
      this.drop();
      return;
    }
    clearTimeout(this.timer);
    this.state = ConnectionState.Closing;
    this.toGuest.clear();
    this.toHost.clear();
    this.owed = Owed.Reset;
    this.owner.schedule(this);
    this.stream.destroy();
  }

  /** Ends the connection without a word to the guest. */
  drop(): void {
    if (this.state === ConnectionState.Gone) return;
    clearTimeout(this.timer);
    this.state = ConnectionState.Gone;
    this.owed = 0;
    this.toGuest.clear();
    this.toHost.clear();
    this.owner.forget(this);
    this.stream.destroy();
  }

  // ---- from the program of the host ----

  onOpen(): void {
    if (this.state !== ConnectionState.Connecting) return;
    this.open();
    this.owe(Owed.Response);
  }

  onData(bytes: Uint8Array): void {
    if (this.state !== ConnectionState.Open) return;
    if ((this.guestShutdown & Shutdown.Receive) !== 0) return;
    this.toGuest.push(bytes);
    if (this.toGuest.full) this.pause();
    this.owner.schedule(this);
  }

  onEnd(): void {
    this.hostShutdown |= Shutdown.Send;
    if (this.state === ConnectionState.Open) this.owner.schedule(this);
  }

  onWritten(): void {
    this.receiveCredit.forward(this.toHost.written());
    if (this.state === ConnectionState.Open && this.receiveCredit.owesUpdate) {
      const sends = (this.guestShutdown & Shutdown.Send) === 0;
      if (sends) this.owe(Owed.CreditUpdate);
    }
    this.flush();
  }

  /** The guest's half is done with; if it had closed all of it, the connection is over. */
  onFinish(): void {
    this.finished = true;
    if (this.state === ConnectionState.Lingering) this.drop();
    else if (this.guestShutdown === Shutdown.Both) this.abort();
  }

  onClose(failed: boolean): void {
    if (this.state === ConnectionState.Open && !failed) {
      // Both sides have ended; the guest closes when it has read everything.
      this.hostShutdown = Shutdown.Both;
      this.owner.schedule(this);
    } else if (this.state === ConnectionState.Lingering) {
      this.drop();
    } else {
      this.abort();
    }
  }

  private pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.stream.pause();
  }

  private resume(): void {
    if (!this.paused || (this.guestShutdown & Shutdown.Receive) !== 0) return;
    this.paused = false;
    this.stream.resume();
  }

  // ---- to the guest ----

  private get owesShutdown(): boolean {
    return this.hostShutdown !== this.toldShutdown && this.toGuest.length === 0;
  }

  /** True when a packet can be sent now. */
  get sendable(): boolean {
    if (this.owed !== 0) return true;
    if (this.state !== ConnectionState.Open) return false;
    if (this.toGuest.length === 0) return this.owesShutdown;
    return this.sendCredit.available > 0 || !this.creditRequested;
  }

  /**
   * Writes the next packet of a sendable connection into a buffer with room for a header.
   * @returns bytes written
   */
  send(to: WritableSegments, header: PacketHeader): number {
    const { receiveCredit } = this;
    const room = Math.min(to.length - HEADER_BYTES, MAX_PAYLOAD);
    const length = this.payload(room);
    header.address(this.owner.cid, this.hostPort, this.guestPort, this.next(length));
    header.setLength(length);
    header.setCredit(receiveCredit.allocation, receiveCredit.forwarded);
    if (header.operation === Operation.Shutdown) header.setFlags(this.toldShutdown);
    receiveCredit.tell();
    header.write(to);
    if (length > 0) {
      this.toGuest.moveTo(to, length);
      this.sendCredit.take(length);
      if (this.paused && this.toGuest.low) this.resume();
    }
    this.afterSending(header.operation);
    return HEADER_BYTES + length;
  }

  /** Bytes of data in the next packet; packets that open or end the connection come first. */
  private payload(room: number): number {
    if ((this.owed & (Owed.Request | Owed.Response | Owed.Reset)) !== 0) return 0;
    if (this.state !== ConnectionState.Open) return 0;
    return Math.min(this.toGuest.length, this.sendCredit.available, room);
  }

  /** The next operation, which is no longer owed then. */
  private next(length: number): Operation {
    if (this.pay(Owed.Reset)) return Operation.Reset;
    if (this.pay(Owed.Request)) return Operation.Request;
    if (this.pay(Owed.Response)) return Operation.Response;
    if (length > 0) {
      // Data say what a credit update says.
      this.owed &= ~Owed.CreditUpdate;
      return Operation.ReadWrite;
    }
    if (this.state === ConnectionState.Open) {
      if (this.owesShutdown) {
        this.toldShutdown = this.hostShutdown;
        return Operation.Shutdown;
      }
      if (this.toGuest.length > 0 && this.sendCredit.available === 0 && !this.creditRequested) {
        this.creditRequested = true;
        return Operation.CreditRequest;
      }
    }
    this.owed &= ~Owed.CreditUpdate;
    return Operation.CreditUpdate;
  }

  private pay(what: Owed): boolean {
    if ((this.owed & what) === 0) return false;
    this.owed &= ~what;
    return true;
  }

  private afterSending(operation: Operation): void {
    if (operation === Operation.Reset) {
      this.drop();
    } else if (operation === Operation.Request) {
      this.timer = setTimeout(() => this.abort(), REQUEST_TIMEOUT_MS).unref();
    }
  }
}
