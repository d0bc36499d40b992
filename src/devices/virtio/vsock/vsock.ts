/**
 * The socket device (virtio 1.2, 5.10): streams between programs of the guest and of the host.
 *
 * The thread that serves the queues has the backend and all connections. The other threads have the
 * registers only: a reset by the driver counts up a word of the state, and the serving thread, woken
 * by a kick, closes the connections of the time before.
 */
import { DeviceType } from '../constants.js';
import {
  readLittleEndian,
  writeLittleEndian,
  type ConfigAccessSize,
  type DeviceContext,
  type VirtioDevice,
} from '../device.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { ChunkPool } from './chunk-queue.js';
import { Connection, ConnectionState, type ConnectionOwner } from './connection.js';
import { ConnectionTable, MAX_CONNECTIONS, ReadyList } from './connection-table.js';
import type { GuestPorts, HostStream, StreamListener, VsockBackend } from './host-backend.js';
import { PacketHeader } from './packet-header.js';
import { ResetQueue } from './reset-queue.js';
import {
  CONFIG_BYTES,
  HEADER_BYTES,
  MAX_CID,
  MIN_CID,
  Operation,
  SocketType,
  VsockEvent,
  VsockFeature,
  VsockQueue,
} from './vsock-protocol.js';

/** Room for data of the guest: of the first connections, and of those beyond them. */
const ALLOCATION = 262144;
const SMALL_ALLOCATION = 65536;
const GENEROUS_CONNECTIONS = 64;

const EVENT_BYTES = 4;

/** Words of the state. */
enum StateWord {
  /** Counts resets by the driver. */
  Generation,
  /** A thread has served the device: streams may have been open when the state was saved. */
  Served,
  /** The driver is owed a TRANSPORT_RESET event. */
  TransportReset,
  Count,
}

/** Settings of the device. */
export interface VsockOptions {
  /** The guest's address, 3 to 0xfffffffe. */
  readonly cid: number;
  /** Streams of the host, for the thread that serves the queues. */
  readonly backend?: VsockBackend;
}

/** virtio-vsock. */
export class VsockDevice implements VirtioDevice, ConnectionOwner, GuestPorts {
  readonly type = DeviceType.Socket;
  readonly name = 'vsock';
  readonly features: readonly number[] = [VsockFeature.Stream];
  readonly queueSizes: readonly number[] = [256, 256, 16];
  readonly configBytes = CONFIG_BYTES;
  readonly stateBytes = StateWord.Count * 4;

  readonly cid: number;
  readonly pool = new ChunkPool();
  private readonly backend: VsockBackend | undefined;
  private readonly config = new Uint8Array(CONFIG_BYTES);
  private readonly table = new ConnectionTable();
  private readonly lingering = new Set<Connection>();
  private readonly sending = new ReadyList();
  private readonly resets = new ResetQueue();
  private readonly header = new PacketHeader();
  private readonly event = new Uint8Array(EVENT_BYTES);
  /** Connections that have got data in this turn. */
  private readonly received: Connection[] = [];
  private context!: DeviceContext;
  private chain!: DescriptorChain;
  private words!: Int32Array<SharedArrayBuffer>;
  private generation = 0;
  private serving = false;
  private receiveAsked = false;
  /** The transmit queue waits until resets have been sent. */
  private transmitWaits = false;

  /** @throws RangeError for an address that no guest can have */
  constructor({ cid, backend }: VsockOptions) {
    if (!(Number.isInteger(cid) && cid >= MIN_CID && cid <= MAX_CID)) {
      throw new RangeError(`${cid} is not a guest's address`);
    }
    this.cid = cid;
    this.backend = backend;
    writeLittleEndian(this.config, 0, 4, cid);
    writeLittleEndian(this.event, 0, EVENT_BYTES, VsockEvent.TransportReset);
  }

  attach(context: DeviceContext): void {
    const { state } = context;
    this.context = context;
    this.chain = context.createChain();
    this.words = new Int32Array(state.buffer, state.byteOffset, StateWord.Count);
  }

  /** This thread serves the queues. State from elsewhere had streams that are not here. */
  async open(): Promise<void> {
    const { words } = this;
    this.serving = true;
    this.generation = Atomics.load(words, StateWord.Generation);
    if (Atomics.exchange(words, StateWord.Served, 1) === 1) {
      Atomics.store(words, StateWord.TransportReset, 1);
    }
    await this.backend?.open(this);
  }

  async close(): Promise<void> {
    this.dropAll(() => true);
    await this.backend?.close();
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    return readLittleEndian(this.config, offset, size);
  }

  /** Connections at present, for tests and diagnosis. */
  get connections(): number {
    return this.table.size + this.lingering.size;
  }

  // ---- resets ----

  reset(): void {
    Atomics.add(this.words, StateWord.Generation, 1);
    Atomics.store(this.words, StateWord.TransportReset, 0);
    if (this.serving) this.catchUp();
    else this.context.processLater(VsockQueue.Receive, 0);
  }

  halted(): void {
    this.receiveAsked = false;
    this.catchUp();
  }

  /** Closes what was open before a reset. Requests that no driver has seen wait for the next one. */
  private catchUp(): void {
    const generation = Atomics.load(this.words, StateWord.Generation);
    if (generation === this.generation) return;
    this.generation = generation;
    this.resets.clear();
    this.transmitWaits = false;
    this.dropAll((connection) => !connection.unsent);
  }

  private dropAll(which: (connection: Connection) => boolean): void {
    for (const connection of [...this.table.all(), ...this.lingering]) {
      if (which(connection)) connection.drop();
    }
  }

  // ---- connections ----

  schedule(connection: Connection): void {
    if (!connection.sendable) return;
    this.sending.push(connection);
    this.askForReceive();
  }

  forget(connection: Connection): void {
    this.table.delete(connection);
    if (connection.state === ConnectionState.Lingering) this.lingering.add(connection);
    else this.lingering.delete(connection);
  }

  /** Has the receive queue served: here, in a turn of another queue, it cannot be. */
  private askForReceive(): void {
    if (this.receiveAsked) return;
    this.receiveAsked = true;
    this.context.processLater(VsockQueue.Receive, 0);
  }

  private get hasRoom(): boolean {
    return this.connections < MAX_CONNECTIONS;
  }

  private create(hostPort: number, guestPort: number, state: ConnectionState): Connection {
    const allocation = this.connections < GENEROUS_CONNECTIONS ? ALLOCATION : SMALL_ALLOCATION;
    const connection = new Connection(this, hostPort, guestPort, allocation, state);
    this.table.add(connection);
    return connection;
  }

  /** {@link GuestPorts.connect} */
  connect(guestPort: number, stream: HostStream): StreamListener | undefined {
    this.catchUp();
    if (!this.hasRoom) {
      this.context.log.warn('connections', `vsock: more than ${MAX_CONNECTIONS} connections`);
      return undefined;
    }
    const { Requesting } = ConnectionState;
    const connection = this.create(this.table.freeHostPort(), guestPort, Requesting);
    connection.attach(stream);
    return connection;
  }

  // ---- queues ----

  process(queue: VirtQueue): void {
    this.catchUp();
    switch (queue.index) {
      case VsockQueue.Receive:
        this.receiveAsked = false;
        this.sendToGuest(queue);
        break;
      case VsockQueue.Transmit:
        this.takeFromGuest(queue);
        break;
      default:
        this.sendEvent(queue);
    }
  }

  private sendEvent(queue: VirtQueue): void {
    const { words, chain } = this;
    if (Atomics.load(words, StateWord.TransportReset) === 0 || !queue.pop(chain)) return;
    Atomics.store(words, StateWord.TransportReset, 0);
    queue.push(chain.token, chain.writable.write(this.event));
  }

  /** Something to send, or undefined: connections in the list may have lost what they had. */
  private nextSender(): Connection | undefined {
    for (let next = this.sending.front; next !== undefined; next = this.sending.front) {
      if (next.sendable) return next;
      this.sending.shift();
    }
    return undefined;
  }

  private sendToGuest(queue: VirtQueue): void {
    const { chain, resets, header, sending } = this;
    for (;;) {
      const sender = this.nextSender();
      if ((resets.length === 0 && sender === undefined) || !queue.pop(chain)) break;
      const { writable } = chain;
      if (writable.length < HEADER_BYTES) {
        this.context.log.warn('receive', 'vsock: a receive buffer has no room for a header');
        queue.push(chain.token, 0);
      } else if (resets.length > 0) {
        resets.shift(header, this.cid);
        header.write(writable);
        queue.push(chain.token, HEADER_BYTES);
      } else if (sender !== undefined) {
        sending.shift();
        queue.push(chain.token, sender.send(writable, header));
        if (sender.sendable) sending.push(sender);
      }
    }
    if (this.transmitWaits && resets.low) {
      this.transmitWaits = false;
      this.context.processLater(VsockQueue.Transmit, 0);
    }
  }

  /** Goes on while the receive queue is full (5.10.6.1.2): only answers to strangers are bounded. */
  private takeFromGuest(queue: VirtQueue): void {
    const { chain, received } = this;
    while (!this.resets.full && queue.pop(chain)) {
      this.takePacket(chain);
      queue.push(chain.token, 0);
    }
    this.transmitWaits = this.resets.full;
    for (const connection of received) connection.flush();
    received.length = 0;
  }

  private takePacket(chain: DescriptorChain): void {
    const { header } = this;
    if (!header.read(chain.readable)) {
      this.context.log.warn('transmit', 'vsock: a packet is shorter than its header');
      return;
    }
    if (!header.isFrom(this.cid)) {
      this.context.log.warn('transmit', "vsock: a packet's sender is not the guest");
      return;
    }
    if (header.type !== SocketType.Stream || !header.isForHost) {
      this.refuse();
      return;
    }
    const connection = this.table.get(header.destinationPort, header.sourcePort);
    if (connection === undefined) this.takeFirst();
    else this.takeNext(connection, chain);
  }

  /** The answer to a packet that belongs to no connection (5.10.6.4.1); never to a reset. */
  private refuse(): void {
    if (this.header.operation === Operation.Reset) return;
    this.resets.push(this.header);
    this.askForReceive();
  }

  private takeFirst(): void {
    const { header, backend } = this;
    if (header.operation !== Operation.Request || !this.hasRoom || backend === undefined) {
      this.refuse();
      return;
    }
    const { destinationPort, sourcePort } = header;
    const connection = this.create(destinationPort, sourcePort, ConnectionState.Connecting);
    connection.attach(backend.connect(destinationPort, connection));
    connection.updateCredit(header);
  }

  private takeNext(connection: Connection, chain: DescriptorChain): void {
    if (this.header.operation === Operation.Reset) {
      connection.resetByGuest();
    } else if (!connection.updateCredit(this.header) || !this.takeOperation(connection, chain)) {
      this.context.log.warn('protocol', 'vsock: the guest breaks the protocol of a connection');
      connection.abort();
    }
  }

  /** False when the guest must not do that. */
  private takeOperation(connection: Connection, { readable }: DescriptorChain): boolean {
    const { operation, length, flags } = this.header;
    if (connection.state === ConnectionState.Closing) return true;
    switch (operation) {
      case Operation.Response:
        return connection.accept();
      case Operation.ReadWrite:
        if (length > readable.length || !connection.receive(readable, length)) return false;
        this.received.push(connection);
        return true;
      case Operation.Shutdown:
        connection.shutdown(flags);
        this.received.push(connection);
        return true;
      case Operation.CreditRequest:
        connection.requestCredit();
        return true;
      case Operation.CreditUpdate:
        return true;
      default:
        return false;
    }
  }
}
