import { execFileSync } from 'node:child_process';
import { mkdirSync, openSync, closeSync, ftruncateSync, symlinkSync } from 'node:fs';
import { FLAT_DEFAULT_ADDRESS } from '../../../src/boot/flat.js';
import { loadBoot, type BootOptions } from '../../../src/boot/load.js';
import { openSource } from '../../../src/boot/boot-source.js';
import type { BootResult } from '../../../src/boot/boot-result.js';
import { ZERO_PAGE_ADDRESS } from '../../../src/memory/layout.js';
import {
  bzImage,
  elf,
  file,
  KERNEL_ADDRESS,
  MIB,
  pattern,
  withDirectory,
  withMemory,
} from './images.js';

const boot = (options: BootOptions, memory = 64 * MIB): Promise<BootResult> =>
  withMemory(memory, (m) => loadBoot(m, options));
const kernel = { name: 'k', bytes: elf() };
const image = (length: number): { name: string; bytes: Uint8Array } => ({
  name: 'initrd.img',
  bytes: new Uint8Array(length).fill(0x5a),
});

describe('[H6] kernel files', () => {
  it('are read from disk', async () => {
    await withDirectory(async (directory) => {
      const target = file(directory, 'vmlinux', elf());
      symlinkSync(target, `${directory}/link`);
      await expect(boot({ kernel: `${directory}/link` })).resolves.toMatchObject({
        protocol: 'linux',
      });
      const bz = file(directory, 'bzImage', bzImage());
      await expect(boot({ kernel: bz })).resolves.toMatchObject({ format: 'bzImage' });
    });
  });

  it('must be regular files with something in them', async () => {
    await withDirectory(async (directory) => {
      execFileSync('mkfifo', [`${directory}/fifo`]);
      mkdirSync(`${directory}/dir`);
      symlinkSync(`${directory}/loop`, `${directory}/loop`);
      file(directory, 'empty', new Uint8Array(0));
      const refused: [string, RegExp][] = [
        [`${directory}/fifo`, /fifo is not a regular file$/],
        [`${directory}/dir`, /dir is a directory$/],
        [`${directory}/missing`, /missing does not exist$/],
        [`${directory}/empty/x`, /does not exist \(a part of the path is not a directory\)$/],
        [`${directory}/loop`, /is a loop of symbolic links$/],
        [`${directory}/empty`, /empty is empty$/],
        ['/dev/zero', /^\/dev\/zero is not a regular file$/],
        ['/proc/self/status', /is empty$/],
        ['', /is empty or has a NUL/],
        ['a\0b', /is empty or has a NUL/],
        [`/${'x'.repeat(5000)}`, /is too long a path$/],
      ];
      for (const [path, message] of refused) {
        await expect(boot({ kernel: path })).rejects.toMatchObject({
          code: 'ERR_KERNEL',
          message: expect.stringMatching(message) as string,
        });
        await expect(boot({ kernel, initrds: [path] })).rejects.toMatchObject({
          code: 'ERR_INITRD',
        });
      }
    });
  });

  it('may be sparse and huge: only what is named is read', async () => {
    await withDirectory(async (directory) => {
      const path = file(directory, 'sparse', new Uint8Array(0));
      const fd = openSync(path, 'r+');
      // The largest file of ext4 and tmpfs is smaller than 8 EiB on some hosts.
      let size = 2 ** 53;
      for (;;) {
        try {
          ftruncateSync(fd, size);
          break;
        } catch {
          size /= 2;
        }
      }
      closeSync(fd);
      await expect(boot({ kernel: path })).rejects.toThrow(/is not a kernel of a known kind/);
      await expect(boot({ kernel: path, protocol: 'flat' })).rejects.toThrow(/do not fit below/);
      await expect(boot({ kernel: path, protocol: 'firmware' })).rejects.toThrow(/firmware of/);
      await expect(boot({ kernel, initrds: [path] })).rejects.toMatchObject({
        code: 'ERR_INITRD',
        hint: 'make the initrd smaller',
      });
    });
  });

  it('must not change while they are read', async () => {
    await withDirectory((directory) => {
      const path = file(directory, 'k', elf());
      const source = openSource(path, 'ERR_KERNEL');
      file(directory, 'k', elf().subarray(0, 100));
      expect(() => source.checkUnchanged()).toThrow(/k changed while it was read/);
      expect(() => source.bytes(0, 200)).toThrow(/k is cut short/);
      source.close();
    });
  });

  it('of a known but unusable kind are named', async () => {
    const gz = Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(100)]);
    await expect(boot({ kernel: { name: 'v.gz', bytes: gz } })).rejects.toMatchObject({
      message: 'v.gz is a gzip file, not a kernel of a known kind',
      hint: 'unpack it with gunzip',
    });
    const arm = Buffer.alloc(64);
    arm.write('ARMd', 56);
    await expect(boot({ kernel: { name: 'Image', bytes: arm } })).rejects.toThrow(
      /an arm64 kernel/,
    );
  });
});

describe('what to boot', () => {
  const refused: [string, BootOptions, RegExp][] = [
    ['nothing', {}, /there is nothing to boot/],
    ['two things', { kernel, firmware: image(0x10000) }, /both a kernel and a firmware/],
    [
      'firmware as Linux',
      { firmware: image(0x10000), protocol: 'linux' },
      /does not boot by the linux/,
    ],
    ['text as Linux', { kernel: image(100), protocol: 'linux' }, /is not a Linux kernel/],
    ['text as PVH', { kernel: image(100), protocol: 'pvh' }, /is not a PVH kernel/],
    [
      'text as multiboot',
      { kernel: image(100), protocol: 'multiboot' },
      /is not a multiboot kernel/,
    ],
    ['modules for Linux', { kernel, modules: [{ image: image(1) }] }, /takes no modules/],
  ];
  it.each(refused)('refuses %s', async (_name, options, message) => {
    await expect(boot(options)).rejects.toThrow(message);
  });
  it('[H5] refuses memory that is too small for anything', async () => {
    await expect(boot({ kernel }, MIB)).rejects.toMatchObject({
      code: 'ERR_MEMORY',
      message: "the guest's memory of 1048576 bytes is too small to boot anything",
    });
  });
});

describe('[H4] command line', () => {
  it.each<[string, string, RegExp]>([
    ['a NUL', 'a\0b', /has a NUL at position 1/],
    ['a newline', 'ab\n', /has a newline at position 2/],
    ['a carriage return', '\r', /has a carriage return at position 0/],
    ['an escape', 'a\x1b[2J', /has a control character at position 1/],
    ['a lone surrogate', 'a\ud800b', /is not valid UTF-8/],
    ['what was not UTF-8', 'a\ufffd', /is not valid UTF-8/],
    ['2048 bytes', 'x'.repeat(2048), /has 2048 bytes, this kernel takes at most 2047/],
    ['65536 bytes', 'x'.repeat(65536), /has 65536 bytes/],
    ['2047 characters of 2 bytes', 'ä'.repeat(2047), /has 4094 bytes/],
  ])('refuses %s', async (_name, cmdline, message) => {
    await expect(boot({ kernel, cmdline })).rejects.toMatchObject({
      code: 'ERR_CMDLINE',
      message: expect.stringMatching(message) as string,
    });
  });
  it('takes 2047 bytes, tabs, emoji and duplicates', async () => {
    await boot({ kernel, cmdline: 'x'.repeat(2047) });
    await boot({ kernel, cmdline: 'a\tb \u{1f600} console=ttyS0 console=hvc0' });
  });
});

describe('[H3] initrd', () => {
  const ramdisk = (m: { getUint32(a: number): number }): [number, number] => [
    m.getUint32(ZERO_PAGE_ADDRESS + 0x218),
    m.getUint32(ZERO_PAGE_ADDRESS + 0x21c),
  ];
  it('is placed as high as possible, page aligned', async () => {
    await withMemory(64 * MIB, async (memory) => {
      await loadBoot(memory, { kernel, initrds: [image(5000)] });
      expect(ramdisk(memory)).toEqual([64 * MIB - 8192, 5000]);
      expect(memory.read(64 * MIB - 8192, 5000).every((byte) => byte === 0x5a)).toBe(true);
    });
  });
  it('of several files is concatenated at multiples of 4', async () => {
    await withDirectory(async (directory) => {
      const a = file(directory, 'a', pattern(5));
      const b = file(directory, 'b', pattern(1, 9));
      await withMemory(64 * MIB, async (memory) => {
        memory.fill(64 * MIB - 4096, 4096, 0xee);
        await loadBoot(memory, { kernel, initrds: [a, b, image(2)] });
        const [address, size] = ramdisk(memory);
        expect(size).toBe(14);
        expect([...memory.read(address, size)]).toEqual([
          ...pattern(5),
          0,
          0,
          0,
          9,
          0,
          0,
          0,
          0x5a,
          0x5a,
        ]);
      });
    });
  });
  it('stays below initrd_addr_max unless there is no room', async () => {
    const low = bzImage({ patch: (i) => i.writeUInt32LE(0x13fffff, 0x22c) });
    await withMemory(64 * MIB, async (memory) => {
      await loadBoot(memory, { kernel: { name: 'k', bytes: low }, initrds: [image(4096)] });
      expect(ramdisk(memory)[0]).toBe(0x13ff000);
      await loadBoot(memory, { kernel: { name: 'k', bytes: low }, initrds: [image(30 * MIB)] });
      expect(ramdisk(memory)[0]).toBe(34 * MIB);
    });
    const strict = bzImage({
      patch: (i) => {
        i.writeUInt32LE(0x13fffff, 0x22c);
        i.writeUInt16LE(1, 0x236);
      },
    });
    await expect(
      boot({ kernel: { name: 'k', bytes: strict }, initrds: [image(30 * MIB)] }),
    ).rejects.toMatchObject({
      code: 'ERR_INITRD',
      message: 'the initrd needs 30 MiB, this kernel takes it only below 20 MiB',
    });
  });
  it('is never put over the init_size of the kernel', async () => {
    const bytes = bzImage({ initSize: 44 * MIB });
    await withMemory(64 * MIB, async (memory) => {
      await loadBoot(memory, { kernel: { name: 'k', bytes }, initrds: [image(6 * MIB)] });
      expect(ramdisk(memory)[0]).toBe(10 * MIB);
    });
  });
  it('goes above 4 GiB when it fits nowhere else', async () => {
    await withMemory(6 * 1024 * MIB, async (memory) => {
      const segments = [
        { paddr: KERNEL_ADDRESS, data: pattern(16), memsz: 0xb0000000 - 0x1000000 },
      ];
      const big = image(300 * MIB);
      await loadBoot(memory, { kernel: { name: 'k', bytes: elf({ segments }) }, initrds: [big] });
      expect(memory.getUint32(ZERO_PAGE_ADDRESS + 0xc0)).toBe(1);
      expect(ramdisk(memory)[0]).toBe(0x80000000 + 1024 * MIB * 1 - 300 * MIB);
    });
  });
  it('of 1 byte is taken, of 0 bytes or too many refused', async () => {
    await expect(boot({ kernel, initrds: [image(1)] })).resolves.toBeDefined();
    await expect(boot({ kernel, initrds: [image(0)] })).rejects.toMatchObject({
      code: 'ERR_INITRD',
      message: 'initrd.img is empty',
    });
    await expect(boot({ kernel, initrds: [image(60 * MIB)] })).rejects.toMatchObject({
      code: 'ERR_INITRD',
      message: "the initrd needs 60 MiB, which the guest's memory of 64 MiB does not have free",
      hint: 'give the guest more memory: at least --memory 77M',
    });
  });
});

describe('flat binary', () => {
  it('starts in real mode at the address', async () => {
    await withMemory(64 * MIB, async (memory) => {
      const flat = { name: 'f', bytes: pattern(100) };
      const result = await loadBoot(memory, { kernel: flat, protocol: 'flat' });
      expect(FLAT_DEFAULT_ADDRESS).toBe(0x10000);
      expect(result).toMatchObject({ protocol: 'flat', cpu: { mode: 'real', cs: 0x1000, rip: 0 } });
      expect([...memory.read(0x10000, 100)]).toEqual([...pattern(100)]);
      const odd = await loadBoot(memory, { kernel: flat, protocol: 'flat', flatAddress: 0x7c05 });
      expect(odd.cpu).toEqual({ mode: 'real', cs: 0x7c0, rip: 5 });
    });
  });
  it.each([0x9fc00 - 99, -1, 1.5, NaN, 2 ** 53])('refuses address %d', async (flatAddress) => {
    const options: BootOptions = { kernel: image(100), protocol: 'flat', flatAddress };
    await expect(boot(options)).rejects.toThrow(/do not fit below 0x9fc00/);
  });
});

describe('firmware and flat binaries', () => {
  it('take no initrd, and say that they take no command line', async () => {
    const flat: BootOptions = { kernel: image(100), protocol: 'flat' };
    await expect(boot({ ...flat, initrds: [image(1)] })).rejects.toMatchObject({
      code: 'ERR_INITRD',
      message: 'initrd.img takes no initrd: it is no kernel',
    });
    const result = await boot({ firmware: image(0x10000), cmdline: 'quiet' });
    expect(result.warnings).toEqual([
      'initrd.img: takes no command line; the one given is not used',
    ]);
  });
});

describe('firmware', () => {
  it('is returned as ROM, its end copied below 1 MiB', async () => {
    await withMemory(64 * MIB, async (memory) => {
      const bytes = new Uint8Array(0x40000).map((_, n) => n >> 12);
      const result = await loadBoot(memory, { firmware: { name: 'f', bytes } });
      expect(result).toMatchObject({ protocol: 'firmware', cpu: { mode: 'reset', rip: 0xfff0 } });
      expect(Buffer.from(result.rom!).equals(bytes)).toBe(true);
      expect(memory.getUint8(0xe0000)).toBe(0x20);
      expect(memory.getUint8(0xfffff)).toBe(0x3f);
      await loadBoot(memory, { kernel: image(0x10000), protocol: 'firmware' });
      expect([memory.getUint8(0xeffff), memory.getUint8(0xf0000)]).toEqual([0x2f, 0x5a]);
    });
  });
  it.each([1, 0xffff, 0x18000, 2 ** 24 + 0x10000])('refuses %d bytes', async (length) => {
    await expect(boot({ firmware: image(length) })).rejects.toThrow(
      /is not a multiple of 64 KiB up to 16 MiB/,
    );
  });
});
