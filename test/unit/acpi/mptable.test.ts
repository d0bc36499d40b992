import { writeMpTable, type MpConfig } from '../../../src/boot/mptable.js';
import * as layout from '../../../src/memory/layout.js';

/** A guest that scans for the table as the specification says (section 4). */
class Guest {
  readonly bytes = new Uint8Array(2 ** 20);
  readonly view = new DataView(this.bytes.buffer);

  constructor(config: MpConfig) {
    const { bytes } = this;
    writeMpTable({ write: (address, data) => bytes.set(data, address) }, config);
  }
  scan(from: number, length: number): number | undefined {
    for (let at = from; at < from + length; at += 16) {
      if (this.text(at, 4) === '_MP_' && this.sum(at, 16) === 0) return at;
    }
    return undefined;
  }
  text(at: number, length: number): string {
    return String.fromCharCode(...this.bytes.subarray(at, at + length));
  }
  sum(at: number, length: number): number {
    return this.bytes.subarray(at, at + length).reduce((sum, byte) => sum + byte, 0) & 0xff;
  }
  get table(): number {
    return this.view.getUint32(this.scan(layout.EBDA_START, 1024)! + 4, true);
  }
  get length(): number {
    return this.view.getUint16(this.table + 4, true);
  }
  /** Entries as lists of bytes: processors have 20, others 8. */
  get entries(): number[][] {
    const list: number[][] = [];
    const end = this.table + this.length;
    for (let at = this.table + 44; at < end;) {
      const size = this.bytes[at] === 0 ? 20 : 8;
      list.push([...this.bytes.subarray(at, at + size)]);
      at += size;
    }
    return list;
  }
  ofType(type: number): number[][] {
    return this.entries.filter((entry) => entry[0] === type);
  }
}

const CONFIG: MpConfig = { cpus: [0, 1], ioapicId: 2, gsis: [4, 16, 23] };

test('the floating pointer is found in the EBDA and in the BIOS area', () => {
  const guest = new Guest(CONFIG);
  const ebda = 16 * guest.view.getUint16(0x40e, true);
  expect(ebda).toBe(layout.EBDA_START);
  expect(guest.view.getUint16(0x413, true)).toBe(639);
  expect(guest.bytes[ebda]).toBe(1);
  expect(guest.scan(ebda, 1024)).toBe(ebda + 16);
  expect(guest.scan(0xf0000, 0x10000)).toBe(0xf0000);
  const [a, b] = [ebda + 16, 0xf0000].map((at) => guest.view.getUint32(at + 4, true));
  expect(a).toBe(b);
});

test('the pointer says: one paragraph, revision 1.4, a table, virtual wire mode', () => {
  const guest = new Guest(CONFIG);
  const at = layout.EBDA_START + 16;
  expect([guest.bytes[at + 8], guest.bytes[at + 9]]).toEqual([1, 4]);
  expect([...guest.bytes.subarray(at + 11, at + 16)]).toEqual([0, 0, 0, 0, 0]);
});

test('the header has its checksum, the number of entries and the local APIC address', () => {
  const guest = new Guest(CONFIG);
  const at = guest.table;
  expect(guest.text(at, 4)).toBe('PCMP');
  expect(guest.sum(at, guest.length)).toBe(0);
  expect(guest.bytes[at + 6]).toBe(4);
  expect(guest.text(at + 8, 20)).toBe('VEXIT   VEXITVM     ');
  expect(guest.view.getUint16(at + 34, true)).toBe(guest.entries.length);
  expect(guest.view.getUint32(at + 36, true)).toBe(0xfee0_0000);
});

test('the first processor boots, all are enabled', () => {
  const processors = new Guest({ ...CONFIG, signature: 0x000a_06b1, features: 0x1234 }).ofType(0);
  expect(processors.map((entry) => entry.slice(1, 12))).toEqual([
    [0, 0x14, 3, 0xb1, 0x06, 0x0a, 0, 0x34, 0x12, 0, 0],
    [1, 0x14, 1, 0xb1, 0x06, 0x0a, 0, 0x34, 0x12, 0, 0],
  ]);
});

test('32 processors fit', () => {
  const cpus = Array.from({ length: 32 }, (_, i) => i);
  const guest = new Guest({ cpus, ioapicId: 32 });
  expect(guest.ofType(0).map((entry) => entry[1])).toEqual(cpus);
  expect(guest.table + guest.length).toBeLessThan(layout.MP_TABLE_END);
});

test('there is one ISA bus and one I/O APIC', () => {
  const guest = new Guest(CONFIG);
  expect(guest.ofType(1)).toEqual([[1, 0, ...Array.from('ISA   ', (c) => c.charCodeAt(0))]]);
  expect(guest.ofType(2)).toEqual([[2, 2, 0x11, 1, 0x00, 0x00, 0xc0, 0xfe]]);
});

test('ISA interrupts are on their own pins, but the timer is on pin 2; other GSIs follow', () => {
  const routes = new Guest(CONFIG).ofType(3);
  expect(routes.every((entry) => entry.slice(1, 5).join() === '0,0,0,0' && entry[6] === 2)).toBe(
    true,
  );
  expect(routes.map((entry) => [entry[5], entry[7]])).toEqual([
    [0, 2],
    [1, 1],
    ...[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 23].map((irq) => [irq, irq]),
  ]);
});

test('LINT0 takes the 8259s, LINT1 of all processors the NMI', () => {
  expect(new Guest(CONFIG).ofType(4)).toEqual([
    [4, 3, 0, 0, 0, 0, 0, 0],
    [4, 1, 0, 0, 0, 0, 0xff, 1],
  ]);
});

test('entries are in the order of their types', () => {
  const types = new Guest(CONFIG).entries.map(([type]) => type!);
  expect(types).toEqual([...types].sort((a, b) => a - b));
});

test('ids that an MP table cannot name are refused', () => {
  expect(() => new Guest({ cpus: [], ioapicId: 0 })).toThrow(RangeError);
  expect(() => new Guest({ cpus: [0, 255], ioapicId: 1 })).toThrow(RangeError);
  expect(() => new Guest({ cpus: [0], ioapicId: 255 })).toThrow(RangeError);
});
