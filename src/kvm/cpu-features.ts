/** Names of processor features, as /proc/cpuinfo and QEMU spell them, and where CPUID has them. */
import type { CpuidMask, CpuidRegister } from './cpuid.js';

/** One name per bit from bit 0 up; a dash where a bit has no name here. */
const LEAVES: [leaf: number, index: number | undefined, register: CpuidRegister, names: string][] =
  [
    [
      1,
      undefined,
      'edx',
      'fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - ds acpi mmx fxsr sse sse2 ss ht tm ia64 pbe',
    ],
    [
      1,
      undefined,
      'ecx',
      'sse3 pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c rdrand hypervisor',
    ],
    [
      7,
      0,
      'ebx',
      'fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm mpx rdt_a avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl',
    ],
    [
      7,
      0,
      'ecx',
      'prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri movdir64b enqcmd sgx_lc pks',
    ],
    [
      7,
      0,
      'edx',
      '- - avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect srbds md_clear - - - serialize hybrid tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl intel_stibp flush_l1d arch_capabilities core_capabilities ssbd',
    ],
    [0xd, 1, 'eax', 'xsaveopt xsavec xgetbv1 xsaves xfd'],
    [
      0x8000_0001,
      undefined,
      'ecx',
      'lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb',
    ],
    [
      0x8000_0001,
      undefined,
      'edx',
      '- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow',
    ],
    [0x8000_0007, undefined, 'edx', '- - - - - - - - constant_tsc'],
  ];

/** The CPUID bit behind a feature name, or undefined. */
export function findFeature(name: string): CpuidMask | undefined {
  for (const [leaf, index, register, names] of LEAVES) {
    const bit = names.split(' ').indexOf(name);
    if (name === '-' || bit === -1) continue;
    const place = index === undefined ? {} : { index };
    return { function: leaf, ...place, register, bits: (1 << bit) >>> 0 };
  }
  return undefined;
}
