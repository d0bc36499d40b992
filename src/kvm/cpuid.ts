/** CPUID tables: what KVM supports, adjusted for each vCPU's topology and the user's masks. */
import { VexitError, systemCode } from '../util/errors.js';
import { findFeature } from './cpu-features.js';
import { constant, native } from './native.js';

export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

/** struct kvm_cpuid_entry2. */
export interface CpuidEntry {
  readonly function: number;
  readonly index: number;
  readonly flags: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

/** Bits to clear: one register of one leaf (all its subleaves when index is undefined). */
export interface CpuidMask {
  readonly function: number;
  readonly index?: number;
  readonly register: CpuidRegister;
  readonly bits: number;
}

const FIELDS = ['function', 'index', 'flags', 'eax', 'ebx', 'ecx', 'edx'] as const;
const MAX_ENTRIES = 4096;
const FLAG_SIGNIFICANT_INDEX = 1;

/** KVM_GET_SUPPORTED_CPUID. */
export function supportedCpuid(kvmFd: number): CpuidEntry[] {
  const header = constant('sizeof_kvm_cpuid2');
  const size = constant('sizeof_kvm_cpuid_entry2');
  for (let count = 128; ; count *= 2) {
    const bytes = new Uint8Array(header + count * size);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, count, true);
    try {
      native().getSupportedCpuid(kvmFd, bytes);
    } catch (error) {
      if (systemCode(error) === 'E2BIG' && count < MAX_ENTRIES) continue;
      throw error;
    }
    return Array.from({ length: view.getUint32(0, true) }, (_, i) =>
      decode(view, header + i * size),
    );
  }
}

function decode(view: DataView, at: number): CpuidEntry {
  const get = (field: string): number =>
    view.getUint32(at + constant(`kvm_cpuid_entry2.${field}`), true);
  const [fn, index, flags, eax, ebx, ecx, edx] = FIELDS.map(get);
  return {
    function: fn!,
    index: index!,
    flags: flags!,
    eax: eax!,
    ebx: ebx!,
    ecx: ecx!,
    edx: edx!,
  };
}

/** The bytes KVM_SET_CPUID2 takes. */
export function encodeCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  const header = constant('sizeof_kvm_cpuid2');
  const size = constant('sizeof_kvm_cpuid_entry2');
  const bytes = new Uint8Array(header + entries.length * size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, entries.length, true);
  entries.forEach((entry, i) => {
    for (const field of FIELDS) {
      const at = header + i * size + constant(`kvm_cpuid_entry2.${field}`);
      view.setUint32(at, entry[field], true);
    }
  });
  return bytes;
}

/**
 * Clears features by name, as `--cpu` gives them: "-avx2,-x2apic" or "host,-avx2".
 * @throws VexitError ERR_CONFIG for names that are not known
 */
export function parseCpuMask(text: string): CpuidMask[] {
  const masks: CpuidMask[] = [];
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '' || item === 'host') continue;
    const name = item.startsWith('-') ? item.slice(1) : undefined;
    const feature = name === undefined ? undefined : findFeature(name);
    if (feature === undefined) {
      throw new VexitError(
        'ERR_CONFIG',
        `unknown processor feature ${item}`,
        'write --cpu host,-NAME with names as in /proc/cpuinfo, for example --cpu host,-avx2',
      );
    }
    masks.push(feature);
  }
  return masks;
}

/** The table for one vCPU. `apicId` counts from 0; every vCPU is a core of one package. */
export function cpuidForVcpu(
  supported: readonly CpuidEntry[],
  apicId: number,
  cpus: number,
  masks: readonly CpuidMask[],
  tscDeadlineTimer: boolean,
): CpuidEntry[] {
  const table = supported
    .filter((entry) => entry.function !== 0xb && entry.function !== 0x1f)
    .map((entry) => ({ ...entry }));
  for (const entry of table) adjust(entry, apicId, cpus, tscDeadlineTimer);
  const maxBasic = table.find((entry) => entry.function === 0);
  if (maxBasic !== undefined && maxBasic.eax >= 0xb) table.push(...topologyLeaf(0xb, apicId, cpus));
  if (maxBasic !== undefined && maxBasic.eax >= 0x1f)
    table.push(...topologyLeaf(0x1f, apicId, cpus));
  for (const mask of masks) {
    for (const entry of table) {
      if (entry.function !== mask.function) continue;
      if (mask.index !== undefined && entry.index !== mask.index) continue;
      entry[mask.register] = (entry[mask.register] & ~mask.bits) >>> 0;
    }
  }
  return table;
}

const HYPERVISOR = 0x8000_0000;
const TSC_DEADLINE = 1 << 24;
const OSXSAVE = 1 << 27;
const HTT = 1 << 28;

/** Smallest n with 2^n >= value. */
function log2Ceil(value: number): number {
  return Math.ceil(Math.log2(value));
}

/** Leaves that depend on which vCPU it is, Intel SDM volume 2A and AMD APM volume 3 appendix E. */
function adjust(entry: CpuidEntry, apicId: number, cpus: number, tscDeadline: boolean): void {
  switch (entry.function) {
    case 1:
      // CLFLUSH line size stays; logical processors and initial APIC id are ours.
      entry.ebx = ((entry.ebx & 0xffff) | ((2 ** log2Ceil(cpus)) << 16) | (apicId << 24)) >>> 0;
      entry.ecx = ((entry.ecx | HYPERVISOR) & ~OSXSAVE) >>> 0;
      if (tscDeadline) entry.ecx = (entry.ecx | TSC_DEADLINE) >>> 0;
      entry.edx = (cpus > 1 ? entry.edx | HTT : entry.edx & ~HTT) >>> 0;
      break;
    case 4: {
      // Bits 31-26: cores in the package - 1; bits 25-14: processors sharing the cache - 1.
      const type = entry.eax & 0x1f;
      if (type === 0) break;
      const level = (entry.eax >>> 5) & 7;
      const ids = 2 ** log2Ceil(cpus) - 1;
      const sharing = level >= 3 ? ids : 0;
      entry.eax = ((entry.eax & 0x3fff) | (sharing << 14) | (Math.min(ids, 63) << 26)) >>> 0;
      break;
    }
    case 6:
      // Turbo, thermal and APERF/MPERF bits promise MSRs that are not there; ARAT is.
      entry.eax &= 1 << 2;
      entry.ebx = 0;
      entry.ecx = 0;
      entry.edx = 0;
      break;
    case 0xa:
      // No performance counters: as Firecracker, the guest's PMU is not part of the machine.
      entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
      break;
    case 0x8000_0008:
      entry.ecx = ((log2Ceil(cpus) << 12) | (cpus - 1)) >>> 0;
      break;
    case 0x8000_001e:
      entry.eax = apicId;
      entry.ebx = (entry.ebx & ~0xffff) | apicId;
      entry.ecx = 0;
      break;
    default:
      break;
  }
}

/** Extended topology: one thread a core, all cores in one package. */
function topologyLeaf(leaf: number, apicId: number, cpus: number): CpuidEntry[] {
  const level = (index: number, shift: number, count: number, type: number): CpuidEntry => ({
    function: leaf,
    index,
    flags: FLAG_SIGNIFICANT_INDEX,
    eax: shift,
    ebx: count,
    ecx: index | (type << 8),
    edx: apicId,
  });
  return [level(0, 0, 1, 1), level(1, log2Ceil(cpus), cpus, 2), level(2, 0, 0, 0)];
}
