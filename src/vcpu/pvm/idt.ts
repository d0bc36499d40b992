/** Gates of the guest's IDT in 64-bit mode (SDM volume 3, 6.14.1). */
import { GuestPageFault, NotInRam, Vector } from './guest-cpu.js';
import type { KvmGuestCpu } from './kvm-guest-cpu.js';

const GATE_SIZE = 16;
const PRESENT = 0x80;
const INTERRUPT_GATE = 0xe;
const TRAP_GATE = 0xf;

/** A gate of the IDT. */
export interface Gate {
  readonly handler: bigint;
  readonly selector: number;
  readonly ist: number;
  readonly dpl: number;
  /** False for a trap gate, which leaves RFLAGS.IF as it is. */
  readonly masksInterrupts: boolean;
}

/** Reads gates from the IDT the guest has loaded. */
export class IdtReader {
  private readonly bytes = new Uint8Array(
    (Vector.PageFault - Vector.InvalidOpcode + 1) * GATE_SIZE,
  );
  private readonly view = new DataView(this.bytes.buffer);
  /** Handlers read by {@link readHandlers}; undefined while there is none. */
  pageFault: bigint | undefined;
  invalidOpcode: bigint | undefined;

  constructor(private readonly cpu: KvmGuestCpu) {}

  /** Reads the handlers of #UD and #PF, and those between: one translation for all. */
  readHandlers(): void {
    const there = this.load(Vector.InvalidOpcode, this.bytes);
    const last = (Vector.PageFault - Vector.InvalidOpcode) * GATE_SIZE;
    this.invalidOpcode = there && this.present(0) ? this.handlerAt(0) : undefined;
    this.pageFault = there && this.present(last) ? this.handlerAt(last) : undefined;
  }

  /** The gate of a vector, or undefined when there is none. */
  gate(vector: number): Gate | undefined {
    if (!this.load(vector, this.bytes.subarray(0, GATE_SIZE)) || !this.present(0)) return undefined;
    const { view } = this;
    const type = view.getUint8(5) & 15;
    if (type !== INTERRUPT_GATE && type !== TRAP_GATE) return undefined;
    return {
      handler: this.handlerAt(0),
      selector: view.getUint16(2, true),
      ist: view.getUint8(4) & 7,
      dpl: (view.getUint8(5) >> 5) & 3,
      masksInterrupts: type === INTERRUPT_GATE,
    };
  }

  private load(vector: number, into: Uint8Array): boolean {
    const { cpu } = this;
    if (!cpu.longMode) return false;
    const { base, limit } = cpu.sregs.getTable('idt');
    const offset = vector * GATE_SIZE;
    if (offset + into.length - 1 > limit) return false;
    try {
      cpu.readLinear(BigInt.asUintN(64, base + BigInt(offset)), into);
      return true;
    } catch (error) {
      if (error instanceof GuestPageFault || error instanceof NotInRam) return false;
      throw error;
    }
  }

  private present(at: number): boolean {
    return (this.view.getUint8(at + 5) & PRESENT) !== 0;
  }

  private handlerAt(at: number): bigint {
    const { view } = this;
    const low = BigInt(view.getUint16(at, true) + view.getUint16(at + 6, true) * 0x10000);
    return low | (BigInt(view.getUint32(at + 8, true)) << 32n);
  }
}
