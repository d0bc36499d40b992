import { gzipSync } from 'node:zlib';
import { loadBoot, type BootOptions } from '../../../src/boot/load.js';
import type { BootResult } from '../../../src/boot/boot-result.js';
import { CMDLINE_ADDRESS, ZERO_PAGE_ADDRESS } from '../../../src/memory/layout.js';
import { bzImage, elf, KERNEL_ADDRESS, MIB, pattern, withMemory, withSize } from './images.js';

const boot = (bytes: Uint8Array, more: BootOptions = {}, memory = 64 * MIB): Promise<BootResult> =>
  withMemory(memory, (m) => loadBoot(m, { kernel: { name: 'bz', bytes }, ...more }));

describe('bzImage', () => {
  it('unpacks the payload and enters the kernel inside', async () => {
    await withMemory(64 * MIB, async (memory) => {
      const bytes = bzImage();
      const result = await loadBoot(memory, { kernel: { name: 'bz', bytes }, cmdline: 'quiet' });
      expect(result).toMatchObject({
        protocol: 'linux',
        format: 'bzImage',
        cpu: { mode: 'long', rip: KERNEL_ADDRESS },
        warnings: [],
      });
      expect([...memory.read(KERNEL_ADDRESS, 0x1800)]).toEqual([...pattern(0x1800)]);
      // The header of the image is in the zero page, with what the loader fills in.
      expect(memory.getUint16(ZERO_PAGE_ADDRESS + 0x206)).toBe(0x020f);
      expect(memory.getUint32(ZERO_PAGE_ADDRESS + 0x260)).toBe(0x200000);
      expect(memory.getUint8(ZERO_PAGE_ADDRESS + 0x210)).toBe(0xff);
      expect(memory.getUint32(ZERO_PAGE_ADDRESS + 0x228)).toBe(CMDLINE_ADDRESS);
      expect(memory.getUint64(ZERO_PAGE_ADDRESS + 0x250)).toBe(0n);
    });
  });

  it.each([
    [
      'of an unknown kind',
      withSize(Buffer.from('\x89LZO\0\r\n\x1a\n 0123456789'), 1000),
      /known here/,
    ],
    [
      'that is damaged',
      withSize(gzipSync(elf()).subarray(0, -40), 1000),
      /gzip payload cannot be unpacked/,
    ],
    ['with a wrong size', withSize(gzipSync(elf()), 100), /cannot be unpacked/],
    ['that is no ELF file', gzipSync(Buffer.alloc(5000)), /not an ELF file/],
    [
      '[H2] that says 4 GiB',
      withSize(gzipSync(elf()), 0xffffffff),
      /would unpack to 4294967295 bytes/,
    ],
    ['of no bytes', new Uint8Array(0), /known here/],
  ])('lets the image unpack itself: payload %s', async (_name, payload, warning) => {
    await withMemory(64 * MIB, async (memory) => {
      const bytes = bzImage({ payload });
      const result = await loadBoot(memory, { kernel: { name: 'bz', bytes } });
      expect(result.format).toBe('bzImage, unpacked by the guest');
      expect(result.cpu).toMatchObject({ mode: 'long', rip: KERNEL_ADDRESS + 0x200 });
      expect(result.warnings).toHaveLength(2);
      expect(result.warnings![0]).toMatch(warning);
      expect(memory.getUint32(ZERO_PAGE_ADDRESS + 0x214)).toBe(KERNEL_ADDRESS);
      expect([...memory.read(KERNEL_ADDRESS, 0x400)]).toEqual(Array(0x400).fill(0x90));
    });
  });

  it('a payload that unpacks to more than it says is stopped', async () => {
    // 50 MB of zeroes behind a size of 5000.
    const bomb = gzipSync(Buffer.alloc(50e6));
    bomb.writeUInt32LE(5000, bomb.length - 4);
    const result = await boot(bzImage({ payload: bomb }));
    expect(result.warnings![0]).toMatch(/gzip payload cannot be unpacked/);
  });

  it('[H2] setup_sects 0 means 4, and 255 is taken', async () => {
    for (const setupSects of [0, 255]) {
      await expect(boot(bzImage({ setupSects }))).resolves.toMatchObject({ format: 'bzImage' });
    }
  });

  it('takes a file that ends inside the last paragraph', async () => {
    const whole = bzImage();
    await expect(boot(whole.subarray(0, -1))).resolves.toMatchObject({ protocol: 'linux' });
    await expect(boot(whole.subarray(0, -16))).rejects.toThrow(/bz: is cut short: the header says/);
  });

  it('[H4] honours cmdline_size', async () => {
    const bytes = bzImage({ patch: (i) => i.writeUInt32LE(100, 0x238) });
    await expect(boot(bytes, { cmdline: 'x'.repeat(100) })).resolves.toBeDefined();
    await expect(boot(bytes, { cmdline: 'x'.repeat(101) })).rejects.toMatchObject({
      code: 'ERR_CMDLINE',
      message: 'the kernel command line has 101 bytes, this kernel takes at most 100',
    });
    const zero = bzImage({ patch: (i) => i.writeUInt32LE(0, 0x238) });
    await expect(boot(zero, { cmdline: 'x'.repeat(256) })).rejects.toThrow(/at most 255/);
    const huge = bzImage({ patch: (i) => i.writeUInt32LE(0xffffffff, 0x238) });
    await expect(boot(huge, { cmdline: 'x'.repeat(65536) })).rejects.toThrow(/at most 65535/);
  });
});

describe('[H2] bzImages that are refused', () => {
  const patch = (change: (image: Buffer) => void): Buffer => bzImage({ patch: change });
  it.each<[string, Buffer, RegExp]>([
    ['no boot flag', patch((i) => i.writeUInt16LE(0, 0x1fe)), /not a kernel of a known kind/],
    ['no HdrS', patch((i) => i.write('HdrX', 0x202)), /not a kernel of a known kind/],
    [
      'protocol 1.00',
      patch((i) => i.writeUInt16LE(0x0100, 0x206)),
      /has boot protocol 1\.00, at least 2\.12/,
    ],
    [
      'protocol 2.11',
      patch((i) => i.writeUInt16LE(0x020b, 0x206)),
      /has boot protocol 2\.11, at least 2\.12/,
    ],
    ['a 32-bit kernel', patch((i) => i.writeUInt16LE(0, 0x236)), /is a 32-bit kernel/],
    ['a zImage', patch((i) => i.writeUInt8(0, 0x211)), /is a zImage/],
    ['a header of 2 bytes', patch((i) => i.writeUInt8(2, 0x201)), /setup header ends at 0x204/],
    ['a header of 255 bytes', patch((i) => i.writeUInt8(255, 0x201)), /setup header ends at 0x301/],
    ['syssize 0', patch((i) => i.writeUInt32LE(0, 0x1f4)), /is cut short/],
    ['syssize past the end', patch((i) => i.writeUInt32LE(0xffffffff, 0x1f4)), /is cut short/],
    [
      'payload_offset past the end',
      patch((i) => i.writeUInt32LE(0xfffffff0, 0x248)),
      /payload .* lies outside/,
    ],
    [
      'payload_length past the end',
      patch((i) => i.writeUInt32LE(0xfffffff0, 0x24c)),
      /payload .* lies outside/,
    ],
    ['kernel_alignment 0', patch((i) => i.writeUInt32LE(0, 0x230)), /kernel_alignment is 0x0/],
    [
      'kernel_alignment 3 MiB',
      patch((i) => i.writeUInt32LE(0x300000, 0x230)),
      /not a power of two/,
    ],
    ['relocatable_kernel 2', patch((i) => i.writeUInt8(2, 0x234)), /relocatable_kernel is 2/],
    ['pref_address odd', bzImage({ prefAddress: 0x1000001n }), /pref_address is 0x1000001/],
    ['pref_address 0', bzImage({ prefAddress: 0n }), /pref_address is 0x0/],
    [
      'pref_address 2^63',
      bzImage({ prefAddress: 2n ** 63n }),
      /pref_address is 0x8000000000000000/,
    ],
  ])('%s', async (_name, bytes, message) => {
    await expect(boot(bytes)).rejects.toMatchObject({
      code: 'ERR_KERNEL',
      message: expect.stringMatching(message) as string,
    });
  });

  it('an init_size beyond RAM, when the image unpacks itself', async () => {
    const bytes = bzImage({ payload: new Uint8Array(0), initSize: 0xffffffff });
    await expect(boot(bytes)).rejects.toMatchObject({ code: 'ERR_MEMORY' });
    const fits = bzImage({ payload: new Uint8Array(0), initSize: 100 * MIB });
    await expect(boot(fits)).rejects.toMatchObject({
      hint: 'give the guest more memory: at least --memory 116M',
    });
  });

  it('a file cut short at each byte', async () => {
    const whole = bzImage();
    await withMemory(32 * MIB, async (memory) => {
      for (let length = 1; length <= whole.length - 16; length += length < 0x300 ? 1 : 61) {
        const bytes = whole.subarray(0, length);
        await expect(loadBoot(memory, { kernel: { name: 'k', bytes } })).rejects.toMatchObject({
          code: 'ERR_KERNEL',
        });
      }
    });
  });
});
