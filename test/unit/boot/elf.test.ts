import { loadBoot, type BootOptions } from '../../../src/boot/load.js';
import {
  BOOT_STACK_ADDRESS,
  CMDLINE_ADDRESS,
  GDT_ADDRESS,
  PAGE_TABLE_ADDRESS,
  ZERO_PAGE_ADDRESS,
} from '../../../src/memory/layout.js';
import {
  elf,
  KERNEL_ADDRESS,
  LINUX_NOTE,
  MIB,
  pattern,
  pvhNote,
  withMemory,
  type ElfOptions,
} from './images.js';

const boot = (bytes: Uint8Array, more: BootOptions = {}, memory = 64 * MIB): Promise<unknown> =>
  withMemory(memory, (m) => loadBoot(m, { kernel: { name: 'kernel', bytes }, ...more }));

/** An ELF file with some bytes changed. */
function patched(options: ElfOptions, change: (image: Buffer) => void): Buffer {
  const image = elf(options);
  change(image);
  return image;
}

describe('ELF vmlinux by the Linux boot protocol', () => {
  it('loads segments at their physical addresses and enters in 64-bit mode', async () => {
    await withMemory(64 * MIB, async (memory) => {
      memory.fill(KERNEL_ADDRESS, 0x4000, 0xaa);
      const result = await loadBoot(memory, {
        kernel: { name: 'k', bytes: elf({ notes: [LINUX_NOTE], entry: KERNEL_ADDRESS + 0x100 }) },
        cmdline: 'console=ttyS0 quiet',
        rsdpAddress: 0xe0000,
      });
      expect(result).toEqual({
        protocol: 'linux',
        format: 'ELF vmlinux',
        cpu: {
          mode: 'long',
          rip: KERNEL_ADDRESS + 0x100,
          rsp: BOOT_STACK_ADDRESS,
          rsi: ZERO_PAGE_ADDRESS,
        },
        warnings: [],
      });
      expect([...memory.read(KERNEL_ADDRESS, 0x1800)]).toEqual([...pattern(0x1800)]);
      expect(memory.read(KERNEL_ADDRESS + 0x1800, 0x1000).every((byte) => byte === 0)).toBe(true);
      expect(memory.getUint8(KERNEL_ADDRESS + 0x2800)).toBe(0xaa);
    });
  });

  it('zeroes a bss of many pages that held something before', async () => {
    await withMemory(64 * MIB, async (memory) => {
      memory.fill(KERNEL_ADDRESS, 4 * MIB, 0xaa);
      const segments = [{ paddr: KERNEL_ADDRESS, data: pattern(100), memsz: 2 * MIB + 5 }];
      await loadBoot(memory, { kernel: { name: 'k', bytes: elf({ segments }) } });
      expect(memory.read(KERNEL_ADDRESS + 100, 2 * MIB - 95).every((byte) => byte === 0)).toBe(
        true,
      );
      expect(memory.getUint8(KERNEL_ADDRESS + 2 * MIB + 5)).toBe(0xaa);
    });
  });

  it('writes a zero page with the memory map, command line and RSDP', async () => {
    await withMemory(64 * MIB, async (memory) => {
      await loadBoot(memory, {
        kernel: { name: 'k', bytes: elf() },
        cmdline: 'a=ä',
        rsdpAddress: 0xe0000,
      });
      const page = ZERO_PAGE_ADDRESS;
      expect(memory.getUint64(page + 0x70)).toBe(0xe0000n);
      expect(memory.getUint8(page + 0x210)).toBe(0xff);
      expect(memory.getUint32(page + 0x202)).toBe(0x53726448);
      expect(memory.getUint16(page + 0x1fe)).toBe(0xaa55);
      expect(memory.getUint8(page + 0x1ef)).toBe(0);
      expect(memory.getUint32(page + 0x228)).toBe(CMDLINE_ADDRESS);
      expect(Buffer.from(memory.read(CMDLINE_ADDRESS, 5)).toString()).toBe('a=ä\0');
      const count = memory.getUint8(page + 0x1e8);
      const map = Array.from({ length: count }, (_, n) => {
        const at = page + 0x2d0 + n * 20;
        const start = Number(memory.getUint64(at));
        return [start, start + Number(memory.getUint64(at + 8)), memory.getUint32(at + 16)];
      });
      expect(map).toEqual([
        [0, 0x9fc00, 1],
        [0x9fc00, 0xa0000, 2],
        [0xe0000, 0xf0000, 3],
        [0xf0000, 0x100000, 2],
        [0x100000, 64 * MIB, 1],
      ]);
    });
  });

  it('[H5] leaves the hole below 4 GiB out of the memory map', async () => {
    await withMemory(5 * 1024 * MIB, async (memory) => {
      await loadBoot(memory, { kernel: { name: 'k', bytes: elf() } });
      const page = ZERO_PAGE_ADDRESS;
      expect(memory.getUint8(page + 0x1e8)).toBe(6);
      const last = page + 0x2d0 + 5 * 20;
      expect(memory.getUint64(last - 20 + 8)).toBe(0xc0000000n - 0x100000n);
      expect(memory.getUint64(last)).toBe(2n ** 32n);
      expect(memory.getUint64(last + 8)).toBe(2n ** 31n);
      // Without an RSDP the ROM area is reserved.
      expect(memory.getUint32(page + 0x2d0 + 2 * 20 + 16)).toBe(2);
    });
  });

  it('writes identity page tables of 4 GiB and a flat GDT', async () => {
    await withMemory(64 * MIB, async (memory) => {
      await loadBoot(memory, { kernel: { name: 'k', bytes: elf() } });
      expect(memory.getUint64(PAGE_TABLE_ADDRESS)).toBe(BigInt(PAGE_TABLE_ADDRESS + 0x1003));
      for (let gib = 0; gib < 4; gib++) {
        const directory = PAGE_TABLE_ADDRESS + 0x2000 + gib * 0x1000;
        expect(memory.getUint64(PAGE_TABLE_ADDRESS + 0x1000 + gib * 8)).toBe(BigInt(directory + 3));
        const page = BigInt(gib) * 2n ** 30n + 5n * 2n ** 21n;
        expect(memory.getUint64(directory + 40)).toBe(page + 0x83n);
      }
      expect(memory.getUint64(GDT_ADDRESS + 0x10)).toBe(0x00af9b000000ffffn);
      expect(memory.getUint64(GDT_ADDRESS + 0x18)).toBe(0x00cf93000000ffffn);
      expect(memory.getUint64(GDT_ADDRESS + 0x20)).toBe(0x00008b0000000067n);
    });
  });

  it('prefers the 64-bit entry of a Linux that also has a PVH entry', async () => {
    const bytes = elf({ notes: [pvhNote(KERNEL_ADDRESS + 8), LINUX_NOTE] });
    await expect(boot(bytes)).resolves.toMatchObject({ protocol: 'linux' });
    const guestOs = { owner: 'Xen', type: 6, description: Buffer.from('linux\0') };
    const xen = elf({ notes: [guestOs, pvhNote(KERNEL_ADDRESS + 8)] });
    await expect(boot(xen)).resolves.toMatchObject({ protocol: 'linux' });
    await expect(boot(bytes, { protocol: 'pvh' })).resolves.toMatchObject({ protocol: 'pvh' });
  });
});

describe('[H1] ELF files that are refused', () => {
  const cases: [string, Buffer, RegExp][] = [
    ['big-endian', patched({}, (i) => i.writeUInt8(2, 5)), /is not little-endian/],
    ['class 0', patched({}, (i) => i.writeUInt8(0, 4)), /ELF class 0 is neither/],
    ['another machine', elf({ machine: 183 }), /another processor \(ELF machine 183\)/],
    ['a relocatable object', elf({ type: 1 }), /is no executable \(ELF type 1\)/],
    ['ELF version 2', patched({}, (i) => i.writeUInt32LE(2, 20)), /ELF version is not 1/],
    ['e_phentsize 0', patched({}, (i) => i.writeUInt16LE(0, 54)), /program headers of 0 bytes/],
    ['e_phnum 0', patched({}, (i) => i.writeUInt16LE(0, 56)), /has no program headers/],
    ['e_phnum 65535', patched({}, (i) => i.writeUInt16LE(65535, 56)), /has 65535 program headers/],
    ['e_phoff past the end', patched({}, (i) => i.writeBigUInt64LE(2n ** 63n, 32)), /lie outside/],
    [
      'e_phoff that wraps',
      patched({}, (i) => i.writeBigUInt64LE(2n ** 64n - 1n, 32)),
      /lie outside/,
    ],
    [
      'p_offset past the end',
      elf({ segments: [{ paddr: KERNEL_ADDRESS, data: pattern(16), offset: 2n ** 64n - 8n }] }),
      /program header 0 names bytes outside the file/,
    ],
    [
      'p_filesz past the end',
      elf({ segments: [{ paddr: KERNEL_ADDRESS, data: pattern(16), filesz: 17, memsz: 17 }] }),
      /program header 0 names bytes outside the file/,
    ],
    [
      'p_filesz above p_memsz',
      elf({ segments: [{ paddr: KERNEL_ADDRESS, data: pattern(16), memsz: 15 }] }),
      /more bytes in the file than in memory/,
    ],
    ['nothing to load', elf({ segments: [], notes: [LINUX_NOTE] }), /has nothing to load/],
    [
      'an entry outside',
      elf({ entry: 0x2000000 }),
      /entry point 0x2000000 is in no loaded segment/,
    ],
    ['an entry of 2^64-1', elf({ entry: 2n ** 64n - 1n }), /is in no loaded segment/],
    [
      'overlapping segments',
      elf({
        segments: [
          { paddr: KERNEL_ADDRESS, data: pattern(4096) },
          { paddr: KERNEL_ADDRESS + 4095, data: pattern(16) },
        ],
      }),
      /segment 1 \(0x1000fff-0x100100f\) would be loaded over kernel: segment 0/,
    ],
    ...[0, 0x500, 0x7000, 0x9000, 0x20000, 0x9fc00, 0xfffff].map(
      (paddr): [string, Buffer, RegExp] => [
        `a segment at 0x${paddr.toString(16)}`,
        elf({ entry: paddr, segments: [{ paddr, data: pattern(16) }] }),
        /would be loaded over the boot structures below 1 MiB/,
      ],
    ),
    [
      'notes of 1 MiB',
      elf({
        segments: [
          { paddr: KERNEL_ADDRESS, data: pattern(4) },
          { type: 4, data: pattern(MIB) },
        ],
      }),
      /program header 1 has too many notes/,
    ],
  ];
  it.each(cases)('%s', async (_name, bytes, message) => {
    await expect(boot(bytes)).rejects.toMatchObject({
      name: 'VexitError',
      code: 'ERR_KERNEL',
      message: expect.stringMatching(message) as string,
    });
  });

  it.each([
    ['above the end', 64 * MIB - 8, 16],
    ['in the hole', 0xc0000000, 16],
    ['at 2^64 - 8', 2n ** 64n - 8n, 16],
    ['that is 2^63 long', KERNEL_ADDRESS, 2n ** 63n],
  ])('a segment %s of RAM', async (_name, paddr, memsz) => {
    const segments = [
      { paddr: KERNEL_ADDRESS - 0x1000, data: pattern(16) },
      { paddr, memsz },
    ];
    await expect(boot(elf({ entry: KERNEL_ADDRESS - 0x1000, segments }))).rejects.toMatchObject({
      code: 'ERR_MEMORY',
      message: expect.stringMatching(/does not fit in the guest's memory of 64 MiB/) as string,
    });
  });

  it('names the memory size that would do', async () => {
    const segments = [{ paddr: KERNEL_ADDRESS, data: pattern(16), memsz: 100 * MIB }];
    await expect(boot(elf({ segments }))).rejects.toMatchObject({
      hint: 'give the guest more memory: at least --memory 116M',
    });
  });

  it('a file cut short at each byte', async () => {
    const whole = elf({
      notes: [LINUX_NOTE],
      segments: [{ paddr: KERNEL_ADDRESS, data: pattern(64) }],
    });
    await withMemory(32 * MIB, async (memory) => {
      for (let length = 0; length < whole.length; length++) {
        const bytes = whole.subarray(0, length);
        await expect(loadBoot(memory, { kernel: { name: 'k', bytes } })).rejects.toMatchObject({
          name: 'VexitError',
          code: 'ERR_KERNEL',
        });
      }
    });
  });

  it('notes with sizes that lie are left out', async () => {
    for (const field of [0, 4]) {
      const data = Buffer.alloc(64);
      data.writeUInt32LE(0xfffffff0, field);
      data.writeUInt32LE(18, 8);
      const bytes = elf({
        segments: [
          { paddr: KERNEL_ADDRESS, data: pattern(4) },
          { type: 4, data },
        ],
      });
      await expect(boot(bytes)).resolves.toMatchObject({ protocol: 'linux' });
    }
    const description = new Uint8Array(3);
    const odd = elf({ notes: [{ owner: 'Xen', type: 18, description }] });
    await expect(boot(odd, { protocol: 'pvh' })).rejects.toThrow(/has no PVH entry/);
  });

  it('a 32-bit ELF for the 64-bit protocol', async () => {
    await expect(boot(elf({ bits: 32 }))).rejects.toThrow(/kernel: is a 32-bit ELF file/);
  });
});
