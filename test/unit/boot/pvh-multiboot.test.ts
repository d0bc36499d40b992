import type { BootResult } from '../../../src/boot/boot-result.js';
import { loadBoot, type BootOptions } from '../../../src/boot/load.js';
import type { GuestMemory } from '../../../src/memory/guest-memory.js';
import {
  CMDLINE_ADDRESS,
  MULTIBOOT_INFO_ADDRESS,
  PVH_INFO_ADDRESS,
} from '../../../src/memory/layout.js';
import {
  elf,
  KERNEL_ADDRESS,
  MIB,
  multibootHeader,
  pattern,
  pvhNote,
  withMemory,
} from './images.js';

const boot = (bytes: Uint8Array, more: BootOptions = {}): Promise<BootResult> =>
  withMemory(64 * MIB, (m) => loadBoot(m, { kernel: { name: 'kernel', bytes }, ...more }));
const string = (memory: GuestMemory, at: number): string =>
  Buffer.from(memory.read(at, 64)).toString('latin1').split('\0')[0]!;

describe('PVH', () => {
  it('fills hvm_start_info version 1', async () => {
    await withMemory(64 * MIB, async (memory) => {
      const bytes = elf({ notes: [pvhNote(KERNEL_ADDRESS + 0x40)] });
      const result = await loadBoot(memory, {
        kernel: { name: 'k', bytes },
        cmdline: 'boot -v',
        initrds: [{ name: 'i', bytes: pattern(99) }],
        rsdpAddress: 0xe0000,
      });
      expect(result).toMatchObject({
        protocol: 'pvh',
        format: 'ELF64, PVH',
        cpu: { mode: 'protected', rip: KERNEL_ADDRESS + 0x40, rbx: PVH_INFO_ADDRESS },
      });
      const at = PVH_INFO_ADDRESS;
      expect(memory.getUint32(at)).toBe(0x336ec578);
      expect(memory.getUint32(at + 4)).toBe(1);
      expect(memory.getUint32(at + 8)).toBe(0);
      expect(memory.getUint32(at + 12)).toBe(1);
      expect(string(memory, Number(memory.getUint64(at + 24)))).toBe('boot -v');
      expect(memory.getUint64(at + 32)).toBe(0xe0000n);
      const modules = Number(memory.getUint64(at + 16));
      const initrd = Number(memory.getUint64(modules));
      expect(memory.getUint64(modules + 8)).toBe(99n);
      expect([...memory.read(initrd, 99)]).toEqual([...pattern(99)]);
      const map = Number(memory.getUint64(at + 40));
      expect(memory.getUint32(at + 48)).toBe(5);
      expect(memory.getUint64(map + 4 * 24)).toBe(0x100000n);
      expect(memory.getUint64(map + 4 * 24 + 8)).toBe(BigInt(63 * MIB));
      expect(memory.getUint32(map + 4 * 24 + 16)).toBe(1);
    });
  });
  it('has no module list without an initrd', async () => {
    await withMemory(64 * MIB, async (memory) => {
      const bytes = elf({ notes: [pvhNote(KERNEL_ADDRESS, 4)], bits: 32 });
      const result = await loadBoot(memory, { kernel: { name: 'k', bytes } });
      expect(result.format).toBe('ELF32, PVH');
      expect(memory.getUint32(PVH_INFO_ADDRESS + 12)).toBe(0);
      expect(memory.getUint64(PVH_INFO_ADDRESS + 16)).toBe(0n);
    });
  });
  it('[H1] refuses entries and segments in the wrong place', async () => {
    const outside = elf({ notes: [pvhNote(0x100000)] });
    await expect(boot(outside)).rejects.toThrow(/entry point 0x100000 is in no loaded segment/);
    for (const [paddr, what] of [
      [0x6fff, 'hvm_start_info'],
      [0x20000, 'the command line'],
      [0x400, 'the BIOS data area'],
      [0xe0000, 'the EBDA and ROM area'],
    ] as const) {
      const segments = [{ paddr, data: pattern(16) }];
      const bytes = elf({ segments, notes: [pvhNote(paddr)] });
      await expect(boot(bytes)).rejects.toThrow(`would be loaded over ${what}`);
    }
    const low = elf({ segments: [{ paddr: 0x8000, data: pattern(16) }], notes: [pvhNote(0x8000)] });
    await expect(boot(low)).resolves.toMatchObject({ protocol: 'pvh' });
  });
  it('refuses an initrd that does not fit', async () => {
    const initrds = [{ name: 'i', bytes: new Uint8Array(60 * MIB) }];
    await expect(
      boot(elf({ notes: [pvhNote(KERNEL_ADDRESS)] }), { initrds }),
    ).rejects.toMatchObject({
      code: 'ERR_INITRD',
    });
  });
});

/** A multiboot kernel that says its own addresses: header at offset 16, loaded at 1 MiB. */
function kludge(
  change: Partial<Record<'header' | 'load' | 'end' | 'bss' | 'entry', number>> = {},
): Buffer {
  const at = {
    header: 0x100010,
    load: 0x100000,
    end: 0x100100,
    bss: 0x101000,
    entry: 0x100040,
    ...change,
  };
  const image = Buffer.alloc(0x200, 0xcc);
  multibootHeader(0x10003, [at.header, at.load, at.end, at.bss, at.entry]).copy(image, 16);
  return image;
}

describe('multiboot', () => {
  it('loads by the address fields and fills the information structure', async () => {
    await withMemory(64 * MIB, async (memory) => {
      memory.fill(0x100000, 0x2000, 0xaa);
      const result = await loadBoot(memory, {
        kernel: { name: 'k', bytes: kludge() },
        cmdline: 'root=x',
        initrds: [{ name: 'first', bytes: pattern(5000) }],
        modules: [{ image: { name: 'm', bytes: pattern(10) }, cmdline: 'm arg=1' }],
        rsdpAddress: 0xe0000,
      });
      expect(result).toMatchObject({
        protocol: 'multiboot',
        cpu: { mode: 'protected', rip: 0x100040, rax: 0x2badb002, rbx: MULTIBOOT_INFO_ADDRESS },
      });
      expect(memory.getUint8(0x1000ff)).toBe(0xcc);
      expect(memory.getUint8(0x100100)).toBe(0);
      expect(memory.getUint8(0x100fff)).toBe(0);
      expect(memory.getUint8(0x101000)).not.toBe(0);
      const at = MULTIBOOT_INFO_ADDRESS;
      expect(memory.getUint32(at)).toBe(0x24d);
      expect(memory.getUint32(at + 4)).toBe(639);
      expect(memory.getUint32(at + 8)).toBe(63 * 1024);
      expect(memory.getUint32(at + 16)).toBe(CMDLINE_ADDRESS);
      expect(string(memory, CMDLINE_ADDRESS)).toBe('root=x');
      expect(string(memory, memory.getUint32(at + 64))).toBe('vexit');
      expect(memory.getUint32(at + 20)).toBe(2);
      const modules = memory.getUint32(at + 24);
      const list = [0, 1].map((n) => {
        const entry = modules + n * 16;
        const name = string(memory, memory.getUint32(entry + 8));
        return [memory.getUint32(entry), memory.getUint32(entry + 4), name];
      });
      expect(list).toEqual([
        [0x101000, 0x101000 + 5000, 'first'],
        [0x103000, 0x103000 + 10, 'm arg=1'],
      ]);
      expect([...memory.read(0x103000, 10)]).toEqual([...pattern(10)]);
      expect(memory.getUint32(at + 44)).toBe(5 * 24);
      const map = memory.getUint32(at + 48);
      expect(memory.getUint32(map)).toBe(20);
      expect(memory.getUint64(map + 4 * 24 + 4)).toBe(0x100000n);
    });
  });
  it('loads ELF32, and ELF64 with a virtual entry as GRUB does', async () => {
    const segment = { paddr: 0x100000, vaddr: 0xc0100000, data: multibootHeader(3) };
    const elf32 = elf({ bits: 32, segments: [segment], entry: 0xc0100004 });
    await expect(boot(elf32)).resolves.toMatchObject({
      format: 'multiboot ELF32',
      cpu: { rip: 0x100004 },
    });
    const elf64 = elf({ segments: [segment], entry: 0x100004 });
    await expect(boot(elf64)).resolves.toMatchObject({ format: 'multiboot ELF64' });
  });
  it('takes zero load_end_addr and bss_end_addr as the end of the file', async () => {
    await withMemory(64 * MIB, async (memory) => {
      memory.fill(0x100000, 0x1000, 0xaa);
      await loadBoot(memory, { kernel: { name: 'k', bytes: kludge({ end: 0, bss: 0 }) } });
      expect(memory.getUint8(0x1001ff)).toBe(0xcc);
      expect(memory.getUint8(0x100200)).toBe(0xaa);
    });
  });
  it('warns when a video mode is wanted', async () => {
    const result = await boot(
      elf({ bits: 32, segments: [{ paddr: 0x100000, data: multibootHeader(4) }], entry: 0x100000 }),
    );
    expect(result.warnings).toEqual([
      'kernel: asks for a video mode; there is no display, so it gets none',
    ]);
  });
  it.each<[string, Buffer, RegExp]>([
    [
      'unknown features',
      Buffer.concat([multibootHeader(0x18), Buffer.alloc(20)]),
      /asks for multiboot features 0x18/,
    ],
    [
      'no ELF, no addresses',
      Buffer.concat([multibootHeader(0), Buffer.alloc(200)]),
      /kernel: ELF class/,
    ],
    ['load_addr above header_addr', kludge({ load: 0x100011 }), /load_addr is above header_addr/],
    [
      'load_addr before the file',
      kludge({ load: 0xfffff, header: 0x100010 }),
      /before the beginning of the file/,
    ],
    ['load_end_addr below', kludge({ end: 0x100000 }), /load_end_addr is not above load_addr/],
    ['load_end_addr beyond', kludge({ end: 0x100201 }), /load_end_addr is beyond the file/],
    ['bss_end_addr below', kludge({ bss: 0x1000ff }), /bss_end_addr is below load_end_addr/],
    ['entry_addr outside', kludge({ entry: 0x100100 }), /entry_addr is not in the image/],
    ['bss_end_addr beyond RAM', kludge({ bss: 0xffffffff }), /does not fit in the guest's memory/],
    [
      'over the boot structures',
      kludge({ header: 0x10010, load: 0x10000, end: 0x10100, bss: 0, entry: 0x10000 }),
      /over the multiboot information/,
    ],
  ])('refuses %s', async (_name, bytes, message) => {
    await expect(boot(bytes, { protocol: 'multiboot' })).rejects.toThrow(message);
  });
  it('looks in the first 8192 bytes at multiples of 4, with a right checksum', async () => {
    const place = (at: number): Buffer => {
      const image = Buffer.alloc(12000);
      const header = multibootHeader(0x10000, [0x100000 + at, 0x100000, 0, 0, 0x100000]);
      header.copy(image, at);
      return image;
    };
    await expect(boot(place(8160))).resolves.toMatchObject({ protocol: 'multiboot' });
    for (const bad of [place(8164), place(8192), place(6)]) {
      await expect(boot(bad)).rejects.toThrow(/not a kernel of a known kind/);
    }
    const wrong = place(0);
    wrong.writeUInt8(wrong.readUInt8(8) ^ 1, 8);
    await expect(boot(wrong)).rejects.toThrow(/not a kernel of a known kind/);
  });
  it('[H3] refuses modules that are too many, too big or badly named', async () => {
    const one = { image: { name: 'm', bytes: pattern(1) } };
    await expect(boot(kludge(), { modules: Array(257).fill(one) as never })).rejects.toThrow(
      /257 modules, at most 256 fit/,
    );
    const big = { name: 'big', bytes: new Uint8Array(64 * MIB) };
    await expect(boot(kludge(), { initrds: [big] })).rejects.toMatchObject({
      code: 'ERR_INITRD',
      hint: 'give the guest more memory: at least --memory 66M',
    });
    await expect(boot(kludge(), { modules: [{ ...one, cmdline: 'a\nb' }] })).rejects.toMatchObject({
      code: 'ERR_CMDLINE',
    });
    const long = { ...one, cmdline: 'x'.repeat(1000) };
    await expect(boot(kludge(), { modules: Array(256).fill(long) as never })).rejects.toThrow(
      /the strings of the multiboot modules take/,
    );
  });
});
