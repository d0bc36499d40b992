/** Register dump of a vCPU that cannot go on. */
import { constant } from '../kvm/native.js';
import { GPR_NAMES, Gpr } from '../kvm/registers.js';
import type { VcpuFd } from '../kvm/vcpu-fd.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import { errorMessage } from '../util/errors.js';

const hex = (value: bigint | number, digits: number): string =>
  value.toString(16).padStart(digits, '0');

const EXIT_NAMES = new Map(
  (
    [
      ...['UNKNOWN', 'EXCEPTION', 'IO', 'HYPERCALL', 'DEBUG', 'HLT', 'MMIO', 'SHUTDOWN'],
      ...['FAIL_ENTRY', 'INTR', 'INTERNAL_ERROR', 'SYSTEM_EVENT', 'X86_RDMSR', 'X86_WRMSR'],
    ] as const
  ).map((name) => [`KVM_EXIT_${name}`, name]),
);

/** "KVM_EXIT_INTERNAL_ERROR", or the number for reasons without a name here. */
export function exitName(reason: number): string {
  for (const name of EXIT_NAMES.keys()) if (constant(name) === reason) return name;
  return `KVM exit ${reason}`;
}

const SUBERRORS: Record<number, string> = {
  1: 'emulation failure',
  2: 'simultaneous exceptions',
  3: 'exit while delivering an event',
  4: 'unexpected exit',
};

/** The data KVM gives with an exit that ends a VM, as text. */
function exitData(vcpu: VcpuFd, reason: number): string {
  const page = vcpu.runPage;
  if (reason === constant('KVM_EXIT_INTERNAL_ERROR')) {
    const suberror = page.getUint32(constant('kvm_run.internal.suberror'), true);
    const count = Math.min(page.getUint32(constant('kvm_run.internal.ndata'), true), 16);
    const at = constant('kvm_run.internal.data');
    const data = Array.from({ length: count }, (_, i) =>
      hex(page.getBigUint64(at + 8 * i, true), 16),
    );
    return `suberror ${suberror} (${SUBERRORS[suberror] ?? 'unknown'}) data [${data.join(' ')}]`;
  }
  if (reason === constant('KVM_EXIT_FAIL_ENTRY')) {
    const at = constant('kvm_run.fail_entry.hardware_entry_failure_reason');
    return `hardware entry failure reason 0x${hex(page.getBigUint64(at, true), 1)}`;
  }
  if (reason === constant('KVM_EXIT_UNKNOWN')) {
    const at = constant('kvm_run.hw.hardware_exit_reason');
    return `hardware exit reason 0x${hex(page.getBigUint64(at, true), 1)}`;
  }
  return '';
}

function codeBytes(vcpu: VcpuFd, memory: GuestMemory, linear: bigint): string {
  const bytes: string[] = [];
  for (let i = -8n; i < 16n; i++) {
    const at = BigInt.asUintN(64, linear + i);
    const physical = vcpu.translate(at);
    const mapped = physical !== undefined && memory.contains(physical, 1);
    const text = mapped ? hex(memory.getUint8(physical), 2) : '??';
    bytes.push(i === 0n ? `<${text}>` : text);
  }
  return bytes.join(' ');
}

/** General and special registers, the code around RIP and the exit's data, one fact a line. */
export function dumpVcpu(
  vcpu: VcpuFd,
  memory: GuestMemory,
  index: number,
  reason: number | undefined,
): string {
  const lines: string[] = [];
  if (reason !== undefined)
    lines.push(`vcpu ${index}: ${exitName(reason)} ${exitData(vcpu, reason)}`);
  try {
    const regs = vcpu.readRegs();
    const sregs = vcpu.readSregs();
    for (let i = 0; i < GPR_NAMES.length; i += 4) {
      const row = GPR_NAMES.slice(i, i + 4);
      lines.push(
        row.map((name, j) => `${name.padEnd(6)} ${hex(regs.values[i + j]!, 16)}`).join('  '),
      );
    }
    for (const name of ['cs', 'ss', 'ds', 'es', 'fs', 'gs', 'tr'] as const) {
      const { selector, base, limit, type, dpl, l, db, present } = sregs.getSegment(name);
      lines.push(
        `${name}     ${hex(selector, 4)} base ${hex(base, 16)} limit ${hex(limit, 8)} type ${type} dpl ${dpl} l ${l} db ${db} p ${present}`,
      );
    }
    for (const name of ['gdt', 'idt'] as const) {
      const { base, limit } = sregs.getTable(name);
      lines.push(`${name}    base ${hex(base, 16)} limit ${hex(limit, 4)}`);
    }
    const controls = (['cr0', 'cr2', 'cr3', 'cr4', 'efer', 'apic_base'] as const).map(
      (name) => `${name} ${hex(sregs.getControl(name), 1)}`,
    );
    lines.push(controls.join('  '));
    const linear = BigInt.asUintN(64, sregs.segmentBase('cs') + regs.get(Gpr.Rip));
    lines.push(`code   ${codeBytes(vcpu, memory, linear)}`);
  } catch (error) {
    lines.push(`registers cannot be read: ${errorMessage(error)}`);
  }
  return lines.join('\n');
}
