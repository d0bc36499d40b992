import * as aml from '../../../src/boot/acpi/aml.js';
import { dsdtAml } from '../../../src/boot/acpi/dsdt.js';
import {
  addressSpace,
  interrupt,
  ioPorts,
  memory32Fixed,
  resourceTemplate,
} from '../../../src/boot/acpi/resources.js';
import { compile, testWithIasl } from './iasl.js';

describe('AML is what iasl makes of the same source', () => {
  const cases: [title: string, source: string, term: aml.Aml][] = [
    ...[0, 1, 2, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, 2 ** 53 - 1].map(
      (value): [string, string, aml.Aml] => [
        `integer 0x${value.toString(16)}`,
        `Name (VAL, 0x${value.toString(16)})`,
        aml.name('VAL', aml.integer(value)),
      ],
    ),
    ['string', 'Name (STR, "QEMU0001")', aml.name('STR', aml.string('QEMU0001'))],
    ['EISA id', 'Name (EID, EisaId ("PNP0A03"))', aml.name('EID', aml.eisaId('PNP0A03'))],
    ['EISA id of ACPI', 'Name (EID, EisaId ("PNP0501"))', aml.name('EID', aml.eisaId('PNP0501'))],
    ['buffer', 'Name (BUF, Buffer () {1, 2, 3})', aml.name('BUF', aml.buffer([1, 2, 3]))],
    [
      'nested package',
      'Name (PKG, Package () {0, 1, "two", Package () {0x03, 0xFFFF}})',
      aml.name(
        'PKG',
        aml.packageOf(
          aml.integer(0),
          aml.integer(1),
          aml.string('two'),
          aml.packageOf(aml.integer(3), aml.integer(0xffff)),
        ),
      ),
    ],
    [
      'method',
      'Method (_STA, 0, NotSerialized) {Return (0x0F)}',
      aml.method('_STA', 0, aml.returnValue(aml.integer(0x0f))),
    ],
    [
      'paths of one, two and three segments',
      `Device (\\_SB.PCI0) {}
       Device (\\_SB.PCI0.ISA) {}
       Scope (\\_SB.PCI0.ISA) {Name (X, 0)}`,
      aml.concat(
        aml.device('\\_SB.PCI0'),
        aml.device('\\_SB.PCI0.ISA'),
        aml.scope('\\_SB.PCI0.ISA', aml.name('X', aml.integer(0))),
      ),
    ],
    [
      'resources of a legacy device',
      `Device (\\_SB.COM1) {
         Name (_HID, EisaId ("PNP0501"))
         Name (_CRS, ResourceTemplate () {
           IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
           Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) {4}
         })
       }`,
      aml.device(
        '\\_SB.COM1',
        aml.name('_HID', aml.eisaId('PNP0501')),
        aml.name('_CRS', resourceTemplate(ioPorts(0x3f8, 8), interrupt(4, 'edge'))),
      ),
    ],
    [
      'resources of a memory-mapped device',
      `Device (\\_SB.DEV) {
         Name (_HID, "LNRO0005")
         Name (_CRS, ResourceTemplate () {
           Memory32Fixed (ReadWrite, 0xD0000000, 0x00001000)
           Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) {0x10}
         })
       }`,
      aml.device(
        '\\_SB.DEV',
        aml.name('_HID', aml.string('LNRO0005')),
        aml.name(
          '_CRS',
          resourceTemplate(memory32Fixed(0xd000_0000, 0x1000), interrupt(16, 'level')),
        ),
      ),
    ],
    [
      'windows of a host bridge',
      `Device (\\_SB.PCI0) {
         Name (_HID, EisaId ("PNP0A08"))
         Name (_CRS, ResourceTemplate () {
           WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 255, 0, 256)
           WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
             0, 0x1000, 0xFFFF, 0, 0xF000)
           DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
             0, 0xC0000000, 0xCFFFFFFF, 0, 0x10000000)
           QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
             0, 0x800000000, 0xFFFFFFFFF, 0, 0x800000000)
         })
       }`,
      aml.device(
        '\\_SB.PCI0',
        aml.name('_HID', aml.eisaId('PNP0A08')),
        aml.name(
          '_CRS',
          resourceTemplate(
            addressSpace('bus', 2, 0, 256),
            addressSpace('io', 2, 0x1000, 0xf000),
            addressSpace('memory', 4, 0xc000_0000, 0x1000_0000),
            addressSpace('memory', 8, 0x8_0000_0000, 0x8_0000_0000),
          ),
        ),
      ),
    ],
    ...[10, 60, 61, 62, 63, 200, 4000, 4100].map((size): [string, string, aml.Aml] => [
      `package length of a device with a buffer of ${size} bytes`,
      `Device (\\_SB.BIG) {Name (BUF, Buffer (${size}) {${Array(size).fill('1').join(',')}})}`,
      aml.device('\\_SB.BIG', aml.name('BUF', aml.buffer(new Uint8Array(size).fill(1)))),
    ]),
    [
      'the DSDT of a machine with pvpanic and two virtio devices',
      `Name (\\_S5, Package () {0, 0, 0, 0})
       Scope (\\_SB) {
         Device (PEVT) {
           Name (_HID, "QEMU0001")
           Name (_CRS, ResourceTemplate () {IO (Decode16, 0x0505, 0x0505, 1, 1)})
           Name (_STA, 0x0B)
         }
         Device (VM00) {
           Name (_HID, "LNRO0005")
           Name (_UID, 0)
           Name (_CCA, 1)
           Name (_CRS, ResourceTemplate () {
             Memory32Fixed (ReadWrite, 0xD0000000, 0x1000)
             Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) {16}
           })
         }
         Device (VM01) {
           Name (_HID, "LNRO0005")
           Name (_UID, 1)
           Name (_CCA, 1)
           Name (_CRS, ResourceTemplate () {
             Memory32Fixed (ReadWrite, 0xD0001000, 0x1000)
             Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) {17}
           })
         }
       }`,
      dsdtAml({
        pvpanicPort: 0x505,
        virtioMmio: [
          { address: 0xd000_0000, size: 0x1000, gsi: 16 },
          { address: 0xd000_1000, size: 0x1000, gsi: 17 },
        ],
      }),
    ],
  ];

  testWithIasl.each(cases)('%s', (_title, source, term) => {
    const [ours, theirs] = [term, compile(source)].map((bytes) => Buffer.from(bytes));
    const at = ours!.findIndex((byte, i) => byte !== theirs![i]);
    const around = (bytes: Buffer) => bytes.subarray(Math.max(0, at - 8), at + 24).toString('hex');
    if (!ours!.equals(theirs!)) expect(around(ours!)).toBe(around(theirs!));
    expect(ours!.length).toBe(theirs!.length);
  });
});

describe('AML without iasl', () => {
  test('an EISA id is big-endian', () => {
    expect([...aml.eisaId('PNP0A03')]).toEqual([0x0c, 0x41, 0xd0, 0x0a, 0x03]);
  });

  test('the shortest package length is chosen', () => {
    expect([...aml.packageOf()]).toEqual([0x12, 0x02, 0x00]);
    expect(aml.buffer(new Uint8Array(60)).subarray(0, 3)).toEqual(Uint8Array.of(0x11, 0x3f, 0x0a));
    expect(aml.buffer(new Uint8Array(61)).subarray(0, 3)).toEqual(Uint8Array.of(0x11, 0x41, 0x04));
  });

  test('what AML cannot say is refused', () => {
    expect(() => aml.integer(-1)).toThrow(RangeError);
    expect(() => aml.integer(1.5)).toThrow(RangeError);
    expect(() => aml.nameString('lower')).toThrow(RangeError);
    expect(() => aml.nameString('TOOLONG')).toThrow(RangeError);
    expect(() => aml.eisaId('PNP')).toThrow(RangeError);
    expect(() => aml.string('\u00e9')).toThrow(RangeError);
    expect(() => aml.packageOf(...Array<aml.Aml>(256).fill(aml.integer(0)))).toThrow(RangeError);
    expect(() => aml.buffer(new Uint8Array(2 ** 28))).toThrow(RangeError);
  });
});
