/** The page walk, the paired exchange and the host's data. */
import { GuestMemory } from '../../../src/memory/guest-memory.js';
import { exchangePair } from '../../../src/vcpu/pvm/exchange-pair.js';
import { adjustCpuid } from '../../../src/vcpu/pvm/host.js';
import { walk, type PagingState } from '../../../src/vcpu/pvm/page-walk.js';

const STATE: PagingState = { cr0: 0x80010001n, cr3: 0x1000n, cr4: 0x20n, longMode: true };
const LINEAR = 0xffff_8880_0000_0000n;

describe('page walk', () => {
  let memory: GuestMemory;
  beforeEach(() => {
    memory = GuestMemory.create('walk', [{ start: 0, size: 1 << 20 }]);
    memory.setUint64(0x1000 + 8 * 273, 0x2003n);
    memory.setUint64(0x2000, 0x3003n);
    memory.setUint64(0x2008, 0x4000_0083n); // 1 GiB page
    memory.setUint64(0x3000, 0x4003n);
    memory.setUint64(0x3008, (1n << 63n) | 0x20_0081n); // 2 MiB page, read-only, no execution
    memory.setUint64(0x4000, 0x5003n);
    memory.setUint64(0x4010, 0x6001n); // read-only
  });
  afterEach(() => memory.close());

  test('finds pages of all sizes', () => {
    expect(walk(memory, STATE, LINEAR + 0x123n, false)).toEqual({ physical: 0x5123 });
    expect(walk(memory, STATE, LINEAR + 0x20_0456n, false)).toEqual({ physical: 0x20_0456 });
    expect(walk(memory, STATE, LINEAR + 0x4000_0789n, true)).toEqual({ physical: 0x4000_0789 });
  });

  test('sets accessed and dirty flags', () => {
    walk(memory, STATE, LINEAR, false);
    expect([memory.getUint64(0x1000 + 8 * 273), memory.getUint64(0x4000)]).toEqual([
      0x2023n,
      0x5023n,
    ]);
    walk(memory, STATE, LINEAR, true);
    expect([memory.getUint64(0x3000), memory.getUint64(0x4000)]).toEqual([0x4023n, 0x5063n]);
  });

  test('faults with the error code of the access', () => {
    expect(walk(memory, STATE, LINEAR + 0x1000n, false)).toEqual({ fault: 0 });
    expect(walk(memory, STATE, LINEAR + 0x1000n, true)).toEqual({ fault: 2 });
    expect(walk(memory, STATE, LINEAR + 0x2000n, true)).toEqual({ fault: 3 });
    expect(memory.getUint64(0x4010)).toBe(0x6001n);
    expect(walk(memory, STATE, LINEAR + 0x20_0000n, true)).toEqual({ fault: 3 });
    const unprotected = { ...STATE, cr0: 0x80000001n };
    expect(walk(memory, unprotected, LINEAR + 0x2000n, true)).toEqual({ physical: 0x6000 });
  });

  test('says so where it cannot walk', () => {
    expect(walk(memory, { ...STATE, cr4: 0n }, LINEAR, false)).toBeUndefined();
    expect(walk(memory, { ...STATE, cr3: 0x7000_0000n }, LINEAR, false)).toBeUndefined();
    expect(walk(memory, { ...STATE, cr0: 1n }, 0x1234n, false)).toEqual({ physical: 0x1234 });
  });

  test('walks PAE tables outside long mode', () => {
    memory.setUint64(0x7020 + 24, 0x3001n);
    const pae = { ...STATE, cr3: 0x7020n, longMode: false };
    expect(walk(memory, pae, 0xc000_0042n, true)).toEqual({ physical: 0x5042 });
    expect(memory.getUint64(0x7020 + 24)).toBe(0x3001n);
  });

  test('walks five levels', () => {
    memory.setUint64(0x8000, 0x1003n);
    const la57 = { ...STATE, cr3: 0x8000n, cr4: 0x1020n };
    expect(walk(memory, la57, BigInt.asUintN(48, LINEAR), false)).toEqual({ physical: 0x5000 });
  });
});

describe('exchange of a pair', () => {
  test('exchanges both halves or none', () => {
    const words = new BigUint64Array([1n, 2n]);
    expect(exchangePair(words, [1n, 3n], [5n, 6n])).toEqual([1n, 2n]);
    expect(exchangePair(words, [0n, 2n], [5n, 6n])).toEqual([1n, 2n]);
    expect([...words]).toEqual([1n, 2n]);
    expect(exchangePair(words, [1n, 2n], [5n, 6n])).toBeUndefined();
    expect([...words]).toEqual([5n, 6n]);
  });
});

test('CPUID bits are cleared in place, in their leaves only', () => {
  const entry = (
    leaf: number,
  ): Parameters<typeof adjustCpuid>[0] extends Iterable<infer T> ? T : never => ({
    function: leaf,
    eax: 0xffffffff,
    ebx: 0xffffffff,
    ecx: 0xffffffff,
    edx: 0xffffffff,
  });
  const entries = [entry(1), entry(7), entry(0x40000001)];
  adjustCpuid(entries);
  expect(entries.map(({ eax, ecx }) => [eax, ecx])).toEqual([
    [0xffffffff, 0xffffdfff],
    [0xffffffff, 0xffffffff],
    [0xfffcc57f, 0xffffffff],
  ]);
});
