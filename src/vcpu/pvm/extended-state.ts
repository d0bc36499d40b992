/** XSAVE image and XCR0 of a vCPU. */
import { constant, native } from '../../kvm/native.js';
import type { VcpuFd } from '../../kvm/vcpu-fd.js';

/** struct kvm_xcrs: nr_xcrs, flags, then { xcr, reserved, value } with XCR0 the first. */
const XCR0_VALUE = 16;

/** KVM_GET_XSAVE. */
export function readXsave(vcpu: VcpuFd): Uint8Array {
  const area = new Uint8Array(constant('sizeof_kvm_xsave'));
  native().getXsave(vcpu.fd, area);
  return area;
}

function readXcrs(vcpu: VcpuFd): DataView {
  const xcrs = new DataView(new ArrayBuffer(constant('sizeof_kvm_xcrs')));
  native().getXcrs(vcpu.fd, xcrs);
  return xcrs;
}

/** Extended control register 0. */
export function readXcr0(vcpu: VcpuFd): bigint {
  return readXcrs(vcpu).getBigUint64(XCR0_VALUE, true);
}

/** @returns false for a value with which XSETBV faults: KVM checks it as the processor would */
export function writeXcr0(vcpu: VcpuFd, value: bigint): boolean {
  const xcrs = readXcrs(vcpu);
  xcrs.setBigUint64(XCR0_VALUE, value, true);
  try {
    native().setXcrs(vcpu.fd, xcrs);
    return true;
  } catch {
    return false;
  }
}
