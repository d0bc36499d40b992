/** State of a vCPU before its first instruction, as QEMU and Firecracker set it. */
import type { CpuidEntry } from '../kvm/cpuid.js';
import { encodeCpuid } from '../kvm/cpuid.js';
import { constant, native } from '../kvm/native.js';
import { Gpr, type Segment, type SpecialRegisters } from '../kvm/registers.js';
import type { Msr, VcpuFd } from '../kvm/vcpu-fd.js';
import type { InitialCpuState } from '../boot/boot-result.js';
import { GDT_ADDRESS, PAGE_TABLE_ADDRESS } from '../memory/layout.js';
import { VexitError } from '../util/errors.js';

const CODE_SELECTOR = 0x10;
const DATA_SELECTOR = 0x18;
const TSS_SELECTOR = 0x20;
/** Descriptors that boot code leaves at GDT_ADDRESS: two empty ones, code, data, TSS. */
const GDT_LIMIT = 5 * 8 - 1;

const CR0_PE = 1n;
const CR0_ET = 1n << 4n;
/** PG, AM, WP, NE, ET, MP, PE. */
const CR0_LONG = 0x8005_0033n;
const CR4_PAE = 1n << 5n;
/** LME and LMA. */
const EFER_LONG = 0x500n;

const MSR_TSC = 0x10;
const MSR_SYSENTER_CS = 0x174;
const MSR_MISC_ENABLE = 0x1a0;
const MSR_MTRR_DEF_TYPE = 0x2ff;
const MSR_STAR = 0xc000_0081;
const MSR_KERNEL_GS_BASE = 0xc000_0102;

/** Boot values: the table of Firecracker's `create_boot_msr_entries`. */
const BOOT_MSRS: readonly Msr[] = [
  ...[0, 1, 2].map((i) => ({ index: MSR_SYSENTER_CS + i, value: 0n })),
  ...[0, 1, 2, 3].map((i) => ({ index: MSR_STAR + i, value: 0n })),
  { index: MSR_KERNEL_GS_BASE, value: 0n },
  { index: MSR_TSC, value: 0n },
  // Fast string operations.
  { index: MSR_MISC_ENABLE, value: 1n },
  // MTRRs on, default type write-back.
  { index: MSR_MTRR_DEF_TYPE, value: 0x806n },
];

/** CPUID, MSRs, FPU and local APIC: the same for every vCPU. */
export function setUpVcpu(vcpu: VcpuFd, cpuid: readonly CpuidEntry[]): void {
  native().setCpuid2(vcpu.fd, encodeCpuid(cpuid));
  const taken = vcpu.writeMsrs(BOOT_MSRS);
  if (taken !== BOOT_MSRS.length) {
    const refused = BOOT_MSRS[taken]!.index.toString(16);
    throw new VexitError('ERR_KVM_UNSUPPORTED', `KVM refuses to set MSR 0x${refused}`);
  }
  setUpFpu(vcpu);
  setUpLapic(vcpu);
}

function setUpFpu(vcpu: VcpuFd): void {
  const fpu = new Uint8Array(constant('sizeof_kvm_fpu'));
  const view = new DataView(fpu.buffer);
  view.setUint16(constant('kvm_fpu.fcw'), 0x37f, true);
  view.setUint32(constant('kvm_fpu.mxcsr'), 0x1f80, true);
  native().setFpu(vcpu.fd, fpu);
}

const APIC_LVT_LINT0 = 0x350;
const APIC_LVT_LINT1 = 0x360;
const DELIVERY_MODE_MASK = 0x700;
const DELIVERY_MODE_NMI = 0x400;
const DELIVERY_MODE_EXTINT = 0x700;

/** LINT0 takes the PIC's interrupts and LINT1 the NMI, as the MP table says. */
function setUpLapic(vcpu: VcpuFd): void {
  const lapic = new Uint8Array(constant('sizeof_kvm_lapic_state'));
  const view = new DataView(lapic.buffer);
  native().getLapic(vcpu.fd, lapic);
  const wire = (register: number, mode: number): void => {
    const value = view.getUint32(register, true);
    view.setUint32(register, (value & ~DELIVERY_MODE_MASK) | mode, true);
  };
  wire(APIC_LVT_LINT0, DELIVERY_MODE_EXTINT);
  wire(APIC_LVT_LINT1, DELIVERY_MODE_NMI);
  native().setLapic(vcpu.fd, lapic);
}

/** Registers of the boot processor; application processors keep KVM's reset state and wait for SIPI. */
export function setUpBootProcessor(vcpu: VcpuFd, state: InitialCpuState): void {
  if (state.mode !== 'reset') {
    const sregs = vcpu.readSregs();
    if (state.mode === 'real') setRealMode(sregs, state.cs ?? 0);
    else setFlatMode(sregs, state.mode === 'long');
    vcpu.writeSregs();
  }
  const regs = vcpu.readRegs();
  regs.values.fill(0n);
  regs.set(Gpr.Rip, BigInt(state.rip));
  regs.set(Gpr.Rsp, BigInt(state.rsp ?? 0));
  regs.set(Gpr.Rax, BigInt(state.rax ?? 0));
  regs.set(Gpr.Rbx, BigInt(state.rbx ?? 0));
  regs.set(Gpr.Rsi, BigInt(state.rsi ?? 0));
  // Bit 1 is always set.
  regs.set(Gpr.Rflags, 2n);
  if (state.mode === 'reset') regs.set(Gpr.Rdx, 0x600n);
  vcpu.writeRegs();
}

function setRealMode(sregs: SpecialRegisters, codeSelector: number): void {
  for (const name of ['cs', 'ds', 'es', 'fs', 'gs', 'ss'] as const) {
    const segment = sregs.getSegment(name);
    segment.selector = name === 'cs' ? codeSelector : 0;
    segment.base = BigInt(segment.selector * 16);
    sregs.setSegment(name, segment);
  }
}

/** Flat segments: 32-bit with paging off, or 64-bit over the identity page tables. */
function setFlatMode(sregs: SpecialRegisters, long: boolean): void {
  const flat: Omit<Segment, 'selector' | 'type'> = {
    base: 0n,
    limit: 0xffff_ffff,
    present: 1,
    dpl: 0,
    db: 1,
    s: 1,
    l: 0,
    g: 1,
    avl: 0,
    unusable: 0,
  };
  // Type 11: code, execute/read, accessed; 3: data, read/write, accessed; 11 in TR: busy TSS.
  const code = { ...flat, selector: CODE_SELECTOR, type: 11 };
  sregs.setSegment('cs', long ? { ...code, db: 0, l: 1 } : code);
  for (const name of ['ds', 'es', 'fs', 'gs', 'ss'] as const) {
    sregs.setSegment(name, { ...flat, selector: DATA_SELECTOR, type: 3 });
  }
  sregs.setSegment('tr', {
    ...{ ...flat, selector: TSS_SELECTOR, type: 11, s: 0, g: 0, db: 0 },
    limit: 0x67,
  });
  sregs.setTable('gdt', BigInt(GDT_ADDRESS), GDT_LIMIT);
  sregs.setTable('idt', 0n, 0);
  if (long) {
    sregs.setControl('cr3', BigInt(PAGE_TABLE_ADDRESS));
    sregs.setControl('cr4', CR4_PAE);
    sregs.setControl('cr0', CR0_LONG);
    sregs.setControl('efer', EFER_LONG);
  } else {
    sregs.setControl('cr0', CR0_PE | CR0_ET);
    sregs.setControl('cr4', 0n);
  }
}
