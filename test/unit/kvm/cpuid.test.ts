import { constant } from '../../../src/kvm/native';
import { cpuidForVcpu, encodeCpuid, parseCpuMask, type CpuidEntry } from '../../../src/kvm/cpuid';
import { thrownBy } from '../../support/thrown';

function entry(fn: number, values: Partial<CpuidEntry> = {}): CpuidEntry {
  return { function: fn, index: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, ...values };
}

/** What a host with 64 threads could say. */
const SUPPORTED: readonly CpuidEntry[] = [
  entry(0, { eax: 0x1f }),
  entry(1, { eax: 0x806f8, ebx: 0x3f400800, ecx: 0x08000001, edx: 0x1fffffff }),
  // L1 data, L2 and L3, then the end of the list.
  entry(4, { index: 0, flags: 1, eax: 0xfc004121 }),
  entry(4, { index: 2, flags: 1, eax: 0xfc004143 }),
  entry(4, { index: 3, flags: 1, eax: 0xfc1fc163 }),
  entry(4, { index: 4, flags: 1, eax: 0 }),
  entry(6, { eax: 0xffff, ebx: 1, ecx: 9, edx: 3 }),
  entry(7, { index: 0, flags: 1, ebx: 0x20, ecx: 0xffffffff }),
  entry(7, { index: 1, flags: 1, ebx: 0x20 }),
  entry(0xa, { eax: 0x7300805, edx: 0x603 }),
  entry(0xb, { index: 0, flags: 1, eax: 1, ebx: 2, ecx: 0x100, edx: 0x3f }),
  entry(0xb, { index: 1, flags: 1, eax: 7, ebx: 64, ecx: 0x201, edx: 0x3f }),
  entry(0x1f, { index: 0, flags: 1, eax: 1, ebx: 2, ecx: 0x100, edx: 0x3f }),
  entry(0x8000_0008, { eax: 0x3934, ecx: 0x703f }),
  entry(0x8000_001e, { eax: 0x3f, ebx: 0x0103, ecx: 0x700 }),
];

const find = (table: readonly CpuidEntry[], fn: number, index = 0): CpuidEntry =>
  table.find((item) => item.function === fn && item.index === index)!;

describe.each([
  { cpus: 1, shift: 0 },
  { cpus: 2, shift: 1 },
  { cpus: 3, shift: 2 },
  { cpus: 4, shift: 2 },
  { cpus: 32, shift: 5 },
])('topology of $cpus', ({ cpus, shift }) => {
  test('every processor has its id, all are cores of one package', () => {
    for (let id = 0; id < cpus; id++) {
      const table = cpuidForVcpu(SUPPORTED, id, cpus, [], true);
      const leaf1 = find(table, 1);
      expect(leaf1.ebx).toBe(id * 2 ** 24 + 2 ** shift * 2 ** 16 + 0x0800);
      expect((leaf1.edx >>> 28) & 1).toBe(cpus > 1 ? 1 : 0);
      for (const leaf of [0xb, 0x1f]) {
        expect(table.filter((item) => item.function === leaf)).toHaveLength(3);
        expect(find(table, leaf, 0)).toMatchObject({ eax: 0, ebx: 1, ecx: 0x100, edx: id });
        expect(find(table, leaf, 1)).toMatchObject({ eax: shift, ebx: cpus, ecx: 0x201, edx: id });
        expect(find(table, leaf, 2)).toMatchObject({ eax: 0, ebx: 0, edx: id, flags: 1 });
      }
      const ids = 2 ** shift - 1;
      // L1 and L2 belong to one core, L3 to all; the cache's own bits stay.
      for (const index of [0, 2]) expect((find(table, 4, index).eax >>> 14) & 0xfff).toBe(0);
      expect((find(table, 4, 3).eax >>> 14) & 0xfff).toBe(ids);
      for (const index of [0, 2, 3]) {
        expect(find(table, 4, index).eax >>> 26).toBe(ids);
        expect(find(table, 4, index).eax & 0x3fff).toBe(find(SUPPORTED, 4, index).eax & 0x3fff);
      }
      expect(find(table, 4, 4).eax).toBe(0);
      expect(find(table, 0x8000_0008)).toMatchObject({
        eax: 0x3934,
        ecx: (shift << 12) | (cpus - 1),
      });
      expect(find(table, 0x8000_001e)).toMatchObject({ eax: id, ecx: 0 });
      for (const item of table) {
        for (const register of ['eax', 'ebx', 'ecx', 'edx'] as const) {
          // What a signed operation left behind would be refused by the encoder's reader.
          expect(item[register]).toBeGreaterThanOrEqual(0);
        }
      }
    }
  });
});

test('what is the machine’s and not the host’s', () => {
  const table = cpuidForVcpu(SUPPORTED, 0, 1, [], true);
  const { ecx } = find(table, 1);
  expect(ecx >>> 31).toBe(1);
  expect((ecx >>> 24) & 1).toBe(1);
  expect((ecx >>> 27) & 1).toBe(0);
  expect((find(cpuidForVcpu(SUPPORTED, 0, 1, [], false), 1).ecx >>> 24) & 1).toBe(0);
  expect(find(table, 6)).toMatchObject({ eax: 4, ebx: 0, ecx: 0, edx: 0 });
  expect(find(table, 0xa)).toMatchObject({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
});

test('the supported table is not changed, and leaves beyond its end are not made up', () => {
  const before = JSON.stringify(SUPPORTED);
  cpuidForVcpu(SUPPORTED, 3, 4, parseCpuMask('host,-avx2'), true);
  expect(JSON.stringify(SUPPORTED)).toBe(before);
  const old = cpuidForVcpu([entry(0, { eax: 0xa }), entry(1)], 0, 2, [], true);
  expect(old.map((item) => item.function)).toEqual([0, 1]);
});

test('masks clear one bit of one leaf, in the subleaf that has it', () => {
  const masks = parseCpuMask('host, -avx2,-sse3,');
  const table = cpuidForVcpu(SUPPORTED, 0, 1, masks, true);
  expect(find(table, 7, 0)).toMatchObject({ ebx: 0, ecx: 0xffffffff });
  expect(find(table, 7, 1).ebx).toBe(0x20);
  expect(find(table, 1).ecx & 1).toBe(0);
  expect(parseCpuMask('')).toEqual([]);
  expect(parseCpuMask('host')).toEqual([]);
  // Bit 31: unsigned.
  expect(parseCpuMask('-hypervisor')).toEqual([
    { function: 1, register: 'ecx', bits: 0x8000_0000 },
  ]);
});

test.each(['avx2', '+avx2', '-', '--avx2', '-none', '-AVX2', 'hosts', '- avx2'])(
  'not a feature: %s',
  (text) => {
    expect(thrownBy(() => parseCpuMask(text))).toMatchObject({
      code: 'ERR_CONFIG',
      hint: expect.stringContaining('--cpu') as string,
    });
  },
);

test('the bytes of KVM_SET_CPUID2', () => {
  const bytes = encodeCpuid([
    entry(1, { index: 2, flags: 1, eax: 0xffffffff, ebx: 4, ecx: 5, edx: 6 }),
    entry(7),
  ]);
  const header = constant('sizeof_kvm_cpuid2');
  const size = constant('sizeof_kvm_cpuid_entry2');
  expect(bytes.length).toBe(header + 2 * size);
  const view = new DataView(bytes.buffer);
  expect(view.getUint32(0, true)).toBe(2);
  const fields = [0, 4, 8, 12, 16, 20, 24].map((at) => view.getUint32(header + at, true));
  expect(fields).toEqual([1, 2, 1, 0xffffffff, 4, 5, 6]);
  expect(view.getUint32(header + size, true)).toBe(7);
});
