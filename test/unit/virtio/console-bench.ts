/** A console with a driver that knows its messages, and the host's side of its ports. */
import { ConsoleDevice, type ConsoleOptions } from '../../../src/devices/virtio/console/console.js';
import {
  openConsolePorts,
  type ConsolePortHost,
} from '../../../src/devices/virtio/console/console-host.js';
import {
  CONTROL_RECEIVE,
  CONTROL_TRANSMIT,
  ConsoleFeature,
  ControlEvent,
  receiveQueue,
  transmitQueue,
} from '../../../src/devices/virtio/console/console-protocol.js';
import type { VirtioRegisters } from '../../../src/devices/virtio/device-registers.js';
import { FakeDoorbell } from '../devices/harness.js';
import { FakeRam } from './fake-ram.js';
import { MmioBench, RING_BITS } from './mmio-bench.js';

export const MULTIPORT = [...RING_BITS, ConsoleFeature.Size, ConsoleFeature.Multiport];
export const SINGLE = [...RING_BITS, ConsoleFeature.Size];
export const PORTS = [{ isConsole: true }, { name: 'org.vexit.agent' }, { name: 'third' }];
const CONTROL_ROOM = 0x60000;
const CONTROL_DATA = 0x6f000;
const DATA = 0x70000;
const DATA_BYTES = 0x10000;
const ROOM = 0x80000;
export const RING = 1024;

export interface Message {
  id: number;
  event: number;
  value: number;
  rest: number[];
}

export class ConsoleBench extends MmioBench<ConsoleDevice> {
  readonly hosts: readonly ConsolePortHost[];
  readonly later: number[];
  readonly doorbell: FakeDoorbell;
  private dataAt = 0;

  constructor(options: Partial<ConsoleOptions> = {}, ram = new FakeRam(), regs?: VirtioRegisters) {
    const later: number[] = [];
    const doorbell = new FakeDoorbell();
    const shape = { ports: PORTS, ringBytes: RING, doorbell, ...options };
    const processLater = (index: number): void => void later.push(index);
    super(new ConsoleDevice(shape), { processLater }, ram, regs);
    this.later = later;
    this.doorbell = doorbell;
    this.hosts = openConsolePorts(this.core, shape);
  }

  /** Serves what was put off, as an I/O worker does. */
  settle(): this {
    for (let turns = 0; this.later.length > 0 && turns < 1000; turns++) {
      const index = this.later.shift()!;
      for (let i = 0; i < 1000 && this.core.serve(index);) i++;
    }
    return this;
  }

  /** Offers buffers for control messages. */
  offerControl(count = 16, length = 64): this {
    const ring = this.rings[CONTROL_RECEIVE]!;
    for (let i = 0; i < count; i++) {
      ring.send({ address: CONTROL_ROOM + 0x100 * i, length, writable: true });
    }
    this.notify(CONTROL_RECEIVE);
    return this;
  }

  /** Sends a control message. */
  say(id: number, event: number, value: number): this {
    this.ram.set(CONTROL_DATA, 4, id);
    this.ram.set(CONTROL_DATA + 4, 2, event);
    this.ram.set(CONTROL_DATA + 6, 2, value);
    this.rings[CONTROL_TRANSMIT]!.send({ address: CONTROL_DATA, length: 8 });
    this.notify(CONTROL_TRANSMIT);
    return this.settle();
  }

  /** The control messages since the last call, with their buffers offered again. */
  heard(): Message[] {
    const ring = this.rings[CONTROL_RECEIVE]!;
    const messages = ring.take().map(({ id, length }) => {
      const at = this.ram.get(ring.place.descriptors + 16 * id, 4);
      return {
        id: this.ram.get(at, 4),
        event: this.ram.get(at + 4, 2),
        value: this.ram.get(at + 6, 2),
        rest: [...this.ram.read(at + 8, Math.max(length - 8, 0))],
      };
    });
    this.offerControl(messages.length);
    return messages;
  }

  /** All that Linux does until its ports are open. */
  boot(): this {
    this.start(MULTIPORT).offerControl();
    this.say(0xffff_ffff, ControlEvent.DeviceReady, 1);
    for (const { id } of this.heard()) {
      this.say(id, ControlEvent.PortReady, 1);
      this.say(id, ControlEvent.PortOpen, 1);
    }
    this.heard();
    return this;
  }

  /** The guest writes to a port. */
  print(port: number, bytes: ArrayLike<number>, pieces = 1): this {
    if (this.dataAt + bytes.length > DATA_BYTES) this.dataAt = 0;
    const start = DATA + this.dataAt;
    this.dataAt += bytes.length;
    this.ram.write(start, bytes);
    const step = Math.ceil(bytes.length / pieces);
    const buffers = Array.from({ length: pieces }, (_, i) => ({
      address: start + i * step,
      length: Math.max(0, Math.min(step, bytes.length - i * step)),
    }));
    this.rings[transmitQueue(port)]!.send(...buffers);
    this.notify(transmitQueue(port));
    return this;
  }

  /** The guest gives a port buffers for input. */
  listen(port: number, count = 1, length = 64): this {
    const ring = this.rings[receiveQueue(port)]!;
    for (let i = 0; i < count; i++) {
      ring.send({ address: ROOM + length * (ring.availableIndex % 128), length, writable: true });
    }
    this.notify(receiveQueue(port));
    return this;
  }

  /** Input of a port since the last call. */
  typed(port: number): number[] {
    const ring = this.rings[receiveQueue(port)]!;
    return ring.take().flatMap(({ id, length }) => {
      const at = this.ram.get(ring.place.descriptors + 16 * id, 4);
      return [...this.ram.read(at, length)];
    });
  }

  /** Chains of a port's output that have come back. */
  printed(port: number): number {
    return this.rings[transmitQueue(port)]!.take().length;
  }
}

/** Bytes that tell where they belong. */
export function pattern(length: number, first = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => ((first + i) * 7 + ((first + i) >> 8)) & 0xff);
}
