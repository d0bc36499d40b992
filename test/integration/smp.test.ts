/** Several processors: INIT and SIPI, atomic counting, IPIs, and what CPUID tells each of them. */
import { existsSync } from 'node:fs';
import { describeKvm } from '../support/kvm';
import { checkLeaks, runGuest } from '../support/run-guest';

/** The host's own leaf 1 EDX shines through there. */
const PVM = existsSync('/sys/module/kvm_pvm');
const ADDITIONS = 300;

describeKvm('SMP', () => {
  checkLeaks();

  test.each([1, 2, 4, 8])('%d processors', async (cpus) => {
    const { report, values } = await runGuest('smp', { cpus, cmdline: `cpus=${cpus}` });
    expect(report.reason).toBe('power-off');
    expect(values('bsp')).toEqual(['0']);
    expect(values('counter')).toEqual([(cpus * ADDITIONS).toString(16)]);
    expect(values('ipis')).toEqual([(2 * (cpus - 1)).toString(16)]);

    const lines = values('cpu');
    expect(lines).toHaveLength(cpus);
    lines.forEach((line, id) => {
      const [index, seen, ...leaves] = line.split(' ');
      expect(parseInt(index!, 16)).toBe(id);
      // Each application processor came up once.
      expect(seen).toBe(id === 0 ? '0' : '1');
      const [leaf1, thread, core, beyond, cache, amd] = leaves.map((leaf) =>
        leaf.split(',').map((value) => parseInt(value, 16)),
      );
      const shift = Math.ceil(Math.log2(cpus));
      // Leaf 1: initial APIC id, ids reserved in the package, HTT, running under a hypervisor.
      expect(leaf1![1]! >>> 24).toBe(id);
      expect((leaf1![1]! >>> 16) & 0xff).toBe(2 ** shift);
      if (cpus > 1 || !PVM) expect((leaf1![3]! >>> 28) & 1).toBe(cpus > 1 ? 1 : 0);
      expect(leaf1![2]! >>> 31).toBe(1);
      // Leaf 0xb: one thread a core, all cores in the package, then nothing.
      expect(thread).toEqual([0, 1, 0x100, id]);
      expect(core).toEqual([shift, cpus, 0x201, id]);
      expect([beyond![0], beyond![1], beyond![3]]).toEqual([0, 0, id]);
      // Leaf 4 on Intel: cores in the package; leaf 0x8000001e on AMD: extended APIC id.
      if ((cache![0]! & 0x1f) !== 0) expect(cache![0]! >>> 26).toBe(2 ** shift - 1);
      if (amd!.some((value) => value !== 0)) expect(amd![0]).toBe(id);
    });
  });
});
