/**
 * Multiple APIC description table: processors, I/O APIC, interrupt routing.
 *
 * ACPI 6.5, section 5.2.12.
 */
import * as layout from '../../memory/layout.js';
import { concat, littleEndian } from './aml.js';
import { makeTable, type Table } from './table.js';

/** Of ACPI 6.3. */
const REVISION = 5;
/** There are two 8259s as well. */
const PCAT_COMPAT = 1;
const ENABLED = 1;
const ALL_PROCESSORS = 0xff;
const ALL_X2APIC_PROCESSORS = 0xffff_ffff;
/** 255 is the broadcast id of the xAPIC. */
const X2APIC_FIRST_ID = 255;

const ISA_BUS = 0;
/** MPS INTI flags (table 5.50). */
const CONFORMS = 0;
const ACTIVE_HIGH_LEVEL = 0x000d;

const NMI_LINT = 1;

/** ACPI processor UIDs are the processors' indexes. */
function processor(apicId: number, uid: number): number[] {
  if (apicId < X2APIC_FIRST_ID) return [0, 8, uid, apicId, ...littleEndian(ENABLED, 4)];
  return [
    ...[9, 16, 0, 0],
    ...littleEndian(apicId, 4),
    ...littleEndian(ENABLED, 4),
    ...littleEndian(uid, 4),
  ];
}

function ioApic(id: number): number[] {
  return [1, 12, id, 0, ...littleEndian(layout.IO_APIC_ADDRESS, 4), ...littleEndian(0, 4)];
}

function sourceOverride(irq: number, gsi: number, flags: number): number[] {
  return [2, 10, ISA_BUS, irq, ...littleEndian(gsi, 4), ...littleEndian(flags, 2)];
}

function localNmi(): number[] {
  return [4, 6, ALL_PROCESSORS, ...littleEndian(CONFORMS, 2), NMI_LINT];
}

function localX2ApicNmi(): number[] {
  const uid = littleEndian(ALL_X2APIC_PROCESSORS, 4);
  return [0x0a, 12, ...littleEndian(CONFORMS, 2), ...uid, NMI_LINT, 0, 0, 0];
}

/** Builds the MADT for processors with these local APIC ids. */
export function makeMadt(apicIds: readonly number[], ioApicId: number): Table {
  const large = apicIds.some((id) => id >= X2APIC_FIRST_ID);
  const body = concat(
    littleEndian(layout.LOCAL_APIC_ADDRESS, 4),
    littleEndian(PCAT_COMPAT, 4),
    ...apicIds.map(processor),
    ioApic(ioApicId),
    // The timer of the ISA bus is on pin 2, where the 8259s would be.
    sourceOverride(0, 2, CONFORMS),
    sourceOverride(layout.ACPI_SCI_IRQ, layout.ACPI_SCI_IRQ, ACTIVE_HIGH_LEVEL),
    localNmi(),
    large ? localX2ApicNmi() : [],
  );
  return makeTable('APIC', REVISION, body);
}
