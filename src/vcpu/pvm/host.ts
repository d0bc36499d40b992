/**
 * What is different for a whole VM on a host whose KVM is kvm-pvm, see docs/kvm-pvm.md: kernel
 * parameters, CPUID bits, and which MSR writes exit to user space.
 */
import { existsSync } from 'node:fs';
import { constant, native } from '../../kvm/native.js';
import { MsrIndex } from './guest-cpu.js';

/** True when this host's KVM runs guests without VT-x or AMD-V and needs {@link PvmCompletions}. */
export function detectPvm(): boolean {
  return existsSync('/sys/module/kvm_pvm');
}

/**
 * What the kernel is told not to use, since the processor's own CPUID bits shine through whatever
 * KVM_SET_CPUID2 was given: each would cost an exit (or, for erms, a slow emulated string move)
 * every time. From ssse3 to avx512vl they are what the kernel's crypto picks vector code by, which
 * KVM's emulator cannot run; then the XSAVE formats that have no completion. AVX, AVX2 and AVX512F
 * stay, or the kernel would not save those registers: programs find them whatever it is told. Names and numbers are Linux's (asm/cpufeatures.h), word times 32 plus bit.
 */
const HIDDEN_FEATURES: readonly (readonly [name: string, number: number])[] = [
  ['smap', 9 * 32 + 20],
  ['smep', 9 * 32 + 7],
  ['fsgsbase', 9 * 32],
  ['invpcid', 9 * 32 + 10],
  ['pcid', 4 * 32 + 17],
  ['erms', 9 * 32 + 9],
  ['fsrm', 18 * 32 + 4],
  ['popcnt', 4 * 32 + 23],
  ['ssse3', 4 * 32 + 9],
  ['sse4_1', 4 * 32 + 19],
  ['sse4_2', 4 * 32 + 20],
  ['aes', 4 * 32 + 25],
  ['pclmulqdq', 4 * 32 + 1],
  ['sha_ni', 9 * 32 + 29],
  ['bmi2', 9 * 32 + 8],
  ['adx', 9 * 32 + 19],
  ['avx512vl', 9 * 32 + 31],
  // The compacted formats, and with xsaves AMX, which Linux lets depend on it. XSAVE itself has to
  // stay: see docs/kvm-pvm.md, "Vector registers".
  ['xsavec', 10 * 32 + 1],
  ['xsaves', 10 * 32 + 3],
  // KVM without VT-x or AMD-V has no CR4.PKE for a guest.
  ['pku', 16 * 32 + 3],
];

/**
 * Kernel parameters appended to any Linux kernel's on such hosts. The kernel reads at most 127
 * characters of clearcpuid.
 */
export const PVM_CMDLINE = [
  'nosmap nosmep',
  `clearcpuid=${HIDDEN_FEATURES.map(([name]) => name).join(',')}`,
  'mitigations=off',
].join(' ');

/**
 * The same for the default guest's own kernel, and what makes it boot faster where its code is
 * interpreted:
 *
 * - `clearcpuid` by number: a name is compared with those of all features.
 * - `rodata=off`: write protecting the kernel's text walks its page tables page by page. The kernel
 *   has one tenant and no modules.
 * - `percpu_alloc=page`: a first chunk of the size that is needed instead of 2 MiB, whose free map
 *   every later allocation would search.
 */
export const PVM_BUILT_GUEST_CMDLINE = [
  `clearcpuid=${HIDDEN_FEATURES.map(([, number]) => number).join(',')}`,
  'rodata=off percpu_alloc=page',
].join(' ');

/** Bits to clear in one register of a CPUID leaf. */
export interface CpuidClear {
  readonly leaf: number;
  readonly register: 'eax' | 'ebx' | 'ecx' | 'edx';
  readonly bits: number;
}

const bits = (...numbers: number[]): number => numbers.reduce((sum, bit) => sum | (1 << bit), 0);

/** CPUID bits to clear for the guest on such hosts. */
export const PVM_CPUID_CLEAR: readonly CpuidClear[] = [
  // CMPXCHG16B: completed, but as two halves and with an exit each.
  { leaf: 1, register: 'ecx', bits: bits(13) },
  // Features whose use is a hypercall, which spins for ever on this KVM: PV_UNHALT, PV_TLB_FLUSH,
  // PV_SEND_IPI, POLL_CONTROL, PV_SCHED_YIELD, HC_MAP_GPA_RANGE, MIGRATION_CONTROL.
  { leaf: 0x40000001, register: 'eax', bits: bits(7, 9, 11, 12, 13, 16, 17) },
];

/** A CPUID entry as far as {@link adjustCpuid} changes it. */
export interface CpuidRegisters {
  readonly function: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

/** Clears {@link PVM_CPUID_CLEAR} in place. */
export function adjustCpuid(entries: Iterable<CpuidRegisters>): void {
  for (const entry of entries) {
    for (const { leaf, register, bits: clear } of PVM_CPUID_CLEAR) {
      if (entry.function === leaf) entry[register] = (entry[register] & ~clear) >>> 0;
    }
  }
}

/**
 * Makes the guest's writes to STAR, LSTAR, CSTAR and FMASK exit with KVM_EXIT_X86_WRMSR, so that
 * {@link PvmCompletions} follows them. Once per VM, before the first run.
 */
export function enablePvmMsrExits(vmFd: number): void {
  const cap = new DataView(new ArrayBuffer(constant('sizeof_kvm_enable_cap')));
  cap.setUint32(constant('kvm_enable_cap.cap'), constant('KVM_CAP_X86_USER_SPACE_MSR'), true);
  const reason = BigInt(constant('KVM_MSR_EXIT_REASON_FILTER'));
  cap.setBigUint64(constant('kvm_enable_cap.args'), reason, true);
  native().enableCap(vmFd, cap);
  native().setMsrFilter(vmFd, [MsrIndex.Star, MsrIndex.Fmask - MsrIndex.Star + 1, true]);
}
