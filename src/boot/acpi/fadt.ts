/**
 * Fixed ACPI description table, and the firmware control structure it points to.
 *
 * ACPI 6.5, sections 5.2.9 (FADT) and 5.2.10 (FACS). The hardware is what acpi-pm.ts, reset.ts and
 * rtc.ts implement: PM1a, PM timer, no general-purpose events, no SMI, no hardware reduction.
 */
import * as layout from '../../memory/layout.js';
import { HEADER_SIZE, makeTable, putIoAddress, putText, type Table } from './table.js';

const REVISION = 6;
const SIZE = 276;
/** Also says that the structure is version 6.3. */
const MINOR_REVISION = 3;

const PM1_EVENT_BYTES = 4;
const PM1_CONTROL_BYTES = 2;
const PM_TIMER_BYTES = 4;
/** A latency that says: no C2 (above 100 us) or C3 (above 1000 us). */
const NO_C2 = 101;
const NO_C3 = 1001;
/** CMOS byte of the century. */
const CENTURY = 0x32;
/** Written to port 0xcf9: hard reset. */
const RESET_VALUE = 6;

/** Boot architecture flags (5.2.9.3). */
const LEGACY_DEVICES = 1 << 0;
const HAS_8042 = 1 << 1;
const VGA_NOT_PRESENT = 1 << 2;
const PCIE_ASPM_CONTROLS = 1 << 4;

/** Fixed feature flags (5.2.9); a power button without a flag is a fixed-hardware one. */
const WBINVD = 1 << 0;
const PROC_C1 = 1 << 2;
const NO_FIXED_SLEEP_BUTTON = 1 << 5;
const NO_FIXED_RTC_WAKE = 1 << 6;
const TIMER_32_BIT = 1 << 8;
const RESET_REGISTER = 1 << 10;

/** Access sizes of a generic address. */
const WORD = 2;
const DWORD = 3;
const BYTE = 1;

/** What the FADT says that depends on the machine. */
export interface FadtOptions {
  readonly facs: number;
  readonly dsdt: number;
  /**
   * Whether the guest should look for a keyboard controller. There is one, for resets, but nothing
   * is connected to it: without the flag Linux does not spend time on the search.
   */
  readonly keyboardController: boolean;
}

/** Builds the FADT. */
export function makeFadt(options: FadtOptions): Table {
  const body = new Uint8Array(SIZE - HEADER_SIZE);
  // Field offsets below are those of the specification, from the start of the table.
  const view = new DataView(new ArrayBuffer(SIZE));
  view.setUint32(36, options.facs, true);
  view.setUint32(40, options.dsdt, true);
  view.setUint16(46, layout.ACPI_SCI_IRQ, true);
  view.setUint32(56, layout.ACPI_PM1_EVENT_PORT, true);
  view.setUint32(64, layout.ACPI_PM1_CONTROL_PORT, true);
  view.setUint32(76, layout.ACPI_PM_TIMER_PORT, true);
  view.setUint8(88, PM1_EVENT_BYTES);
  view.setUint8(89, PM1_CONTROL_BYTES);
  view.setUint8(91, PM_TIMER_BYTES);
  view.setUint16(96, NO_C2, true);
  view.setUint16(98, NO_C3, true);
  view.setUint8(108, CENTURY);
  const keyboard = options.keyboardController ? HAS_8042 : 0;
  view.setUint16(109, LEGACY_DEVICES | keyboard | VGA_NOT_PRESENT | PCIE_ASPM_CONTROLS, true);
  const flags =
    WBINVD | PROC_C1 | NO_FIXED_SLEEP_BUTTON | NO_FIXED_RTC_WAKE | TIMER_32_BIT | RESET_REGISTER;
  view.setUint32(112, flags, true);
  putIoAddress(view, 116, layout.RESET_PORT, 1, BYTE);
  view.setUint8(128, RESET_VALUE);
  view.setUint8(131, MINOR_REVISION);
  // X_FIRMWARE_CTRL stays 0: FIRMWARE_CTRL has the address, and only one of them may.
  view.setBigUint64(140, BigInt(options.dsdt), true);
  putIoAddress(view, 148, layout.ACPI_PM1_EVENT_PORT, PM1_EVENT_BYTES, WORD);
  putIoAddress(view, 172, layout.ACPI_PM1_CONTROL_PORT, PM1_CONTROL_BYTES, WORD);
  putIoAddress(view, 208, layout.ACPI_PM_TIMER_PORT, PM_TIMER_BYTES, DWORD);
  body.set(new Uint8Array(view.buffer, HEADER_SIZE));
  return makeTable('FACP', REVISION, body);
}

/** Must be aligned to 64 bytes; it has no checksum. */
const FACS_SIZE = 64;
const FACS_VERSION = 2;

/** Builds the FACS: no waking vector, global lock free. */
export function makeFacs(): Table {
  const facs = new Uint8Array(FACS_SIZE);
  putText(facs, 0, 'FACS');
  facs[4] = FACS_SIZE;
  facs[32] = FACS_VERSION;
  return facs;
}
