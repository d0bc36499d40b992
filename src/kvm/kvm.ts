/** /dev/kvm and the virtual machine's file descriptor. */
import { closeSync, constants as fsConstants, openSync } from 'node:fs';
import type { GuestMemory } from '../memory/guest-memory.js';
import { VexitError, errorMessage, systemCode } from '../util/errors.js';
import { constant, native } from './native.js';

const API_VERSION = 12;

/** Capabilities without which no VM can be made, with what KVM's documentation calls them. */
const REQUIRED = [
  'KVM_CAP_IRQCHIP',
  'KVM_CAP_USER_MEMORY',
  'KVM_CAP_SET_TSS_ADDR',
  'KVM_CAP_EXT_CPUID',
  'KVM_CAP_MP_STATE',
  'KVM_CAP_PIT2',
  'KVM_CAP_IRQFD',
  'KVM_CAP_IOEVENTFD',
  'KVM_CAP_IMMEDIATE_EXIT',
] as const;

const OPEN_HINTS: Record<string, string> = {
  ENOENT:
    'load the kvm module (modprobe kvm_intel or kvm_amd) or switch on virtualization in the firmware; in a container, pass --device /dev/kvm',
  ENODEV: 'the kvm module is not loaded: modprobe kvm_intel or kvm_amd',
  EACCES: 'add yourself to the kvm group (sudo usermod -aG kvm $USER, then log in again)',
  EPERM: 'allow the device in the container: --device /dev/kvm',
  EBUSY: 'another hypervisor (VirtualBox, VMware) may be using the processor: stop its VMs',
};

/** The open /dev/kvm. */
export class Kvm {
  private constructor(readonly fd: number) {}

  /**
   * Opens the device and checks its API version and capabilities.
   * @throws VexitError ERR_KVM_UNAVAILABLE or ERR_KVM_UNSUPPORTED, with a hint
   */
  static open(device = '/dev/kvm'): Kvm {
    let fd: number;
    try {
      fd = openSync(device, fsConstants.O_RDWR);
    } catch (error) {
      throw unavailable(device, error);
    }
    const kvm = new Kvm(fd);
    try {
      kvm.check(device);
    } catch (error) {
      kvm.close();
      throw error;
    }
    return kvm;
  }

  private check(device: string): void {
    let version: number;
    try {
      version = native().getApiVersion(this.fd, 0);
    } catch (error) {
      throw new VexitError(
        'ERR_KVM_UNAVAILABLE',
        `${device} is not KVM: ${errorMessage(error)}`,
        'give the KVM device, /dev/kvm',
        { cause: error },
      );
    }
    if (version !== API_VERSION) {
      throw new VexitError('ERR_KVM_UNSUPPORTED', `KVM API version ${version}, not ${API_VERSION}`);
    }
    const missing = this.missingCapabilities();
    if (missing.length > 0) {
      throw new VexitError(
        'ERR_KVM_UNSUPPORTED',
        `this kernel's KVM lacks ${missing.join(', ')}`,
        'use a kernel of 4.13 or later',
      );
    }
  }

  /** Names of required capabilities this KVM does not have. */
  missingCapabilities(): string[] {
    return REQUIRED.filter((name) => this.capability(name) === 0);
  }

  /** KVM_CHECK_EXTENSION by name; 0 when not there. */
  capability(name: string): number {
    return native().checkExtension(this.fd, constant(name));
  }

  /** Makes a virtual machine: KVM_CREATE_VM and what must follow before the first vCPU. */
  createVm(): VmFd {
    return new VmFd(
      retryInterrupted(() => native().createVm(this.fd, 0)),
      this.vcpuMmapSize,
    );
  }

  get vcpuMmapSize(): number {
    return native().getVcpuMmapSize(this.fd, 0);
  }

  close(): void {
    closeSync(this.fd);
  }
}

function unavailable(device: string, error: unknown): VexitError {
  const code = systemCode(error) ?? '';
  const reasons: Record<string, string> = {
    ENOENT: 'no such device',
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EBUSY: 'in use',
    ENODEV: 'no such device',
  };
  return new VexitError(
    'ERR_KVM_UNAVAILABLE',
    `cannot open ${device}: ${reasons[code] ?? errorMessage(error)}`,
    OPEN_HINTS[code] ?? 'run: vexit doctor',
    { cause: error },
  );
}

/** KVM_CREATE_VM fails with EINTR when a signal comes while it waits for memory. */
function retryInterrupted<T>(call: () => T): T {
  for (let tries = 0; ; tries++) {
    try {
      return call();
    } catch (error) {
      if (systemCode(error) !== 'EINTR' || tries === 100) throw error;
    }
  }
}

/** A virtual machine's file descriptor. */
export class VmFd {
  private nextSlot = 0;

  constructor(
    readonly fd: number,
    private readonly vcpuMmapSize: number,
  ) {}

  /**
   * In-kernel PIC, IOAPIC, local APICs and PIT. The TSS and identity map pages must be placed
   * first; the PIT speaker port 0x61 is KVM's.
   */
  createIrqchip(tssAddress: number, identityMapAddress: number): void {
    const address = new BigUint64Array([BigInt(identityMapAddress)]);
    native().setIdentityMapAddr(this.fd, new Uint8Array(address.buffer));
    native().setTssAddr(this.fd, tssAddress);
    native().createIrqchip(this.fd, 0);
    const pit = new Uint8Array(constant('sizeof_kvm_pit_config'));
    new DataView(pit.buffer).setUint32(0, constant('KVM_PIT_SPEAKER_DUMMY'), true);
    native().createPit2(this.fd, pit);
  }

  /** Makes every region of guest memory a memory slot. */
  mapMemory(memory: GuestMemory): void {
    for (const { start, size, offset } of memory.regions) {
      this.mapSlot(start, memory.descriptor.id, offset, size, 0);
    }
  }

  /** Maps part of a memory file at a guest address; returns the slot. */
  mapSlot(address: number, memoryId: number, offset: number, size: number, flags: number): number {
    const slot = this.nextSlot++;
    native().setUserMemoryRegion(this.fd, slot, flags, address, memoryId, offset, size);
    return slot;
  }

  /** Creates a vCPU; returns its process-wide id, see {@link VcpuFd}. */
  createVcpu(apicId: number): number {
    return native().vcpuOpen(native().createVcpu(this.fd, apicId), this.vcpuMmapSize);
  }

  /** KVM_ENABLE_CAP with one argument. */
  enableCap(name: string, argument = 0): void {
    const bytes = new Uint8Array(constant('sizeof_kvm_enable_cap'));
    const view = new DataView(bytes.buffer);
    view.setUint32(constant('kvm_enable_cap.cap'), constant(name), true);
    view.setBigUint64(constant('kvm_enable_cap.args'), BigInt(argument), true);
    native().enableCap(this.fd, bytes);
  }

  /** Drives a GSI. */
  setIrqLine(gsi: number, level: boolean): void {
    native().irqLine(this.fd, gsi, level ? 1 : 0);
  }

  /** KVM_IOEVENTFD: a write of `value` to a guest physical address counts in an eventfd. */
  addIoeventfd(address: number, length: 4, value: number, eventFd: number): void {
    const bytes = new Uint8Array(constant('sizeof_kvm_ioeventfd'));
    const view = new DataView(bytes.buffer);
    const datamatch = constant('KVM_IOEVENTFD_FLAG_DATAMATCH');
    view.setBigUint64(constant('kvm_ioeventfd.datamatch'), BigInt(value), true);
    view.setBigUint64(constant('kvm_ioeventfd.addr'), BigInt(address), true);
    view.setUint32(constant('kvm_ioeventfd.len'), length, true);
    view.setInt32(constant('kvm_ioeventfd.fd'), eventFd, true);
    view.setUint32(constant('kvm_ioeventfd.flags'), datamatch, true);
    native().ioeventfd(this.fd, bytes);
  }

  /** KVM_IRQFD: every signal of an eventfd is an edge of a GSI. */
  addIrqfd(eventFd: number, gsi: number): void {
    const bytes = new Uint8Array(constant('sizeof_kvm_irqfd'));
    const view = new DataView(bytes.buffer);
    view.setUint32(constant('kvm_irqfd.fd'), eventFd, true);
    view.setUint32(constant('kvm_irqfd.gsi'), gsi, true);
    native().irqfd(this.fd, bytes);
  }

  close(): void {
    closeSync(this.fd);
  }
}
