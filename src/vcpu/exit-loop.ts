/** KVM_RUN, dispatch of the exit in place, KVM_RUN again. No exit waits for another thread. */
import { constants as os } from 'node:os';
import type { MemoryBus, PortBus } from '../bus/address-map.js';
import { MachineRequest, type AccessSize } from '../bus/device.js';
import { constant, native } from '../kvm/native.js';
import type { VcpuFd } from '../kvm/vcpu-fd.js';
import { RunState, type ControlBlock } from './control-block.js';
import { exitName } from './dump.js';

/** Completions of a host whose KVM leaves instructions to user space; absent elsewhere. */
export interface HostQuirks {
  /** KVM_EXIT_INTERNAL_ERROR: true when the instruction has been completed. */
  onEmulationFailure(): boolean;
  /** KVM_EXIT_DEBUG: true when it was a breakpoint or step of these completions. */
  onDebug(): boolean;
  /** KVM_EXIT_X86_WRMSR: true when the write has been done; the guest gets #GP otherwise. */
  onWrmsr(index: number, value: bigint): boolean;
}

/** What a vCPU's loop works with. */
export interface ExitLoopParts {
  readonly vcpu: VcpuFd;
  readonly ports: PortBus;
  readonly mmio: MemoryBus;
  readonly control: ControlBlock;
  readonly quirks: HostQuirks | undefined;
  /** Called with one line before a request of kind Fatal or TripleFault. */
  readonly onFatal: (message: string, exitReason: number | undefined) => void;
}

const EXIT_IO = constant('KVM_EXIT_IO');
const EXIT_MMIO = constant('KVM_EXIT_MMIO');
const EXIT_DEBUG = constant('KVM_EXIT_DEBUG');
const EXIT_INTERNAL_ERROR = constant('KVM_EXIT_INTERNAL_ERROR');
const EXIT_SHUTDOWN = constant('KVM_EXIT_SHUTDOWN');
const EXIT_SYSTEM_EVENT = constant('KVM_EXIT_SYSTEM_EVENT');
const EXIT_X86_RDMSR = constant('KVM_EXIT_X86_RDMSR');
const EXIT_X86_WRMSR = constant('KVM_EXIT_X86_WRMSR');
const EXIT_HLT = constant('KVM_EXIT_HLT');
const EXIT_INTR = constant('KVM_EXIT_INTR');
const EXIT_IRQ_WINDOW_OPEN = constant('KVM_EXIT_IRQ_WINDOW_OPEN');

const IO_DIRECTION = constant('kvm_run.io.direction');
const IO_SIZE = constant('kvm_run.io.size');
const IO_PORT = constant('kvm_run.io.port');
const IO_COUNT = constant('kvm_run.io.count');
const IO_DATA_OFFSET = constant('kvm_run.io.data_offset');
const MMIO_ADDRESS = constant('kvm_run.mmio.phys_addr');
const MMIO_DATA = constant('kvm_run.mmio.data');
const MMIO_LENGTH = constant('kvm_run.mmio.len');
const MMIO_IS_WRITE = constant('kvm_run.mmio.is_write');
const MSR_ERROR = constant('kvm_run.msr.error');
const MSR_INDEX = constant('kvm_run.msr.index');
const MSR_DATA = constant('kvm_run.msr.data');
const IMMEDIATE_EXIT = constant('kvm_run.immediate_exit');
const SYSTEM_EVENT_TYPE = constant('kvm_run.system_event.type');

/** The loop of one vCPU. */
export class ExitLoop {
  private readonly page: DataView;
  private readonly bytes: Uint8Array;

  constructor(private readonly parts: ExitLoopParts) {
    this.page = parts.vcpu.runPage;
    this.bytes = new Uint8Array(this.page.buffer);
  }

  /** Runs until the machine stops. */
  run(): void {
    const { vcpu, control } = this.parts;
    const { vcpuRun } = native();
    const { id } = vcpu;
    for (;;) {
      const reason = vcpuRun(id);
      if (reason === EXIT_IO) this.portIo();
      else if (reason === EXIT_MMIO) this.memoryIo();
      else if (reason === -os.errno.ECANCELED) return;
      else if (reason < 0) this.runFailed(-reason);
      else this.rareExit(reason);
      if (control.state === RunState.Running) continue;
      if (control.state === RunState.Paused) {
        this.completeExit();
        control.park();
      }
      if (control.state === RunState.Stopped) return;
    }
  }

  /** KVM completes an I/O exit at the next KVM_RUN; state taken before that would repeat it. */
  private completeExit(): void {
    this.page.setUint8(IMMEDIATE_EXIT, 1);
    native().vcpuRun(this.parts.vcpu.id);
    this.page.setUint8(IMMEDIATE_EXIT, 0);
  }

  private portIo(): void {
    const { page, bytes } = this;
    const { ports } = this.parts;
    const out = bytes[IO_DIRECTION] === 1;
    const size = bytes[IO_SIZE] as AccessSize;
    const port = page.getUint16(IO_PORT, true);
    const count = page.getUint32(IO_COUNT, true);
    let at = page.getUint32(IO_DATA_OFFSET, true);
    // String instructions (REP INS/OUTS) bring up to a page of values for one port.
    for (let i = 0; i < count; i++, at += size) {
      if (size === 1) {
        if (out) ports.write(port, 1, bytes[at]!);
        else bytes[at] = ports.read(port, 1);
      } else if (size === 2) {
        if (out) ports.write(port, 2, page.getUint16(at, true));
        else page.setUint16(at, ports.read(port, 2), true);
      } else if (out) {
        ports.write(port, 4, page.getUint32(at, true));
      } else {
        page.setUint32(at, ports.read(port, 4), true);
      }
    }
  }

  private memoryIo(): void {
    const { page, bytes } = this;
    const { mmio } = this.parts;
    const write = bytes[MMIO_IS_WRITE] === 1;
    const length = Math.min(page.getUint32(MMIO_LENGTH, true), 8);
    let address =
      page.getUint32(MMIO_ADDRESS, true) + page.getUint32(MMIO_ADDRESS + 4, true) * 0x1_0000_0000;
    // Up to 8 bytes at any alignment, cut into the accesses a bus knows.
    for (let done = 0; done < length;) {
      const left = length - done;
      const size: AccessSize = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      const at = MMIO_DATA + done;
      if (write) {
        const value =
          size === 4
            ? page.getUint32(at, true)
            : size === 2
              ? page.getUint16(at, true)
              : bytes[at]!;
        mmio.write(address, size, value);
      } else {
        const value = mmio.read(address, size);
        if (size === 4) page.setUint32(at, value, true);
        else if (size === 2) page.setUint16(at, value, true);
        else bytes[at] = value;
      }
      done += size;
      address += size;
    }
  }

  private rareExit(reason: number): void {
    const { control, quirks, onFatal } = this.parts;
    if (reason === EXIT_DEBUG && quirks?.onDebug() === true) return;
    if (reason === EXIT_INTERNAL_ERROR && quirks?.onEmulationFailure() === true) return;
    if (reason === EXIT_X86_WRMSR || reason === EXIT_X86_RDMSR) {
      this.msr(reason === EXIT_X86_WRMSR);
    } else if (reason === EXIT_SHUTDOWN) {
      onFatal('triple fault', reason);
      control.request(MachineRequest.TripleFault);
    } else if (reason === EXIT_SYSTEM_EVENT) {
      this.systemEvent();
    } else if (reason !== EXIT_HLT && reason !== EXIT_INTR && reason !== EXIT_IRQ_WINDOW_OPEN) {
      onFatal(`${exitName(reason)}: the guest cannot go on`, reason);
      control.request(MachineRequest.Fatal, reason);
    }
  }

  /** Only MSRs that the quirks filter exit; anything else faults in the guest, as an unknown MSR. */
  private msr(write: boolean): void {
    const { quirks } = this.parts;
    const index = this.page.getUint32(MSR_INDEX, true);
    const value = this.page.getBigUint64(MSR_DATA, true);
    const handled = write && quirks?.onWrmsr(index, value) === true;
    this.page.setUint8(MSR_ERROR, handled ? 0 : 1);
  }

  private systemEvent(): void {
    const type = this.page.getUint32(SYSTEM_EVENT_TYPE, true);
    const { control } = this.parts;
    if (type === constant('KVM_SYSTEM_EVENT_SHUTDOWN')) control.request(MachineRequest.PowerOff);
    else if (type === constant('KVM_SYSTEM_EVENT_RESET')) control.request(MachineRequest.Reset);
    else control.request(MachineRequest.Panic);
  }

  private runFailed(errno: number): void {
    // EINTR: kicked; the state word says what for.
    if (errno === os.errno.EINTR) return;
    const name =
      Object.entries(os.errno).find(([, value]) => value === errno)?.[0] ?? String(errno);
    this.parts.onFatal(`KVM_RUN failed with ${name}`, undefined);
    this.parts.control.request(MachineRequest.Fatal, errno);
  }
}
