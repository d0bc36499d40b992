/**
 * The console device (virtio 1.2, 5.3), the guest's side of it: ports that carry bytes in both
 * directions, and control queues that say which ports there are and who has them open.
 *
 * Bytes go between guest memory and the rings of the port in shared memory, copied once. A ring
 * that is full leaves the guest's chain in its queue; input without a buffer waits in its ring. The
 * other side is {@link ConsolePortHost}.
 */
import type { Doorbell } from '../../../bus/device.js';
import { DeviceType } from '../constants.js';
import {
  readLittleEndian,
  writeLittleEndian,
  type ConfigAccessSize,
  type DeviceContext,
  type VirtioDevice,
} from '../device.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { ReadableSegments } from '../queue/segments.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { checkShape, ringBytesOf, type ConsoleShape } from './console-options.js';
import {
  CONFIG_BYTES,
  CONTROL_BYTES,
  CONTROL_RECEIVE,
  CONTROL_TRANSMIT,
  ConfigField,
  ConsoleFeature,
  ControlEvent,
  portOfQueue,
  receiveQueue,
  transmitQueue,
} from './console-protocol.js';
import {
  ConsoleState,
  PortRequest,
  PortState,
  PortWord,
  consoleStateBytes,
} from './console-state.js';
import { ControlMessages } from './control-messages.js';

const PORT_QUEUE_SIZE = 128;
const CONTROL_QUEUE_SIZE = 64;
/** Output that a turn moves, before other queues have theirs: a fast host makes room all the time. */
const TURN_BYTES = 2 ** 20;

/** Settings of the device. */
export interface ConsoleOptions extends ConsoleShape {
  /**
   * Rung when the host has something to do: output where there was none, room for input again, or
   * a port that the guest has opened or closed. It looks at all ports then.
   */
  readonly doorbell?: Doorbell;
}

/** virtio-console. */
export class ConsoleDevice implements VirtioDevice {
  readonly type = DeviceType.Console;
  readonly name = 'console';
  readonly features: readonly number[] = [
    ConsoleFeature.Size,
    ConsoleFeature.Multiport,
    ConsoleFeature.EmergencyWrite,
  ];
  readonly queueSizes: readonly number[];
  readonly configBytes = CONFIG_BYTES;
  readonly stateBytes: number;
  /** The ports, as the device was made with. */
  readonly shape: ConsoleShape;

  private readonly names: readonly Uint8Array[];
  private readonly doorbell: Doorbell | undefined;
  private readonly config = new Uint8Array(CONFIG_BYTES);
  private readonly control = new Uint8Array(CONTROL_BYTES);
  private readonly emergencyByte = new Uint8Array(1);
  private context!: DeviceContext;
  private chain!: DescriptorChain;
  private state!: ConsoleState;
  private ports!: readonly PortState[];
  private messages!: ControlMessages;

  /** @throws RangeError when the ports make no sense */
  constructor(options: ConsoleOptions) {
    this.names = checkShape(options);
    this.shape = options;
    this.doorbell = options.doorbell;
    this.stateBytes = consoleStateBytes(options.ports.length, ringBytesOf(options));
    const sizes = options.ports.flatMap(() => [PORT_QUEUE_SIZE, PORT_QUEUE_SIZE]);
    sizes.splice(CONTROL_RECEIVE, 0, CONTROL_QUEUE_SIZE, CONTROL_QUEUE_SIZE);
    this.queueSizes = sizes;
  }

  attach(context: DeviceContext): void {
    this.context = context;
    this.chain = context.createChain();
    this.state = new ConsoleState(context.state);
    const ringBytes = ringBytesOf(this.shape);
    this.ports = this.shape.ports.map((_, i) => new PortState(context.state, i, ringBytes));
    this.messages = new ControlMessages(this.state, this.ports, this.names);
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    const { config, ports } = this;
    writeLittleEndian(config, ConfigField.Cols, 4, ports[0]!.load(PortWord.Size) >>> 0);
    writeLittleEndian(config, ConfigField.MaxPorts, 4, ports.length);
    return readLittleEndian(config, offset, size);
  }

  /** `emerg_wr` works before negotiation and after any failure (5.3.5.1); the rest is read-only. */
  writeConfig(offset: number, _size: ConfigAccessSize, value: number): void {
    if (offset !== ConfigField.EmergencyWrite) return;
    this.emergencyByte[0] = value % 256;
    if (this.state.emergency.write(this.emergencyByte) === 0) this.state.countEmergencyLost();
    this.tellOutput(this.ports[0]!);
  }

  /** Without MULTIPORT nobody says that port 0 is open: it is. */
  driverOk(): void {
    if (this.context.hasFeature(ConsoleFeature.Multiport)) return;
    if (this.ports[0]!.setOdd(PortWord.GuestConnection, true)) this.doorbell?.ring();
  }

  reset(): void {
    this.state.ready = false;
    let closed = false;
    for (const port of this.ports) {
      port.forget();
      port.store(PortWord.OutputSent, 0);
      closed = port.setOdd(PortWord.GuestConnection, false) || closed;
    }
    if (closed) this.doorbell?.ring();
  }

  queueReset(index: number): void {
    const port = portOfQueue(index);
    if (index === transmitQueue(port)) this.ports[port]?.store(PortWord.OutputSent, 0);
  }

  process(queue: VirtQueue): void {
    const { index } = queue;
    // Without MULTIPORT there are only the queues of port 0 (5.3.2).
    if (index >= CONTROL_RECEIVE && !this.context.hasFeature(ConsoleFeature.Multiport)) return;
    if (index === CONTROL_RECEIVE) this.sendControl(queue);
    else if (index === CONTROL_TRANSMIT) this.takeControl(queue);
    else if (index % 2 === 0) this.input(queue, this.ports[portOfQueue(index)]!);
    else this.output(queue, this.ports[portOfQueue(index)]!);
  }

  /** Host to guest: fills buffers as long as there are bytes and the guest has the port open. */
  private input(queue: VirtQueue, port: PortState): void {
    const { chain } = this;
    while (port.isOdd(PortWord.GuestConnection) && port.input.length > 0 && queue.pop(chain)) {
      queue.push(chain.token, port.input.drainTo(chain.writable));
    }
    const roomy = port.input.length <= port.input.capacity / 2;
    if (roomy && port.exchange(PortWord.InputBlocked, 0) !== 0) this.doorbell?.ring();
  }

  /** Guest to host: what finds no room stays in the queue, and the host asks for the rest. */
  private output(queue: VirtQueue, port: PortState): void {
    const { chain } = this;
    let sent = port.load(PortWord.OutputSent) >>> 0;
    let moved = 0;
    while (queue.pop(chain)) {
      const { readable } = chain;
      // The driver may have changed the chain since: then this is as much as it has, or less.
      sent = readable.skip(sent);
      const before = readable.length;
      const blocked = this.moveOutput(port, readable, TURN_BYTES - moved);
      moved += before - readable.length;
      sent = blocked ? sent + before - readable.length : 0;
      port.store(PortWord.OutputSent, sent);
      if (blocked) {
        queue.unpop(chain);
        if (moved >= TURN_BYTES) this.context.processLater(queue.index, 0);
        break;
      }
      port.add(PortWord.OutputLost, readable.skip(readable.length));
      queue.push(chain.token, 0);
    }
    if (moved > 0) this.tellOutput(port);
  }

  private hostListens(port: PortState): boolean {
    return port.isOdd(PortWord.HostConnection) && !port.isOdd(PortWord.Unplugged);
  }

  /**
   * Moves up to `limit` bytes, as long as the host listens. True when it does and there are more,
   * because of the limit or because it has no room; it makes known by a kick when it has.
   */
  private moveOutput(port: PortState, readable: ReadableSegments, limit: number): boolean {
    let left = limit;
    while (this.hostListens(port)) {
      left -= port.output.fillFrom(readable, Math.min(readable.length, left));
      if (readable.length === 0) return false;
      if (left <= 0) return true;
      port.store(PortWord.OutputBlocked, 1);
      // The host may have made room before it could see that.
      if (port.output.space === 0) return true;
      port.store(PortWord.OutputBlocked, 0);
    }
    return false;
  }

  private tellOutput(port: PortState): void {
    if (port.exchange(PortWord.OutputRung, 1) === 0) this.doorbell?.ring();
  }

  /** Tells the driver what it does not know yet, as far as it has buffers. */
  private sendControl(queue: VirtQueue): void {
    const { chain, messages } = this;
    while (messages.peek() && queue.pop(chain)) {
      if (chain.writable.length < messages.length) {
        const { length } = chain.writable;
        this.context.log.warn('console-control', `console: a control buffer of ${length} bytes`);
        queue.push(chain.token, 0);
        continue;
      }
      const { length } = messages;
      messages.commit();
      queue.push(chain.token, chain.writable.write(messages.bytes, 0, length));
      this.closeRemoved();
    }
  }

  /** A port that has been removed is not open any more. */
  private closeRemoved(): void {
    for (const port of this.ports) {
      if (port.load(PortWord.Added) !== 0) continue;
      if (port.setOdd(PortWord.GuestConnection, false)) this.doorbell?.ring();
    }
  }

  /** Hears what the driver has to say. */
  private takeControl(queue: VirtQueue): void {
    const { chain, control } = this;
    let heard = false;
    while (queue.pop(chain)) {
      const length = chain.readable.read(control);
      if (length === CONTROL_BYTES) {
        this.hear(
          readLittleEndian(control, 0, 4),
          readLittleEndian(control, 4, 2),
          readLittleEndian(control, 6, 2),
        );
        heard = true;
      } else {
        this.context.log.warn('console-short', `console: a control message of ${length} bytes`);
      }
      queue.push(chain.token, 0);
    }
    if (heard) this.context.processLater(CONTROL_RECEIVE, 0);
  }

  private hear(id: number, event: number, value: number): void {
    const { log } = this.context;
    if (event === ControlEvent.DeviceReady) {
      this.state.ready = value !== 0;
      if (value === 0) log.warn('console-device', 'console: the guest could not set it up');
      return;
    }
    const port = this.ports[id];
    if (port === undefined || port.load(PortWord.Added) === 0) {
      log.warn('console-port', `console: a message for port ${id}, which is not there`);
    } else if (event === ControlEvent.PortReady) {
      this.portReady(id, port, value !== 0);
    } else if (event === ControlEvent.PortOpen) {
      if (port.setOdd(PortWord.GuestConnection, value !== 0)) this.doorbell?.ring();
      if (value !== 0) this.context.processLater(receiveQueue(id), 0);
    } else {
      log.warn('console-event', `console: an unknown event ${event} from the driver`);
    }
  }

  /** The driver hears about the port's kind, name, size and connection now. */
  private portReady(id: number, port: PortState, success: boolean): void {
    if (!success) {
      this.context.log.warn('console-ready', `console: the guest could not set up port ${id}`);
      port.store(PortWord.Ready, 0);
      return;
    }
    const isConsole = this.shape.ports[id]!.isConsole === true;
    let requests = 0;
    if (isConsole) requests |= PortRequest.Console;
    if (this.names[id]!.length > 0) requests |= PortRequest.Name;
    if (isConsole && port.load(PortWord.Size) !== 0) requests |= PortRequest.Resize;
    port.store(PortWord.Announced, 0);
    port.request(requests);
    port.store(PortWord.Ready, 1);
  }
}
