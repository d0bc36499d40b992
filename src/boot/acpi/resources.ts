/**
 * Resource descriptors for `_CRS`.
 *
 * ACPI 6.5, section 6.4: small descriptors (6.4.2) and large ones (6.4.3), and 6.4.3.5 for address
 * spaces, which PCI host bridges need.
 */
import { buffer, concat, littleEndian, type Aml } from './aml.js';

const IO_PORT = 0x47;
const END_TAG = 0x79;
const MEMORY_32_FIXED = 0x86;
const DWORD_ADDRESS_SPACE = 0x87;
const WORD_ADDRESS_SPACE = 0x88;
const EXTENDED_INTERRUPT = 0x89;
const QWORD_ADDRESS_SPACE = 0x8a;

const READ_WRITE = 1;
const CONSUMER = 0x01;
const EDGE = 0x02;
const DECODE_16 = 1;
const MIN_FIXED = 0x04;
const MAX_FIXED = 0x08;

/** How a device raises its interrupt. */
export type Trigger = 'edge' | 'level';

/** `IO (Decode16, base, base, 1, length)`. */
export function ioPorts(base: number, length: number): Aml {
  const address = littleEndian(base, 2);
  return Uint8Array.of(IO_PORT, DECODE_16, ...address, ...address, 1, length);
}

function large(tag: number, content: readonly number[]): Aml {
  return Uint8Array.of(tag, ...littleEndian(content.length, 2), ...content);
}

/** `Memory32Fixed (ReadWrite, base, length)`. */
export function memory32Fixed(base: number, length: number): Aml {
  return large(MEMORY_32_FIXED, [READ_WRITE, ...littleEndian(base, 4), ...littleEndian(length, 4)]);
}

/** `Interrupt (ResourceConsumer, trigger, ActiveHigh, Exclusive) {gsi}`. */
export function interrupt(gsi: number, trigger: Trigger): Aml {
  const flags = CONSUMER | (trigger === 'edge' ? EDGE : 0);
  return large(EXTENDED_INTERRUPT, [flags, 1, ...littleEndian(gsi, 4)]);
}

/** What an address space descriptor is about (6.4.3.5). */
export type AddressSpace = 'memory' | 'io' | 'bus';

const SPACES = { memory: 0, io: 1, bus: 2 } as const;
const WIDTHS = {
  2: WORD_ADDRESS_SPACE,
  4: DWORD_ADDRESS_SPACE,
  8: QWORD_ADDRESS_SPACE,
} as const;

/**
 * A range that a bridge passes on: `WordBusNumber`, `WordIO`, `DWordMemory` or `QWordMemory`, with
 * ResourceProducer, MinFixed, MaxFixed, PosDecode. Memory is read-write and not cacheable.
 * @param width bytes of each field
 */
export function addressSpace(
  space: AddressSpace,
  width: 2 | 4 | 8,
  base: number,
  length: number,
): Aml {
  // Type specific: _RW for memory, the entire range for I/O, nothing for bus numbers.
  const specific = { memory: READ_WRITE, io: 0x03, bus: 0 }[space];
  const fields = [0, base, base + length - 1, 0, length];
  return large(WIDTHS[width], [
    SPACES[space],
    MIN_FIXED | MAX_FIXED,
    specific,
    ...fields.flatMap((field) => littleEndian(field, width)),
  ]);
}

/** `ResourceTemplate () {...}`. */
export function resourceTemplate(...descriptors: readonly Aml[]): Aml {
  // A checksum of 0 says that there is none.
  return buffer(concat(...descriptors, [END_TAG, 0]));
}
