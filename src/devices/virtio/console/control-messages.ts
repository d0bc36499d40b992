/**
 * The messages of the control receive queue (virtio 1.2, 5.3.6.2).
 *
 * There is no list of messages that could grow: what a driver has not been told yet follows from
 * what it has been told and how things are now, so a port is owed at most a handful. A port is
 * announced only when it has not been, and removed only when it has (T-2).
 */
import { writeLittleEndian } from '../device.js';
import { CONTROL_BYTES, ControlEvent, RESIZE_BYTES } from './console-protocol.js';
import { PortRequest, PortWord, type ConsoleState, type PortState } from './console-state.js';

const REQUESTS = [
  [PortRequest.Console, ControlEvent.ConsolePort],
  [PortRequest.Name, ControlEvent.PortName],
  [PortRequest.Resize, ControlEvent.Resize],
] as const;

/** Longest message: a name follows the header. */
export const NAME_LIMIT = 255;

/** Finds out which message is next, and writes it. */
export class ControlMessages {
  /** The message that {@link commit} has made. */
  readonly bytes = new Uint8Array(CONTROL_BYTES + NAME_LIMIT);
  private port = 0;
  private event = ControlEvent.DeviceAdd;

  /** @param names UTF-8, one for each port, empty for none */
  constructor(
    private readonly state: ConsoleState,
    private readonly ports: readonly PortState[],
    private readonly names: readonly Uint8Array[],
  ) {}

  /** True when there is a message for the driver; {@link length} is its size. */
  peek(): boolean {
    if (!this.state.ready) return false;
    for (let i = 0; i < this.ports.length; i++) {
      const event = this.next(this.ports[i]!);
      if (event === undefined) continue;
      this.port = i;
      this.event = event;
      return true;
    }
    return false;
  }

  /** Bytes of the message that {@link peek} has found. */
  get length(): number {
    switch (this.event) {
      case ControlEvent.PortName:
        return CONTROL_BYTES + this.names[this.port]!.length;
      case ControlEvent.Resize:
        return CONTROL_BYTES + RESIZE_BYTES;
      default:
        return CONTROL_BYTES;
    }
  }

  private next(port: PortState): ControlEvent | undefined {
    const unplugged = port.load(PortWord.Unplugged);
    if (port.load(PortWord.Added) === 0) {
      return (unplugged & 1) === 0 ? ControlEvent.DeviceAdd : undefined;
    }
    if (unplugged !== port.load(PortWord.AddedAt)) return ControlEvent.DeviceRemove;
    if (port.load(PortWord.Ready) === 0) return undefined;
    const requests = port.load(PortWord.Requests);
    for (const [bit, event] of REQUESTS) if ((requests & bit) !== 0) return event;
    const told = port.load(PortWord.Announced);
    const connection = port.load(PortWord.HostConnection);
    const news = (told & 1) === 1 ? connection !== told : (connection & 1) === 1;
    return news ? ControlEvent.PortOpen : undefined;
  }

  /** Makes the message that {@link peek} has found, which is not due any more then. */
  commit(): void {
    const { bytes, event } = this;
    writeLittleEndian(bytes, 0, 4, this.port);
    writeLittleEndian(bytes, 4, 2, event);
    writeLittleEndian(bytes, 6, 2, this.value(this.ports[this.port]!));
  }

  /** The value of the message. What follows is taken from the port after the request is. */
  private value(port: PortState): number {
    switch (this.event) {
      case ControlEvent.DeviceAdd:
        port.store(PortWord.AddedAt, port.load(PortWord.Unplugged) & ~1);
        port.store(PortWord.Added, 1);
        return 0;
      case ControlEvent.DeviceRemove:
        port.forget();
        return 0;
      case ControlEvent.ConsolePort:
        port.takeRequest(PortRequest.Console);
        return 1;
      case ControlEvent.PortName:
        port.takeRequest(PortRequest.Name);
        this.bytes.set(this.names[this.port]!, CONTROL_BYTES);
        return 1;
      case ControlEvent.Resize:
        port.takeRequest(PortRequest.Resize);
        writeLittleEndian(this.bytes, CONTROL_BYTES, 4, port.load(PortWord.Size) >>> 0);
        return 0;
      default:
        return this.announce(port);
    }
  }

  /** A connection that has been another in between is closed first. */
  private announce(port: PortState): number {
    const connection = port.load(PortWord.HostConnection);
    const close = port.isOdd(PortWord.Announced) || (connection & 1) === 0;
    port.store(PortWord.Announced, close ? 0 : connection);
    return close ? 0 : 1;
  }
}
