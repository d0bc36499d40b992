/** What a console device is made from; plain data, the same in every thread. */
import { NAME_LIMIT } from './control-messages.js';

/** One port of the device. */
export interface ConsolePortOptions {
  /** What the guest finds it by: `/dev/virtio-ports/<name>`; none for a console usually. */
  readonly name?: string;
  /** True makes it a terminal of the guest (hvc). */
  readonly isConsole?: boolean;
}

/** The ports of a device and the size of their buffers. */
export interface ConsoleShape {
  /** Port 0 first, which drivers without MULTIPORT use as their console. */
  readonly ports: readonly ConsolePortOptions[];
  /** Bytes that each port can hold in each direction, a power of two; 64 KiB. */
  readonly ringBytes?: number;
}

/** The most ports a device can have. */
export const MAX_PORTS = 31;
const DEFAULT_RING_BYTES = 65536;

/** The size of a shape's rings. */
export function ringBytesOf(shape: ConsoleShape): number {
  return shape.ringBytes ?? DEFAULT_RING_BYTES;
}

/**
 * Names of the ports as the guest gets them.
 * @throws RangeError when a shape makes no sense
 */
export function checkShape(shape: ConsoleShape): Uint8Array[] {
  const { ports } = shape;
  if (!(ports.length >= 1 && ports.length <= MAX_PORTS)) {
    throw new RangeError(`a console has 1 to ${MAX_PORTS} ports, not ${ports.length}`);
  }
  const ringBytes = ringBytesOf(shape);
  if (!(ringBytes >= 256 && ringBytes <= 2 ** 24) || !Number.isInteger(Math.log2(ringBytes))) {
    throw new RangeError(`a ring of ${ringBytes} bytes is not a power of two from 256 to 2^24`);
  }
  const names = ports.map(({ name }) => name ?? '');
  const given = names.filter((name) => name !== '');
  if (new Set(given).size !== given.length) throw new RangeError('two ports have the same name');
  return names.map((name) => {
    const bytes = new TextEncoder().encode(name);
    if (bytes.length > NAME_LIMIT || bytes.includes(0)) {
      throw new RangeError(`a port's name is up to ${NAME_LIMIT} bytes without NUL`);
    }
    return bytes;
  });
}
