import { PVM_BUILT_GUEST_CMDLINE, PVM_CMDLINE } from '../../../src/vcpu/pvm/index.js';

function clearcpuid(cmdline: string): string {
  return /(?:^| )clearcpuid=(\S+)/.exec(cmdline)?.[1] ?? '';
}

describe('kernel parameters for kvm-pvm hosts', () => {
  test.each([PVM_CMDLINE, PVM_BUILT_GUEST_CMDLINE])('clearcpuid is read whole: %s', (cmdline) => {
    expect(clearcpuid(cmdline)).not.toBe('');
    expect(clearcpuid(cmdline).length).toBeLessThanOrEqual(127);
  });

  test('the built guest hides the same features, by number', () => {
    expect(clearcpuid(PVM_CMDLINE).split(',')).toHaveLength(
      clearcpuid(PVM_BUILT_GUEST_CMDLINE).split(',').length,
    );
    // X86_FEATURE_SMAP, SMEP, FSGSBASE, INVPCID, PCID, ERMS, FSRM, POPCNT, ...
    expect(clearcpuid(PVM_BUILT_GUEST_CMDLINE)).toBe(
      '308,295,288,298,145,297,580,151,137,147,148,153,129,317,296,307,319,321,323,515',
    );
  });

  // Programs use AVX whatever the kernel is told: it has to save it, in a format that is completed.
  test('leave the kernel XSAVE, in its standard format', () => {
    for (const cmdline of [PVM_CMDLINE, PVM_BUILT_GUEST_CMDLINE]) {
      expect(cmdline).not.toMatch(/noxsave(?![a-z])/);
    }
    expect(clearcpuid(PVM_CMDLINE).split(',')).toEqual(
      expect.arrayContaining(['xsavec', 'xsaves']),
    );
    for (const needed of ['avx', 'avx2', 'avx512f']) {
      expect(clearcpuid(PVM_CMDLINE).split(',')).not.toContain(needed);
    }
  });

  test('what only suits the kernel of the default guest is kept from others', () => {
    expect(PVM_CMDLINE).not.toMatch(/rodata|percpu_alloc/);
  });
});
