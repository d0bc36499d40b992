/** What `vexit stats` shows: counters of a VM at one moment. */
import type { VirtualMachine } from '../machine/virtual-machine.js';
import { ownMemory, type MemoryUsage } from './process-usage.js';

/** Counters since power-on; what is done in a second is the difference of two. */
export interface VmStats {
  /** Milliseconds of a clock that only goes forward. */
  readonly time: number;
  /** Processor time of the process, all threads; milliseconds. */
  readonly cpuMs: number;
  /** Time that vCPUs were held for the quota of processor time; milliseconds. */
  readonly heldMs: number;
  readonly memory: MemoryUsage;
  /** Bytes that the balloon holds; undefined without one. */
  readonly balloon?: number;
  readonly disk: { readonly readBytes: number; readonly writeBytes: number };
  /** From the guest (tx) and to it (rx). */
  readonly net: { readonly txBytes: number; readonly rxBytes: number };
  /** Times that vCPUs left the guest; 0 where KVM does not count. */
  readonly exits: number;
  /** KVM's counters of all vCPUs together. */
  readonly kvm: Readonly<Record<string, number>>;
}

function total(numbers: readonly (number | undefined)[]): number {
  return numbers.reduce((sum: number, value) => sum + (value ?? 0), 0);
}

/** Counters of a VM of this process. */
export function collectStats(vm: VirtualMachine, heldMs = 0): VmStats {
  const { vcpus, disks, networks } = vm.statistics();
  const { user, system } = process.cpuUsage();
  const names = Object.keys(vcpus[0] ?? {});
  const kvm = Object.fromEntries(names.map((name) => [name, total(vcpus.map((one) => one[name]))]));
  const { balloon } = vm;
  return {
    time: performance.now(),
    cpuMs: (user + system) / 1000,
    heldMs,
    memory: ownMemory(),
    ...(balloon === undefined ? {} : { balloon: balloon.actual }),
    disk: {
      readBytes: total(disks.map(({ readBytes }) => readBytes)),
      writeBytes: total(disks.map(({ writeBytes }) => writeBytes)),
    },
    net: {
      txBytes: total(networks.map(({ txBytes }) => txBytes)),
      rxBytes: total(networks.map(({ rxBytes }) => rxBytes)),
    },
    exits: kvm.exits ?? 0,
    kvm,
  };
}
