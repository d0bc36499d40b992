import { writeAcpiTables, type AcpiConfig } from '../../../src/boot/acpi/index.js';
import { name, string } from '../../../src/boot/acpi/aml.js';
import { makeTable, sumOf } from '../../../src/boot/acpi/table.js';
import * as layout from '../../../src/memory/layout.js';
import { disassemble, recompile, testWithIasl } from './iasl.js';

const MINIMAL: AcpiConfig = { cpus: [0], ioapicId: 1 };
const FULL: AcpiConfig = {
  cpus: [0, 1, 2, 254, 255, 300],
  ioapicId: 6,
  pvpanic: true,
  virtioMmio: [
    { address: 0xd000_0000, size: 0x1000, gsi: 16 },
    { address: 0xd000_1000, size: 0x1000, gsi: 17, trigger: 'level' },
  ],
  systemBus: [name('TEST', string('more'))],
};

/** A guest that finds tables as an operating system does. */
class Guest {
  readonly bytes = new Uint8Array(2 ** 20);
  readonly view = new DataView(this.bytes.buffer);
  readonly rsdp: number;
  readonly end: number;

  constructor(config: AcpiConfig) {
    const { bytes } = this;
    const memory = { write: (address: number, data: Uint8Array) => bytes.set(data, address) };
    ({ rsdp: this.rsdp, end: this.end } = writeAcpiTables(memory, config));
  }
  text(at: number, length: number): string {
    return String.fromCharCode(...this.bytes.subarray(at, at + length));
  }
  u16(at: number): number {
    return this.view.getUint16(at, true);
  }
  u32(at: number): number {
    return this.view.getUint32(at, true);
  }
  u64(at: number): number {
    return Number(this.view.getBigUint64(at, true));
  }
  table(at: number): Uint8Array {
    return this.bytes.subarray(at, at + this.u32(at + 4));
  }
  /** Addresses in the XSDT. */
  get entries(): number[] {
    const xsdt = this.u64(this.rsdp + 24);
    const count = (this.u32(xsdt + 4) - 36) / 8;
    return Array.from({ length: count }, (_, i) => this.u64(xsdt + 36 + 8 * i));
  }
  find(signature: string): number {
    return this.entries.find((at) => this.text(at, 4) === signature)!;
  }
  /** Entries of the MADT as lists of bytes. */
  get interruptControllers(): number[][] {
    const madt = this.table(this.find('APIC'));
    const list: number[][] = [];
    for (let at = 44; at < madt.length; at += madt[at + 1]!) {
      list.push([...madt.subarray(at, at + madt[at + 1]!)]);
    }
    return list;
  }
  /** Every table, with the name it has in messages. */
  get all(): [string, Uint8Array][] {
    const fadt = this.find('FACP');
    const addresses = [
      this.u32(this.rsdp + 16),
      this.u64(this.rsdp + 24),
      ...this.entries,
      this.u32(fadt + 40),
    ];
    return addresses.map((at) => [this.text(at, 4), this.table(at)]);
  }
}

describe('finding the tables', () => {
  test('the RSDP is where kernels scan, with both checksums right', () => {
    const guest = new Guest(FULL);
    expect(guest.rsdp).toBe(layout.RSDP_ADDRESS);
    expect(guest.text(guest.rsdp, 8)).toBe('RSD PTR ');
    expect(guest.bytes[guest.rsdp + 15]).toBe(2);
    expect(guest.u32(guest.rsdp + 20)).toBe(36);
    expect(sumOf(guest.bytes.subarray(guest.rsdp, guest.rsdp + 20))).toBe(0);
    expect(sumOf(guest.bytes.subarray(guest.rsdp, guest.rsdp + 36))).toBe(0);
  });

  test('RSDT and XSDT list the same tables', () => {
    const guest = new Guest(FULL);
    const rsdt = guest.u32(guest.rsdp + 16);
    expect(guest.entries.map((at) => guest.text(at, 4))).toEqual(['FACP', 'APIC']);
    expect(guest.entries.map((_, i) => guest.u32(rsdt + 36 + 4 * i))).toEqual(guest.entries);
  });

  test('every table has its checksum, is aligned and lies in the area', () => {
    const guest = new Guest(FULL);
    for (const [, table] of guest.all) {
      expect(sumOf(table)).toBe(0);
      expect(table.byteOffset % 16).toBe(0);
      expect(table.byteOffset).toBeGreaterThanOrEqual(layout.ACPI_TABLES_ADDRESS);
      expect(table.byteOffset + table.length).toBeLessThanOrEqual(guest.end);
    }
    expect(guest.all.map(([signature]) => signature)).toEqual([
      'RSDT',
      'XSDT',
      'FACP',
      'APIC',
      'DSDT',
    ]);
  });

  test('tables of the caller are listed too', () => {
    const extra = makeTable('MCFG', 1, new Uint8Array(24));
    const guest = new Guest({ ...MINIMAL, tables: [extra] });
    expect(guest.table(guest.find('MCFG'))).toEqual(extra);
  });

  test('tables that do not fit are refused', () => {
    const cpus = Array.from({ length: 5000 }, (_, i) => i);
    expect(() => new Guest({ ...MINIMAL, cpus })).toThrow(/do not fit below 0xf0000/);
  });

  test('1024 processors fit', () => {
    const cpus = Array.from({ length: 1024 }, (_, i) => i);
    expect(new Guest({ ...FULL, cpus }).end).toBeLessThan(layout.ACPI_TABLES_END);
  });
});

describe('FADT', () => {
  const guest = new Guest(FULL);
  const at = guest.find('FACP');

  test('is of revision 6 and points to a FACS that is aligned to 64 bytes', () => {
    expect([guest.bytes[at + 8], guest.u32(at + 4)]).toEqual([6, 276]);
    const facs = guest.u32(at + 36);
    expect(guest.text(facs, 4)).toBe('FACS');
    expect([facs % 64, guest.u32(facs + 4)]).toEqual([0, 64]);
    expect(guest.u64(at + 132)).toBe(0);
  });

  test('names the registers that the devices have, in both forms', () => {
    expect([56, 64, 76].map((field) => guest.u32(at + field))).toEqual([0x600, 0x604, 0x608]);
    expect([88, 89, 91].map((field) => guest.bytes[at + field])).toEqual([4, 2, 4]);
    for (const [field, port, bits] of [
      [148, 0x600, 32],
      [172, 0x604, 16],
      [208, 0x608, 32],
    ] as const) {
      expect([guest.bytes[at + field], guest.bytes[at + field + 1]]).toEqual([1, bits]);
      expect(guest.u64(at + field + 4)).toBe(port);
    }
    expect(guest.u16(at + 46)).toBe(9);
  });

  test('resets through port 0xcf9 with value 6', () => {
    expect([...guest.bytes.subarray(at + 116, at + 120)]).toEqual([1, 8, 0, 1]);
    expect([guest.u64(at + 120), guest.bytes[at + 128]]).toEqual([0xcf9, 6]);
    expect(guest.u32(at + 112) & (1 << 10)).not.toBe(0);
  });

  test('is not hardware-reduced, has no SMI and a fixed power button', () => {
    const flags = guest.u32(at + 112);
    expect(flags & (1 << 20)).toBe(0);
    expect(flags & (1 << 4)).toBe(0);
    expect(flags & (1 << 8)).not.toBe(0);
    expect(guest.u32(at + 48)).toBe(0);
  });

  test('tells of a keyboard controller only when asked, never of a VGA, and of an RTC', () => {
    expect(guest.u16(at + 109)).toBe(0b1_0101);
    const other = new Guest({ ...MINIMAL, keyboardController: true });
    expect(other.u16(other.find('FACP') + 109)).toBe(0b1_0111);
    expect(guest.bytes[at + 108]).toBe(0x32);
  });
});

describe('MADT', () => {
  test('lists small ids as local APICs and others as x2APICs', () => {
    const list = new Guest(FULL).interruptControllers;
    const [small, large] = [0, 9].map((type) => list.filter((entry) => entry[0] === type));
    expect(small!.map((entry) => [entry[2], entry[3], entry[4]])).toEqual([
      [0, 0, 1],
      [1, 1, 1],
      [2, 2, 1],
      [3, 254, 1],
    ]);
    expect(large).toEqual([
      [9, 16, 0, 0, 255, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0],
      [9, 16, 0, 0, 0x2c, 1, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0],
    ]);
    expect(list.filter((entry) => entry[0] === 0x0a)).toHaveLength(1);
  });

  test('routes the timer to pin 2, the SCI as level and active high, NMI to LINT1', () => {
    const list = new Guest(MINIMAL).interruptControllers;
    expect(list).toEqual([
      [0, 8, 0, 0, 1, 0, 0, 0],
      [1, 12, 1, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0],
      [2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
      [2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0],
      [4, 6, 0xff, 0, 0, 1],
    ]);
  });

  test('has the local APIC address and says that there are 8259s', () => {
    const guest = new Guest(MINIMAL);
    const at = guest.find('APIC');
    expect([guest.u32(at + 36), guest.u32(at + 40)]).toEqual([0xfee0_0000, 1]);
  });
});

describe('iasl', () => {
  testWithIasl.each([
    ['smallest', MINIMAL],
    ['fullest', FULL],
  ])('reads all tables of the %s machine without complaint', (_name, config) => {
    for (const [signature, table] of new Guest(config).all) {
      const { source, messages } = disassemble(table);
      const complaints = /error|warning|invalid|incorrect|checksum|\*{4}/i;
      const said = messages.split('\n').filter((line) => complaints.test(line));
      const written = source.split('\n').filter((line) => /invalid|incorrect|\*{4}/i.test(line));
      expect([signature, said, written]).toEqual([signature, [], []]);
    }
  });

  testWithIasl('compiles what it has disassembled to the same AML', () => {
    const guest = new Guest(FULL);
    const dsdt = guest.table(guest.u32(guest.find('FACP') + 40));
    expect(recompile(dsdt)).toEqual(Uint8Array.from(dsdt.subarray(36)));
  });

  testWithIasl('finds the power management registers and the soft-off type', () => {
    const guest = new Guest(FULL);
    const fadt = disassemble(guest.table(guest.find('FACP'))).source;
    expect(fadt).toMatch(/Reset Register Supported \(V2\) : 1/);
    expect(fadt).toMatch(/Hardware Reduced \(V5\) : 0/);
    const dsdt = disassemble(guest.table(guest.u32(guest.find('FACP') + 40))).source;
    expect(dsdt).toMatch(/Name \(\\?_S5, Package \(0x04\)/);
    expect(dsdt).toContain('"QEMU0001"');
    expect(dsdt.match(/"LNRO0005"/g)).toHaveLength(2);
  });
});
