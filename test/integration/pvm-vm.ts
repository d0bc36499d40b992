/** A bare VM of one vCPU in 64-bit mode for the tests of src/vcpu/pvm: 4 MiB, the first 2 mapped. */
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { encodeCpuid, supportedCpuid } from '../../src/kvm/cpuid.js';
import { constant, native, packageRoot } from '../../src/kvm/native.js';
import { Gpr, type Segment } from '../../src/kvm/registers.js';
import { VcpuFd } from '../../src/kvm/vcpu-fd.js';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import { detectPvm, enablePvmMsrExits, PvmCompletions } from '../../src/vcpu/pvm/index.js';
import { xsaveComponents } from '../../src/vcpu/pvm/index.js';
import { kernelCodeSegment, kernelStackSegment } from '../../src/vcpu/pvm/segments.js';
import { userCodeSegment, userStackSegment } from '../../src/vcpu/pvm/segments.js';

/** True where these tests can run: a kvm-pvm host that lets this user have /dev/kvm. */
export function pvmAvailable(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return detectPvm();
  } catch {
    return false;
  }
}

export const CODE = 0x10000;
export const STACK = 0x60000;
const TSS = 0x7000;
const KERNEL_STACK = 0x70000n;
const IOPL_3 = 0x3000n;

export class PvmVm {
  readonly memory = GuestMemory.create('pvm-test', [{ start: 0, size: 4 << 20 }]);
  readonly vcpu: VcpuFd;
  readonly completions: PvmCompletions;
  readonly log: string[] = [];
  private readonly kvm = openSync('/dev/kvm', 'r+');
  private readonly vm: number;
  private readonly watchdog: Worker;

  constructor() {
    const api = native();
    this.vm = api.createVm(this.kvm);
    api.setTssAddr(this.vm, 0xfffbd000);
    enablePvmMsrExits(this.vm);
    const { descriptor, size } = this.memory;
    api.setUserMemoryRegion(this.vm, 0, 0, 0, descriptor.id, 0, size);
    const fd = api.createVcpu(this.vm, 0);
    this.vcpu = new VcpuFd(api.vcpuOpen(fd, api.getVcpuMmapSize(this.kvm)));
    const cpuid = supportedCpuid(this.kvm);
    api.setCpuid2(fd, encodeCpuid(cpuid));
    const components = xsaveComponents(cpuid, constant('sizeof_kvm_xsave'));
    this.setTables();
    this.completions = new PvmCompletions(this.vcpu, this.memory, components, (line) =>
      this.log.push(line),
    );
    const addon = path.join(packageRoot(), 'build', 'Release', 'vexit.node');
    const source = `setTimeout(() => require(${JSON.stringify(addon)}).vcpuStop(${this.vcpu.id}), 20000)`;
    this.watchdog = new Worker(source, { eval: true });
  }

  private setTables(): void {
    const { memory, vcpu } = this;
    // One 2 MiB page for all levels; 4 KiB pages from 0x10000 let the kernel's be supervisor only.
    memory.setUint64(0x1000, 0x2007n);
    memory.setUint64(0x2000, 0x3007n);
    memory.setUint64(0x3000, 0x4007n);
    for (let page = 0; page < 512; page++) {
      const user = page === CODE >> 12 ? 0n : 4n;
      memory.setUint64(0x4000 + 8 * page, BigInt(page << 12) | 3n | user);
    }
    memory.setUint64(0x510, 0x00af9b000000ffffn);
    memory.setUint64(0x518, 0x00cf93000000ffffn);
    memory.setUint64(0x528, 0x00cff3000000ffffn);
    memory.setUint64(0x530, 0x00affb000000ffffn);
    memory.setUint64(TSS + 4, KERNEL_STACK);
    const sregs = vcpu.readSregs();
    sregs.setControl('cr3', 0x1000n);
    sregs.setControl('cr4', 0x10620n);
    sregs.setControl('cr0', 0x80010033n);
    sregs.setControl('efer', 0x501n);
    sregs.setTable('gdt', 0x500n, 0x3f);
    const tr: Segment = {
      ...kernelCodeSegment(0x40),
      base: BigInt(TSS),
      limit: 0x67,
      s: 0,
      l: 0,
      g: 0,
    };
    sregs.setSegment('tr', tr);
    for (const name of ['ds', 'es', 'fs', 'gs'] as const) {
      sregs.setSegment(name, kernelStackSegment(0x18));
    }
    vcpu.writeSregs();
  }

  /** Writes a gate of an IDT. */
  setGate(idt: number, vector: number, handler: bigint, dpl = 0): void {
    const at = idt + 16 * vector;
    this.memory.setUint64(
      at,
      (handler & 0xffffn) | (0x10n << 16n) | (BigInt(0x8e | (dpl << 5)) << 40n),
    );
    this.memory.setUint16(at + 6, Number((handler >> 16n) & 0xffffn));
  }

  /** Sets CPL, RIP, RSP and RFLAGS; the other registers stay. */
  start(cpl: 0 | 3, rip = BigInt(CODE), rsp = BigInt(STACK)): void {
    const { vcpu } = this;
    const sregs = vcpu.readSregs();
    sregs.setSegment('cs', cpl === 0 ? kernelCodeSegment(0x10) : userCodeSegment(0x30, true));
    sregs.setSegment('ss', cpl === 0 ? kernelStackSegment(0x18) : userStackSegment(0x28));
    vcpu.writeSregs();
    vcpu.regs.set(Gpr.Rip, rip);
    vcpu.regs.set(Gpr.Rsp, rsp);
    vcpu.regs.set(Gpr.Rflags, (vcpu.regs.get(Gpr.Rflags) & 0x40cd5n) | IOPL_3 | 2n);
    vcpu.writeRegs();
    this.completions.attach();
  }

  /** Runs until an OUT: its byte; or the name of what else ended the run. */
  run(): number | string {
    const { vcpu, completions } = this;
    const { runPage } = vcpu;
    for (;;) {
      const reason = vcpu.run();
      if (reason === constant('KVM_EXIT_IO')) {
        const at = Number(runPage.getBigUint64(constant('kvm_run.io.data_offset'), true));
        return runPage.getUint8(at);
      }
      let handled = false;
      if (reason === constant('KVM_EXIT_INTERNAL_ERROR'))
        handled = completions.onEmulationFailure();
      else if (reason === constant('KVM_EXIT_DEBUG')) handled = completions.onDebug();
      else if (reason === constant('KVM_EXIT_X86_WRMSR')) {
        const index = runPage.getUint32(constant('kvm_run.msr.index'), true);
        handled = completions.onWrmsr(
          index,
          runPage.getBigUint64(constant('kvm_run.msr.data'), true),
        );
        runPage.setUint8(constant('kvm_run.msr.error'), handled ? 0 : 1);
      }
      if (!handled) return `exit ${reason} ${this.log.at(-1) ?? ''}`;
    }
  }

  async close(): Promise<void> {
    await this.watchdog.terminate();
    this.vcpu.detach();
    native().vcpuClose(this.vcpu.id);
    closeSync(this.vm);
    closeSync(this.kvm);
    this.memory.close();
  }
}
