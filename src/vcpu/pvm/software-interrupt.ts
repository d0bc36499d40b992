/**
 * INT n from CPL 3. kvm-pvm turns it into a #UD; this delivers the interrupt the program asked
 * for when the #UD reaches the guest's handler (SDM volume 3, 6.12.1). See docs/kvm-pvm.md.
 */
import { Gpr } from '../../kvm/registers.js';
import { GuestPageFault, NotInRam, Rflags, Vector } from './guest-cpu.js';
import type { Gate, IdtReader } from './idt.js';
import type { KvmGuestCpu } from './kvm-guest-cpu.js';

/** Exception frame without error code: RIP, CS, RFLAGS, RSP, SS. */
const FRAME = { rip: 0, cs: 1, rflags: 2 } as const;
const INT_N = 0xcd;
/** The index in the error code names a gate of the IDT (SDM volume 3, 6.13). */
const ERROR_CODE_IDT = 2;

/** Recognises INT n at the first instruction of the #UD handler. */
export class SoftwareInterrupt {
  private readonly frame = new BigUint64Array(3);
  private readonly frameBytes = new Uint8Array(this.frame.buffer);
  private readonly code = new Uint8Array(2);

  constructor(
    private readonly cpu: KvmGuestCpu,
    private readonly idt: IdtReader,
  ) {}

  /**
   * Looks at the exception frame and the instruction it points to.
   * @returns true when the registers are now those at the handler of the interrupt's own gate
   */
  tryDeliver(): boolean {
    const { cpu, frame, code } = this;
    try {
      const stack = cpu.regs.get(Gpr.Rsp);
      cpu.readLinear(stack, this.frameBytes);
      if ((frame[FRAME.cs]! & 3n) !== 3n) return false;
      cpu.readLinear(frame[FRAME.rip]!, code);
      if (code[0] !== INT_N) return false;
      const vector = code[1]!;
      const gate = this.idt.gate(vector);
      const own = this.idt.gate(Vector.InvalidOpcode);
      if (gate?.dpl !== 3) return this.tryProtectionFault(vector, stack, own);
      if (!sharesFrame(gate, own)) return false;
      frame[FRAME.rip] = BigInt.asUintN(64, frame[FRAME.rip]! + 2n);
      frame[FRAME.rflags] = frame[FRAME.rflags]! & ~Rflags.RF;
      cpu.writeLinear(stack, this.frameBytes);
      cpu.regs.set(Gpr.Rip, gate.handler);
      if (!gate.masksInterrupts) {
        const rflags = cpu.regs.get(Gpr.Rflags);
        cpu.regs.set(Gpr.Rflags, rflags | (frame[FRAME.rflags]! & Rflags.IF));
      }
      return true;
    } catch (error) {
      if (error instanceof GuestPageFault || error instanceof NotInRam) return false;
      throw error;
    }
  }

  /** A gate that user code may not use: #GP, with the vector in its error code. */
  private tryProtectionFault(vector: number, stack: bigint, own: Gate | undefined): boolean {
    const { cpu } = this;
    const gate = this.idt.gate(Vector.GeneralProtection);
    if (gate === undefined || !sharesFrame(gate, own)) return false;
    const errorCode = BigInt(vector * 8 + ERROR_CODE_IDT);
    const top = BigInt.asUintN(64, stack - 8n);
    cpu.writeLinear(top, new Uint8Array(BigUint64Array.of(errorCode).buffer));
    cpu.regs.set(Gpr.Rsp, top);
    cpu.regs.set(Gpr.Rip, gate.handler);
    return true;
  }
}

/** True when the frame pushed for `own` is that of `gate`: same stack and same CS. */
function sharesFrame(gate: Gate, own: Gate | undefined): boolean {
  return gate.ist === own?.ist && gate.selector === own.selector;
}
