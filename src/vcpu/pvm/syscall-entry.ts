/**
 * SYSCALL from CPL 3 (SDM volume 2, SYSCALL). kvm-pvm loads RIP, RCX, R11 and RFLAGS but leaves
 * CS and SS at CPL 3, so the guest's own entry point faults; this finishes the entry when the #PF
 * reaches the guest's handler. See docs/kvm-pvm.md.
 */
import { Gpr } from '../../kvm/registers.js';
import { GuestPageFault, MsrIndex, NotInRam, Rflags } from './guest-cpu.js';
import type { KvmGuestCpu } from './kvm-guest-cpu.js';
import { PageFaultCode } from './page-walk.js';
import { kernelCodeSegment, kernelStackSegment } from './segments.js';

/** Exception frame with error code in 64-bit mode, from RSP upwards (SDM volume 3, 6.14.2). */
const FRAME = { errorCode: 0, rip: 1, cs: 2, rflags: 3, rsp: 4, ss: 5 } as const;

/** What the system-call MSRs hold. */
export interface SyscallMsrs {
  star: bigint;
  lstar: bigint;
  fmask: bigint;
}

/** Two bytes of the SYSCALL instruction. */
const SYSCALL_OPCODE = 0x050f;

/** Recognises and finishes system calls at the first instruction of the #PF handler. */
export class SyscallEntry {
  private readonly frame = new BigUint64Array(6);
  private readonly frameBytes = new Uint8Array(this.frame.buffer);
  private readonly code = new Uint8Array(2);

  constructor(private readonly cpu: KvmGuestCpu) {}

  /**
   * Looks at the exception frame on the stack.
   * @returns true when it was a system call, and the registers are those of its entry point
   */
  tryEnter(msrs: SyscallMsrs): boolean {
    const { cpu, frame } = this;
    try {
      cpu.readLinear(cpu.regs.get(Gpr.Rsp), this.frameBytes);
    } catch (error) {
      if (error instanceof GuestPageFault || error instanceof NotInRam) return false;
      throw error;
    }
    if (frame[FRAME.rip] !== msrs.lstar || (frame[FRAME.cs]! & 3n) !== 3n) return false;
    if (!this.isSystemCall(msrs)) return false;

    const selector = Number((msrs.star >> 32n) & 0xffffn);
    cpu.regs.set(Gpr.Rip, msrs.lstar);
    cpu.regs.set(Gpr.Rsp, frame[FRAME.rsp]!);
    cpu.regs.set(Gpr.Rflags, (frame[FRAME.rflags]! & ~Rflags.RF) | Rflags.FIXED);
    cpu.setSegment('cs', kernelCodeSegment(selector));
    cpu.setSegment('ss', kernelStackSegment(selector + 8));
    return true;
  }

  /**
   * Tells SYSCALL from user code that jumps to the address in LSTAR. SYSCALL has cleared the
   * RFLAGS bits of FMASK, and a kernel masks IF, which user code at IOPL 0 cannot clear. Where
   * FMASK leaves IF, the registers have to be those that a SYSCALL at RCX - 2 gives: a jump with
   * such registers is the same as that SYSCALL.
   */
  private isSystemCall({ lstar, fmask }: SyscallMsrs): boolean {
    const { cpu, frame } = this;
    const fetch = PageFaultCode.U;
    const errorCode = Number(frame[FRAME.errorCode]! & 0xffn);
    if ((errorCode & (fetch | PageFaultCode.W)) !== fetch) return false;
    if (cpu.sregs.getControl('cr2') !== lstar) return false;
    const rflags = frame[FRAME.rflags]!;
    if ((rflags & fmask & ~Rflags.RF & ~Rflags.FIXED) !== 0n) return false;
    if ((fmask & Rflags.IF) !== 0n) return true;

    const r11 = cpu.regs.get(Gpr.R11);
    const loaded = ((r11 & ~fmask) ^ rflags) & ~Rflags.RF & ~Rflags.FIXED;
    if (loaded !== 0n || (r11 & (Rflags.IOPL | Rflags.VM)) !== 0n) return false;
    if ((r11 & Rflags.IF) === 0n) return false;
    try {
      cpu.readLinear(BigInt.asUintN(64, cpu.regs.get(Gpr.Rcx) - 2n), this.code);
    } catch {
      return false;
    }
    return (this.code[0]! | (this.code[1]! << 8)) === SYSCALL_OPCODE;
  }
}

/** Reads the MSRs of {@link SyscallMsrs}. */
export function readSyscallMsrs(cpu: KvmGuestCpu): SyscallMsrs {
  return {
    star: cpu.readMsr(MsrIndex.Star),
    lstar: cpu.readMsr(MsrIndex.Lstar),
    fmask: cpu.readMsr(MsrIndex.Fmask),
  };
}
