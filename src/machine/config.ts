/** What a VM is made of: options as a library user or the CLI gives them, checked once. */
import type { BootProtocol } from '../boot/boot-result.js';
import type { GuestSource } from '../guest/default-guest.js';
import { parseCpuMask, type CpuidMask } from '../kvm/cpuid.js';
import { MEMORY_MIN } from '../memory/layout.js';
import { detectPvm } from '../vcpu/pvm/index.js';
import { VexitError } from '../util/errors.js';
import { formatSize, parseSize } from '../util/size.js';
import type { DeviceOptions } from './device-options.js';
import type { DeviceSpec } from './virtio/device-spec.js';
import type { VsockSettings } from './vsock/vsock-option.js';

/** A program to run in the guest instead of a shell; needs the default guest's agent. */
export interface CommandOptions {
  /** Program and arguments; the program is looked for in PATH. */
  readonly argv: readonly string[];
  /** Environment added to the guest's own, NAME to value. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** "uid" or "uid:gid". */
  readonly user?: string;
  /** Gives the program a terminal of this size; standard error then goes to standard output. */
  readonly tty?: { readonly rows: number; readonly cols: number };
}

/** Options of `VirtualMachine.create`. Paths are relative to the working directory. */
export interface VirtualMachineOptions extends DeviceOptions {
  /** Shown in messages and in /proc; default "vm". */
  readonly name?: string;
  /** Of the default guest, and by which other VMs find this one on LANs; default: the name. */
  readonly hostName?: string;
  /** Kernel image; without one, or firmware, the default guest is booted. */
  readonly kernel?: string;
  /** ROM image to start at the reset vector instead of a kernel. */
  readonly firmware?: string;
  /**
   * Kernel of the default guest: compiled with vexit's configuration, or Debian's cloud kernel.
   * Default: "cloud", and "built" where guest kernels are interpreted (kvm-pvm).
   */
  readonly guest?: GuestSource;
  /** Protocol to boot the kernel by; default: what the file says it is. */
  readonly bootProtocol?: BootProtocol;
  /** Where a flat binary is loaded and entered. */
  readonly flatAddress?: number;
  /** Initial RAM disks, concatenated; for multiboot, modules as "path arguments". */
  readonly initrd?: string | readonly string[];
  /** Replaces the kernel command line. */
  readonly cmdline?: string;
  /** Added to the end of the command line. */
  readonly append?: string;
  /** vCPUs, 1 to 32; default 1. */
  readonly cpus?: number;
  /** Bytes, or text such as "512M"; default 256 MiB, 128 MiB for the default guest's own build. */
  readonly memory?: number | string;
  /** Processor features to hide: "host,-avx2". */
  readonly cpu?: string;
  /** What a guest's reboot does: start again (default) or end the VM. */
  readonly onReboot?: 'restart' | 'exit';
  /** Port 0x501 ends the VM with status (value << 1) | 1; default off. */
  readonly debugExit?: boolean;
  /** Runs this instead of a shell in the default guest. */
  readonly command?: CommandOptions;
  /**
   * Runs the agent that `vm.agent` talks to in the default guest, and adds virtio-vsock if the VM has
   * none. Images that have the agent installed need only the device. Default off.
   */
  readonly agent?: boolean;
  /** Size of the terminal that shows the console, for the default guest's shell. */
  readonly terminal?: { readonly rows: number; readonly cols: number };
  /** Threads that serve the queues of virtio devices, 1 to 16; default 1. */
  readonly ioThreads?: number;
  /** The KVM device; default /dev/kvm. */
  readonly kvmDevice?: string;
  /** Forces the kvm-pvm completions on or off, for tests; default: when the host needs them. */
  readonly pvm?: boolean;
}

/** A checked configuration, apart from what needs files. */
export interface CheckedConfig {
  readonly name: string;
  readonly cpus: number;
  readonly memory: number;
  readonly cpuMasks: readonly CpuidMask[];
  readonly onReboot: 'restart' | 'exit';
  readonly debugExit: boolean;
  readonly kvmDevice: string;
  readonly ioThreads: number;
}

/** A checked configuration, with the devices as they have been opened. */
export interface MachineConfig extends CheckedConfig {
  /** Virtio devices, in the order of their slots. */
  readonly devices: readonly DeviceSpec[];
}

export const MAX_CPUS = 32;
const MAX_IO_THREADS = 16;
const DEFAULT_MEMORY = 256 * 2 ** 20;
/** The kernel built for this needs little, and every page costs time at its boot. */
const BUILT_GUEST_MEMORY = 128 * 2 ** 20;
/** A guest physical address has at most 46 bits on the processors KVM supports here. */
const MEMORY_MAX = 2 ** 45;

/** True when neither a kernel nor firmware is named. */
export function bootsDefaultGuest(options: VirtualMachineOptions): boolean {
  return options.kernel === undefined && options.firmware === undefined;
}

/** The kernel for the default guest: a stock one only where guest kernels run at full speed. */
export function guestSource(options: VirtualMachineOptions): GuestSource {
  return options.guest ?? ((options.pvm ?? detectPvm()) ? 'built' : 'cloud');
}

/**
 * Whether the default guest's agent has a port of virtio-console instead of the second serial port:
 * always, but where guest kernels are interpreted and the driver's start would cost more than the
 * port is worth.
 */
export function agentHasPort(options: VirtualMachineOptions): boolean {
  if (!bootsDefaultGuest(options)) return false;
  const hasConsole = options.virtioConsole !== undefined && options.virtioConsole !== false;
  return hasConsole || !(options.pvm ?? detectPvm());
}

/** The vsock device that the options ask for: the agent needs one. */
export function vsockDevice({
  vsock = false,
  agent = false,
}: VirtualMachineOptions): boolean | VsockSettings {
  return agent && vsock === false ? true : vsock;
}

function config(message: string, hint: string): VexitError {
  return new VexitError('ERR_CONFIG', message, hint);
}

function checkMemory(value: number | string): number {
  const bytes = typeof value === 'string' ? parseSize(value) : value;
  if (bytes === undefined || !Number.isSafeInteger(bytes)) {
    throw config(
      `memory is not a size: ${value}`,
      'write a number with a unit, such as 512M or 5G',
    );
  }
  if (bytes < MEMORY_MIN) {
    throw config(
      `${formatSize(bytes)} of memory are too little`,
      `give at least ${formatSize(MEMORY_MIN)}`,
    );
  }
  if (bytes > MEMORY_MAX) {
    throw config(`${value} of memory are more than a host can map`, 'give less');
  }
  return bytes;
}

function defaultMemory(options: VirtualMachineOptions): number {
  const built = bootsDefaultGuest(options) && guestSource(options) === 'built';
  return built ? BUILT_GUEST_MEMORY : DEFAULT_MEMORY;
}

function checkIoThreads(threads: number): number {
  if (Number.isInteger(threads) && threads >= 1 && threads <= MAX_IO_THREADS) return threads;
  throw config(`${threads} I/O threads are not possible`, `give 1 to ${MAX_IO_THREADS}`);
}

/**
 * Checks what needs no file.
 * @throws VexitError ERR_CONFIG
 */
export function checkConfig(options: VirtualMachineOptions): CheckedConfig {
  const cpus = options.cpus ?? 1;
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > MAX_CPUS) {
    throw config(`${cpus} vCPUs are not possible`, `give 1 to ${MAX_CPUS}`);
  }
  const name = options.name ?? 'vm';
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(name)) {
    throw config(
      `${JSON.stringify(name)} is not a name for a VM`,
      'use letters, digits, "_", "." and "-", at most 63, beginning with a letter or digit',
    );
  }
  if (
    options.hostName !== undefined &&
    !/^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(options.hostName)
  ) {
    throw config(
      `${JSON.stringify(options.hostName)} is not a host name`,
      'use letters, digits and "-" between them, at most 63',
    );
  }
  if (options.kernel !== undefined && options.firmware !== undefined) {
    throw config('a kernel and firmware at once', 'give one of the two');
  }
  return {
    name,
    cpus,
    memory: checkMemory(options.memory ?? defaultMemory(options)),
    cpuMasks: parseCpuMask(options.cpu ?? ''),
    onReboot: options.onReboot ?? 'restart',
    debugExit: options.debugExit ?? false,
    kvmDevice: options.kvmDevice ?? '/dev/kvm',
    ioThreads: checkIoThreads(options.ioThreads ?? 1),
  };
}
