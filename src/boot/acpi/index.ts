/**
 * ACPI tables in guest memory, in the BIOS area that every kernel scans for the RSDP.
 *
 *   RSDP -> XSDT (and RSDT) -> FADT -> DSDT, FACS
 *                           -> MADT
 *                           -> tables given by the caller
 *
 * ACPI 6.5, sections 5.2.5 (RSDP), 5.2.7 (RSDT), 5.2.8 (XSDT).
 */
import {
  ACPI_TABLES_ADDRESS,
  ACPI_TABLES_END,
  PVPANIC_PORT,
  RSDP_ADDRESS,
} from '../../memory/layout.js';
import type { Aml } from './aml.js';
import { littleEndian } from './aml.js';
import { makeDsdt, type VirtioMmioRange } from './dsdt.js';
import { makeFacs, makeFadt } from './fadt.js';
import { makeMadt } from './madt.js';
import { makeTable, putOemId, putText, seal, type Table } from './table.js';

export type { VirtioMmioRange } from './dsdt.js';

/** Where tables are written to; GuestMemory is one. */
export interface TableMemory {
  write(address: number, bytes: Uint8Array): void;
}

/** The machine that the tables describe. */
export interface AcpiConfig {
  /** Local APIC ids of all processors, the boot processor first. */
  readonly cpus: readonly number[];
  readonly ioapicId: number;
  readonly virtioMmio?: readonly VirtioMmioRange[];
  /** Whether pvpanic is at its port. */
  readonly pvpanic?: boolean;
  /** Whether the guest should look for a keyboard controller; false by default. */
  readonly keyboardController?: boolean;
  /** AML for the scope \_SB, such as a PCI host bridge. */
  readonly systemBus?: readonly Aml[];
  /** More complete tables, such as an MCFG. */
  readonly tables?: readonly Uint8Array[];
}

/** Where the tables are. */
export interface AcpiTables {
  readonly rsdp: number;
  /** End of the last table. */
  readonly end: number;
}

const RSDP_SIZE = 36;
const RSDP_V1_SIZE = 20;
const RSDP_REVISION = 2;
const FACS_ALIGNMENT = 64;
const TABLE_ALIGNMENT = 16;

function makeRsdp(rsdt: number, xsdt: number): Table {
  const rsdp = new Uint8Array(RSDP_SIZE);
  const view = new DataView(rsdp.buffer);
  putText(rsdp, 0, 'RSD PTR ');
  putOemId(rsdp, 9);
  rsdp[15] = RSDP_REVISION;
  view.setUint32(16, rsdt, true);
  view.setUint32(20, RSDP_SIZE, true);
  view.setBigUint64(24, BigInt(xsdt), true);
  const first = rsdp.subarray(0, RSDP_V1_SIZE);
  seal(first, 8);
  seal(rsdp, 32);
  return rsdp;
}

function makeRootTable(signature: string, width: 4 | 8, addresses: readonly number[]): Table {
  const entries = addresses.flatMap((address) => littleEndian(address, width));
  return makeTable(signature, 1, Uint8Array.from(entries));
}

/**
 * Writes all tables.
 * @throws RangeError when they do not fit the area between the RSDP and ACPI_TABLES_END
 */
export function writeAcpiTables(memory: TableMemory, config: AcpiConfig): AcpiTables {
  let next = ACPI_TABLES_ADDRESS;
  const place = (bytes: Uint8Array, alignment = TABLE_ALIGNMENT): number => {
    const address = Math.ceil(next / alignment) * alignment;
    if (address + bytes.length > ACPI_TABLES_END) {
      throw new RangeError(
        `ACPI tables do not fit below 0x${ACPI_TABLES_END.toString(16)}: too many processors or devices`,
      );
    }
    next = address + bytes.length;
    memory.write(address, bytes);
    return address;
  };

  const facs = place(makeFacs(), FACS_ALIGNMENT);
  const dsdt = place(
    makeDsdt({
      virtioMmio: config.virtioMmio ?? [],
      ...(config.pvpanic === true ? { pvpanicPort: PVPANIC_PORT } : {}),
      systemBus: config.systemBus ?? [],
    }),
  );
  const { keyboardController = false } = config;
  const tables = [
    place(makeFadt({ facs, dsdt, keyboardController })),
    place(makeMadt(config.cpus, config.ioapicId)),
    ...(config.tables ?? []).map((table) => place(table)),
  ];
  const rsdt = place(makeRootTable('RSDT', 4, tables));
  const xsdt = place(makeRootTable('XSDT', 8, tables));
  memory.write(RSDP_ADDRESS, makeRsdp(rsdt, xsdt));
  return { rsdp: RSDP_ADDRESS, end: next };
}
