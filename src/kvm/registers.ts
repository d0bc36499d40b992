/** Register structures of the KVM API: typed views over the bytes that the ioctls exchange. */
import { constant } from './native.js';

/** Indices into {@link GeneralRegisters.values}, the order of struct kvm_regs. */
export enum Gpr {
  Rax,
  Rbx,
  Rcx,
  Rdx,
  Rsi,
  Rdi,
  Rsp,
  Rbp,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  Rip,
  Rflags,
}

/** Names in the order of {@link Gpr}. */
export const GPR_NAMES = [
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip', 'rflags'],
] as const;

/** struct kvm_regs: eighteen 64-bit values. */
export class GeneralRegisters {
  readonly values = new BigUint64Array(GPR_NAMES.length);
  readonly bytes = new Uint8Array(this.values.buffer);

  get(register: Gpr): bigint {
    return this.values[register]!;
  }
  set(register: Gpr, value: bigint): void {
    this.values[register] = value;
  }
}

/** A segment register as struct kvm_segment has it. */
export interface Segment {
  base: bigint;
  limit: number;
  selector: number;
  type: number;
  present: number;
  dpl: number;
  db: number;
  s: number;
  l: number;
  g: number;
  avl: number;
  unusable: number;
}

export type SegmentName = 'cs' | 'ds' | 'es' | 'fs' | 'gs' | 'ss' | 'tr' | 'ldt';
export type TableName = 'gdt' | 'idt';
export type ControlName = 'cr0' | 'cr2' | 'cr3' | 'cr4' | 'cr8' | 'efer' | 'apic_base';

const SEGMENT_BYTES = ['type', 'present', 'dpl', 'db', 's', 'l', 'g', 'avl', 'unusable'] as const;

/** Offsets of struct kvm_sregs, looked up once a thread. */
function sregsLayout(): {
  size: number;
  fields: Map<string, number>;
  segment: Map<string, number>;
  dtableLimit: number;
  dtableBase: number;
} {
  const names = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt', 'gdt', 'idt'];
  names.push('cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer', 'apic_base', 'interrupt_bitmap');
  const segment = ['base', 'limit', 'selector', ...SEGMENT_BYTES];
  return {
    size: constant('sizeof_kvm_sregs'),
    fields: new Map(names.map((name) => [name, constant(`kvm_sregs.${name}`)])),
    segment: new Map(segment.map((name) => [name, constant(`kvm_segment.${name}`)])),
    dtableLimit: constant('kvm_dtable.limit'),
    dtableBase: constant('kvm_dtable.base'),
  };
}

let cachedLayout: ReturnType<typeof sregsLayout> | undefined;

/** struct kvm_sregs: segments, descriptor tables, control registers. */
export class SpecialRegisters {
  private readonly layout = (cachedLayout ??= sregsLayout());
  readonly bytes = new Uint8Array(this.layout.size);
  private readonly view = new DataView(this.bytes.buffer);

  private at(name: string): number {
    return this.layout.fields.get(name)!;
  }

  getSegment(name: SegmentName): Segment {
    const at = this.at(name);
    const { segment } = this.layout;
    const byte = (field: string): number => this.view.getUint8(at + segment.get(field)!);
    return {
      base: this.view.getBigUint64(at + segment.get('base')!, true),
      limit: this.view.getUint32(at + segment.get('limit')!, true),
      selector: this.view.getUint16(at + segment.get('selector')!, true),
      type: byte('type'),
      present: byte('present'),
      dpl: byte('dpl'),
      db: byte('db'),
      s: byte('s'),
      l: byte('l'),
      g: byte('g'),
      avl: byte('avl'),
      unusable: byte('unusable'),
    };
  }

  setSegment(name: SegmentName, value: Segment): void {
    const at = this.at(name);
    const { segment } = this.layout;
    this.view.setBigUint64(at + segment.get('base')!, value.base, true);
    this.view.setUint32(at + segment.get('limit')!, value.limit, true);
    this.view.setUint16(at + segment.get('selector')!, value.selector, true);
    for (const field of SEGMENT_BYTES) this.view.setUint8(at + segment.get(field)!, value[field]);
  }

  /** Privilege level the vCPU runs at: DPL of SS, as the processor itself has it. */
  get cpl(): number {
    return this.view.getUint8(this.at('ss') + this.layout.segment.get('dpl')!);
  }

  /** Base of a segment without building an object. */
  segmentBase(name: SegmentName): bigint {
    return this.view.getBigUint64(this.at(name) + this.layout.segment.get('base')!, true);
  }

  setSegmentBase(name: SegmentName, base: bigint): void {
    this.view.setBigUint64(this.at(name) + this.layout.segment.get('base')!, base, true);
  }

  getTable(name: TableName): { base: bigint; limit: number } {
    const at = this.at(name);
    return {
      base: this.view.getBigUint64(at + this.layout.dtableBase, true),
      limit: this.view.getUint16(at + this.layout.dtableLimit, true),
    };
  }

  setTable(name: TableName, base: bigint, limit: number): void {
    const at = this.at(name);
    this.view.setBigUint64(at + this.layout.dtableBase, base, true);
    this.view.setUint16(at + this.layout.dtableLimit, limit, true);
  }

  getControl(name: ControlName): bigint {
    return this.view.getBigUint64(this.at(name), true);
  }

  setControl(name: ControlName, value: bigint): void {
    this.view.setBigUint64(this.at(name), value, true);
  }
}

/** struct kvm_vcpu_events, as far as the VMM injects exceptions itself. */
export class VcpuEvents {
  readonly bytes = new Uint8Array(constant('sizeof_kvm_vcpu_events'));
  private readonly view = new DataView(this.bytes.buffer);

  /** True when KVM holds an exception that has not reached the guest. */
  get exceptionInjected(): boolean {
    return this.view.getUint8(constant('kvm_vcpu_events.exception.injected')) !== 0;
  }

  /**
   * Asks for a fault or trap without an error code at the next entry; the other events stay.
   * `flags` becomes 0: only what is in every version of the structure is written back.
   */
  injectException(vector: number): void {
    this.view.setUint8(constant('kvm_vcpu_events.exception.injected'), 1);
    this.view.setUint8(constant('kvm_vcpu_events.exception.nr'), vector);
    this.view.setUint8(constant('kvm_vcpu_events.exception.has_error_code'), 0);
    this.view.setUint8(constant('kvm_vcpu_events.exception.pending'), 0);
    this.view.setUint32(constant('kvm_vcpu_events.exception.error_code'), 0, true);
    this.view.setUint32(constant('kvm_vcpu_events.flags'), 0, true);
  }
}
