/** The two buses: ports through a flat table, memory through a sorted list. */
import type { AccessSize, BusDevice } from './device.js';

/** A range of the bus and the device that answers there. */
interface Mapping {
  readonly base: number;
  readonly length: number;
  readonly device: BusDevice;
  /** Widest access the device takes in one piece. */
  readonly width: AccessSize;
}

/** Reads of nobody's addresses float high, as on ISA and PCI. */
function floating(size: number): number {
  return size === 4 ? 0xffff_ffff : 2 ** (8 * size) - 1;
}

function overlap(a: Mapping, base: number, length: number): boolean {
  return base < a.base + a.length && a.base < base + length;
}

function readPieces(mapping: Mapping, offset: number, size: number): number {
  let value = 0;
  for (let done = 0; done < size;) {
    const step = piece(mapping, offset + done, size - done);
    value += mapping.device.read(offset + done, step) * 2 ** (8 * done);
    done += step;
  }
  return value;
}

function writePieces(mapping: Mapping, offset: number, size: number, value: number): void {
  for (let done = 0; done < size;) {
    const step = piece(mapping, offset + done, size - done);
    const part = Math.floor(value / 2 ** (8 * done)) % 2 ** (8 * step);
    mapping.device.write(offset + done, step, part);
    done += step;
  }
}

/** The largest naturally aligned access the device takes at this offset. */
function piece(mapping: Mapping, offset: number, left: number): AccessSize {
  for (const size of [4, 2] as const) {
    if (size <= mapping.width && size <= left && offset % size === 0) return size;
  }
  return 1;
}

abstract class Bus {
  protected readonly mappings: Mapping[] = [];

  /**
   * Puts a device at [base, base + length).
   * @param width widest access it takes; wider ones arrive in pieces, lowest address first
   * @throws RangeError when the range is taken
   */
  add(base: number, length: number, device: BusDevice, width: AccessSize): void {
    const other = this.mappings.find((mapping) => overlap(mapping, base, length));
    if (other !== undefined) {
      throw new RangeError(
        `bus range 0x${base.toString(16)} (+${length}) overlaps 0x${other.base.toString(16)}`,
      );
    }
    this.insert({ base, length, device, width });
  }

  protected abstract insert(mapping: Mapping): void;
  protected abstract find(address: number): Mapping | undefined;

  /** Reads 1, 2 or 4 bytes; nobody's addresses read as all ones. */
  read(address: number, size: AccessSize): number {
    const mapping = this.find(address);
    if (mapping === undefined) return floating(size);
    const offset = address - mapping.base;
    if (offset + size > mapping.length) return this.readAcross(address, size);
    if (size <= mapping.width && offset % size === 0) return mapping.device.read(offset, size);
    return readPieces(mapping, offset, size);
  }

  /** Writes 1, 2 or 4 bytes; nobody's addresses swallow them. */
  write(address: number, size: AccessSize, value: number): void {
    const mapping = this.find(address);
    if (mapping === undefined) return;
    const offset = address - mapping.base;
    if (offset + size > mapping.length) {
      this.writeAcross(address, size, value);
    } else if (size <= mapping.width && offset % size === 0) {
      mapping.device.write(offset, size, value);
    } else {
      writePieces(mapping, offset, size, value);
    }
  }

  private readAcross(address: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.read(address + i, 1) * 2 ** (8 * i);
    return value;
  }

  private writeAcross(address: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      this.write(address + i, 1, Math.floor(value / 2 ** (8 * i)) % 256);
    }
  }
}

/** The 64 Ki I/O ports, found through a table with one entry a port. */
export class PortBus extends Bus {
  private readonly table = new Uint8Array(0x10000);

  protected override insert(mapping: Mapping): void {
    if (mapping.base + mapping.length > 0x10000) throw new RangeError('port range beyond 0xffff');
    if (this.mappings.length === 254) throw new RangeError('too many devices on the port bus');
    this.mappings.push(mapping);
    this.table.fill(this.mappings.length, mapping.base, mapping.base + mapping.length);
  }

  protected override find(port: number): Mapping | undefined {
    const index = this.table[port]!;
    return index === 0 ? undefined : this.mappings[index - 1];
  }
}

/** Memory-mapped devices, found by binary search. */
export class MemoryBus extends Bus {
  protected override insert(mapping: Mapping): void {
    const at = this.mappings.findIndex((other) => other.base > mapping.base);
    this.mappings.splice(at === -1 ? this.mappings.length : at, 0, mapping);
  }

  protected override find(address: number): Mapping | undefined {
    let low = 0;
    let high = this.mappings.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const mapping = this.mappings[middle]!;
      if (address < mapping.base) high = middle;
      else if (address >= mapping.base + mapping.length) low = middle + 1;
      else return mapping;
    }
    return undefined;
  }
}
