/**
 * The host's side of a console port, for the thread that owns the terminal or the socket.
 *
 * It shares the device's state with the guest's side (console.ts) and never touches guest memory:
 * bytes are in the port's rings, and what the guest's side has to do is asked for by a kick of the
 * queue. Methods are named as those of a serial port's host side, so both fit the same streams.
 */
import type { VirtioDeviceCore } from '../virtio-device-core.js';
import { checkShape, ringBytesOf, type ConsoleShape } from './console-options.js';
import { CONTROL_RECEIVE, receiveQueue, transmitQueue } from './console-protocol.js';
import { ConsoleState, PortRequest, PortState, PortWord } from './console-state.js';

/** What the host's side needs of the device core of its thread. */
export type ConsoleCore = Pick<
  VirtioDeviceCore,
  'state' | 'kick' | 'lock' | 'unlock' | 'configChanged'
>;

/**
 * Opens the host's side of all ports. The device's doorbell means: look at each of them.
 * @throws RangeError when the ports make no sense
 */
export function openConsolePorts(core: ConsoleCore, shape: ConsoleShape): ConsolePortHost[] {
  checkShape(shape);
  return shape.ports.map((_, i) => new ConsolePortHost(core, shape, i));
}

/** One port. All methods are called by the same thread. */
export class ConsolePortHost {
  private readonly port: PortState;
  private readonly state: ConsoleState;

  /** @param index the port's number */
  constructor(
    private readonly core: ConsoleCore,
    private readonly shape: ConsoleShape,
    readonly index: number,
  ) {
    this.port = new PortState(core.state, index, ringBytesOf(shape));
    this.state = new ConsoleState(core.state);
  }

  /** What the guest finds the port by. */
  get name(): string {
    return this.shape.ports[this.index]!.name ?? '';
  }

  /**
   * Moves guest output into `target` and returns how many bytes. After a doorbell, call it until it
   * returns less than `target.length`. A guest that waits for room goes on.
   */
  drain(target: Uint8Array): number {
    const { port } = this;
    // Before looking: whatever comes from here on rings again.
    port.store(PortWord.OutputRung, 0);
    let count = port.output.read(target);
    if (this.index === 0 && count < target.length) {
      count += this.state.emergency.read(target.subarray(count));
    }
    this.unblockOutput();
    return count;
  }

  /** All output so far, as bytes of the caller's own; see {@link drain}. */
  take(): Uint8Array<ArrayBuffer> {
    this.port.store(PortWord.OutputRung, 0);
    const bytes = new Uint8Array(this.pending);
    this.drain(bytes);
    return bytes;
  }

  private unblockOutput(): void {
    const { port } = this;
    if (port.output.length > port.output.capacity / 2) return;
    if (port.exchange(PortWord.OutputBlocked, 0) !== 0) this.core.kick(transmitQueue(this.index));
  }

  /** Bytes of output that wait to be drained. */
  get pending(): number {
    const emergency = this.index === 0 ? this.state.emergency.length : 0;
    return this.port.output.length + emergency;
  }

  /** Bytes written while the host had the port closed, and emergency output beyond its ring. */
  get lostBytes(): number {
    const emergency = this.index === 0 ? this.state.emergencyLost : 0;
    return (this.port.load(PortWord.OutputLost) >>> 0) + emergency;
  }

  /**
   * Queues input for the guest and returns how many of the bytes fitted. It waits there until the
   * guest has the port open and has buffers. When not all fitted, the doorbell rings when half of
   * the ring is free again.
   */
  receive(bytes: Uint8Array): number {
    const { input } = this.port;
    let count = input.write(bytes);
    if (count < bytes.length) {
      this.port.store(PortWord.InputBlocked, 1);
      // The device may have made room before it could see that.
      count += input.write(bytes.subarray(count));
      if (count === bytes.length) this.port.store(PortWord.InputBlocked, 0);
    }
    // The device goes on while it sees bytes; it may have stopped when it has taken all before.
    if (count > 0 && input.length <= count) this.core.kick(receiveQueue(this.index));
    return count;
  }

  /** How many bytes {@link receive} would take now. */
  receiveSpace(): number {
    return this.port.input.space;
  }

  /** The host has the port open: the guest is told, and may write. */
  open(): void {
    if (this.port.setOdd(PortWord.HostConnection, true)) this.core.kick(CONTROL_RECEIVE);
  }

  /**
   * The host has closed the port: the guest is told, and what it writes from now on is dropped, so
   * that it does not wait for nobody. Output in the ring can still be drained.
   */
  close(): void {
    if (!this.port.setOdd(PortWord.HostConnection, false)) return;
    this.core.kick(CONTROL_RECEIVE);
    this.core.kick(transmitQueue(this.index));
  }

  get isOpen(): boolean {
    return this.port.isOdd(PortWord.HostConnection);
  }

  /** The guest has the port open. Changes ring the doorbell. */
  get guestOpen(): boolean {
    return this.port.isOdd(PortWord.GuestConnection);
  }

  /** Counts each time the guest opens and closes the port, so that no change goes unseen. */
  get guestConnection(): number {
    return this.port.load(PortWord.GuestConnection) >>> 0;
  }

  /** The terminal has another size, in characters, each up to 65535; for consoles. */
  resize(cols: number, rows: number): void {
    const clamp = (value: number): number => Math.min(Math.max(Math.floor(value) || 0, 0), 0xffff);
    this.core.lock();
    this.port.store(PortWord.Size, clamp(rows) * 0x10000 + clamp(cols));
    // The configuration space has the size of port 0.
    if (this.index === 0) this.core.configChanged();
    this.core.unlock();
    if (this.shape.ports[this.index]!.isConsole !== true) return;
    this.port.request(PortRequest.Resize);
    this.core.kick(CONTROL_RECEIVE);
  }

  /** Takes the port away from the guest. @throws RangeError for port 0, which is always there */
  unplug(): void {
    if (this.index === 0) throw new RangeError('port 0 cannot be unplugged');
    if (!this.port.setOdd(PortWord.Unplugged, true)) return;
    this.core.kick(CONTROL_RECEIVE);
    this.core.kick(transmitQueue(this.index));
  }

  /** Gives the port back. */
  plug(): void {
    if (this.port.setOdd(PortWord.Unplugged, false)) this.core.kick(CONTROL_RECEIVE);
  }
}
