/** Gates of the guest's IDT in 64-bit mode (SDM volume 3, 6.14.1). */
import type { KvmGuestCpu } from './kvm-guest-cpu.js';
import { NotInRam } from './kvm-guest-cpu.js';
import { GuestPageFault } from './guest-cpu.js';

const GATE_SIZE = 16;
const PRESENT = 0x80;

/** Reads handler addresses from the IDT the guest has loaded. */
export class IdtReader {
  private readonly gate = new Uint8Array(GATE_SIZE);
  private readonly view = new DataView(this.gate.buffer);

  constructor(private readonly cpu: KvmGuestCpu) {}

  /** Address of the handler of a vector, or undefined while there is none. */
  handler(vector: number): bigint | undefined {
    const { cpu, view } = this;
    if (!cpu.longMode) return undefined;
    const { base, limit } = cpu.sregs.getTable('idt');
    const offset = vector * GATE_SIZE;
    if (offset + GATE_SIZE - 1 > limit) return undefined;
    try {
      cpu.readLinear(BigInt.asUintN(64, base + BigInt(offset)), this.gate);
    } catch (error) {
      if (error instanceof GuestPageFault || error instanceof NotInRam) return undefined;
      throw error;
    }
    if ((view.getUint8(5) & PRESENT) === 0) return undefined;
    const low = BigInt(view.getUint16(0, true) | (view.getUint16(6, true) << 16));
    return BigInt.asUintN(32, low) | (BigInt(view.getUint32(8, true)) << 32n);
  }
}
