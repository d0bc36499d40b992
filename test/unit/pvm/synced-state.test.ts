import { constant } from '../../../src/kvm/native.js';
import { GeneralRegisters, SpecialRegisters } from '../../../src/kvm/registers.js';
import { SyncedState, type SyncedVcpu } from '../../../src/vcpu/pvm/synced-state.js';

const VECTOR = 236;

function setBit(bitmap: Uint8Array): void {
  bitmap[VECTOR >> 3]! |= 1 << (VECTOR & 7);
}

/** A vCPU whose KVM has an interrupt to deliver whenever it is asked. */
function vcpuWithInterrupt(): { vcpu: SyncedVcpu; bitmap: Uint8Array; pageBitmap: Uint8Array } {
  const regs = new GeneralRegisters();
  const sregs = new SpecialRegisters();
  const runPage = new DataView(new ArrayBuffer(4096));
  const at = constant('kvm_sregs.interrupt_bitmap');
  const bitmap = sregs.bytes.subarray(at, at + 32);
  const pageAt = constant('kvm_run.s.regs.sregs') + at;
  const vcpu: SyncedVcpu = {
    runPage,
    regs,
    sregs,
    readRegs: () => regs,
    readSregs: () => {
      setBit(bitmap);
      return sregs;
    },
    writeRegs: () => undefined,
    writeSregs: () => undefined,
  };
  return { vcpu, bitmap, pageBitmap: new Uint8Array(runPage.buffer, pageAt, 32) };
}

const NONE = new Uint8Array(32);

describe('SyncedState', () => {
  test('does not hand an interrupt back that KVM is about to deliver itself', () => {
    const { vcpu, bitmap, pageBitmap } = vcpuWithInterrupt();
    const state = new SyncedState(vcpu);
    state.read();
    expect(bitmap).toEqual(NONE);
    setBit(pageBitmap);
    state.read();
    expect(bitmap).toEqual(NONE);
    state.writeLater(true);
    expect(pageBitmap).toEqual(NONE);
  });

  test('forgets bits of the page that KVM leaves there at later exits', () => {
    const { vcpu, pageBitmap } = vcpuWithInterrupt();
    const state = new SyncedState(vcpu);
    state.read();
    setBit(pageBitmap);
    state.read();
    expect(pageBitmap).toEqual(NONE);
  });
});
