/**
 * Intel MultiProcessor specification 1.4: floating pointer and configuration table.
 *
 * For guests without ACPI. The pointer is where both scans find it, in the first KiB of the EBDA
 * and in the BIOS area; the table is in the BIOS area, because the EBDA has no room for it.
 */
import * as layout from '../memory/layout.js';

/** Where the table is written to; GuestMemory is one. */
export interface MpTableMemory {
  write(address: number, bytes: Uint8Array): void;
}

/** The machine that the table describes. */
export interface MpConfig {
  /** Local APIC ids, the boot processor first; each below 255. */
  readonly cpus: readonly number[];
  readonly ioapicId: number;
  /** GSIs above the ISA lines that devices use: edge triggered, active high. */
  readonly gsis?: readonly number[];
  /** CPUID.1:EAX and EDX of the processors. */
  readonly signature?: number;
  readonly features?: number;
}

const SPECIFICATION_1_4 = 4;
const POINTER_SIZE = 16;
const HEADER_SIZE = 44;
const LOCAL_APIC_VERSION = 0x14;
const IO_APIC_VERSION = 0x11;
const CPU_ENABLED = 1;
const CPU_BOOT = 2;
/** Family 6, and FPU and APIC, when nothing better is known. */
const DEFAULT_SIGNATURE = 0x600;
const DEFAULT_FEATURES = 0x201;
const IO_APIC_ENABLED = 1;
const ISA_BUS_ID = 0;
const ISA_IRQS = 16;
const CASCADE_IRQ = 2;
const TIMER_PIN = 2;
const ALL_LOCAL_APICS = 0xff;
const APIC_ID_MAX = 254;

/** The EBDA begins with its size in KiB; the pointer is in the next paragraph. */
const EBDA_KIB = 1;
const EBDA_POINTER = layout.EBDA_START + 16;

/** Real-mode segment of the EBDA and KiB of conventional memory, in the BIOS data area. */
const BDA_EBDA_SEGMENT = 0x40e;
const BDA_MEMORY_KIB = 0x413;

const enum Entry {
  Processor,
  Bus,
  IoApic,
  IoInterrupt,
  LocalInterrupt,
}

const enum InterruptType {
  Int,
  Nmi,
  Smi,
  ExtInt,
}

const u16 = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff];
const u32 = (value: number): number[] => [...u16(value), ...u16(value >>> 16)];
const text = (value: string, length: number): number[] =>
  Array.from(value.padEnd(length), (character) => character.charCodeAt(0));

function interrupt(
  entry: Entry,
  type: InterruptType,
  irq: number,
  apic: number,
  pin: number,
): number[] {
  const conforming = 0;
  return [entry, type, ...u16(conforming), ISA_BUS_ID, irq, apic, pin];
}

function entries(config: MpConfig): number[][] {
  const { cpus, ioapicId, gsis = [] } = config;
  const { signature = DEFAULT_SIGNATURE, features = DEFAULT_FEATURES } = config;
  const isa = Array.from({ length: ISA_IRQS }, (_, irq) => irq).filter(
    (irq) => irq !== CASCADE_IRQ,
  );
  return [
    ...cpus.map((id, index) => [
      ...[Entry.Processor, id, LOCAL_APIC_VERSION, CPU_ENABLED | (index === 0 ? CPU_BOOT : 0)],
      ...u32(signature),
      ...u32(features),
      ...u32(0),
      ...u32(0),
    ]),
    [Entry.Bus, ISA_BUS_ID, ...text('ISA', 6)],
    [Entry.IoApic, ioapicId, IO_APIC_VERSION, IO_APIC_ENABLED, ...u32(layout.IO_APIC_ADDRESS)],
    ...isa.map((irq) => {
      const pin = irq === 0 ? TIMER_PIN : irq;
      return interrupt(Entry.IoInterrupt, InterruptType.Int, irq, ioapicId, pin);
    }),
    ...gsis
      .filter((gsi) => gsi >= ISA_IRQS)
      .map((gsi) => interrupt(Entry.IoInterrupt, InterruptType.Int, gsi, ioapicId, gsi)),
    interrupt(Entry.LocalInterrupt, InterruptType.ExtInt, 0, cpus[0]!, 0),
    interrupt(Entry.LocalInterrupt, InterruptType.Nmi, 0, ALL_LOCAL_APICS, 1),
  ];
}

/** Sets the byte at `at` so that all bytes sum to 0. */
function seal(bytes: Uint8Array, at: number): void {
  bytes[at] = 0;
  bytes[at] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

function floatingPointer(table: number): Uint8Array {
  const [length, checksum, defaultConfiguration] = [POINTER_SIZE / 16, 0, 0];
  const bytes = Uint8Array.from([
    ...text('_MP_', 4),
    ...u32(table),
    ...[length, SPECIFICATION_1_4, checksum, defaultConfiguration],
    // IMCRP 0: the 8259s are in virtual wire mode.
    ...u32(0),
  ]);
  seal(bytes, 10);
  return bytes;
}

function configurationTable(config: MpConfig): Uint8Array {
  const list = entries(config);
  const body = list.flat();
  const bytes = Uint8Array.from([
    ...text('PCMP', 4),
    ...u16(HEADER_SIZE + body.length),
    ...[SPECIFICATION_1_4, 0],
    ...text('VEXIT', 8),
    ...text('VEXITVM', 12),
    ...u32(0),
    ...u16(0),
    ...u16(list.length),
    ...u32(layout.LOCAL_APIC_ADDRESS),
    ...u32(0),
    ...body,
  ]);
  seal(bytes, 7);
  return bytes;
}

/**
 * Writes both pointers, the table, and the BIOS data words that lead to the EBDA.
 * @throws RangeError for local APIC ids that an MP table cannot name, or a table that is too long
 */
export function writeMpTable(memory: MpTableMemory, config: MpConfig): { pointer: number } {
  const ids = [...config.cpus, config.ioapicId];
  if (config.cpus.length === 0 || ids.some((id) => !(id >= 0 && id <= APIC_ID_MAX))) {
    throw new RangeError(`an MP table names APIC ids from 0 to ${APIC_ID_MAX}`);
  }
  const table = configurationTable(config);
  const tableAddress = layout.MP_TABLE_ADDRESS + POINTER_SIZE;
  if (tableAddress + table.length > layout.MP_TABLE_END) {
    throw new RangeError('the MP table does not fit the BIOS area');
  }
  const pointer = floatingPointer(tableAddress);
  memory.write(tableAddress, table);
  memory.write(layout.MP_TABLE_ADDRESS, pointer);
  memory.write(layout.EBDA_START, Uint8Array.of(EBDA_KIB));
  memory.write(EBDA_POINTER, pointer);
  memory.write(BDA_EBDA_SEGMENT, Uint8Array.from(u16(layout.EBDA_START / 16)));
  memory.write(BDA_MEMORY_KIB, Uint8Array.from(u16(layout.EBDA_START / 1024)));
  return { pointer: EBDA_POINTER };
}
