/** From options to what is loaded at every power-on: files, command line, tables. */
import { readFile } from 'node:fs/promises';
import { loadBoot, type BootImage } from '../boot/load.js';
import { writeAcpiTables } from '../boot/acpi/index.js';
import { writeMpTable } from '../boot/mptable.js';
import { openSource } from '../boot/boot-source.js';
import { detectProtocol } from '../boot/detect.js';
import { rootParameters, type RootMounter } from '../boot/root-disk.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import type { CpioEntry } from '../guest/cpio.js';
import type { GuestSource } from '../guest/default-guest.js';
import { VexitError } from '../util/errors.js';
import {
  PVM_BUILT_GUEST_CMDLINE,
  PVM_CMDLINE,
  PVM_CPUID_CLEAR,
  detectPvm,
} from '../vcpu/pvm/index.js';
import {
  agentHasPort,
  bootsDefaultGuest,
  guestSource,
  type MachineConfig,
  type VirtualMachineOptions,
} from './config.js';
import { AGENT_PORT_NAME, hasVirtioConsole } from './device-options.js';
import type { BootLoader, HostAdjustments } from './instance.js';
import { virtioRanges } from './virtio/slots.js';

/** Everything that does not change between two power-ons. */
export interface BootPlan {
  readonly host: HostAdjustments;
  readonly load: BootLoader;
  /** Whether the guest is known to run the agent. */
  readonly hasAgent: boolean;
  /** Lines for people. */
  readonly notes: readonly string[];
}

/** Console on the first serial port; a reboot goes through the keyboard controller first. */
const DEFAULT_CMDLINE = 'console=ttyS0 reboot=k panic=-1';

interface GuestFiles {
  readonly kernel?: BootImage;
  readonly firmware?: BootImage;
  readonly initrds: readonly BootImage[];
  readonly cmdline: string;
}

function initrdList({ initrd }: VirtualMachineOptions): readonly string[] {
  if (initrd === undefined) return [];
  return typeof initrd === 'string' ? [initrd] : initrd;
}

function hostAdjustments(options: VirtualMachineOptions): HostAdjustments {
  const pvm = options.pvm ?? detectPvm();
  const cpuMasks = PVM_CPUID_CLEAR.map(({ leaf, register, bits }) => ({
    function: leaf,
    register,
    bits,
  }));
  return { pvm, cpuMasks: pvm ? cpuMasks : [] };
}

/** The default guest's files, with the run file for its agent as the last initramfs. */
async function defaultGuest(
  options: VirtualMachineOptions,
  source: GuestSource,
  devices: MachineConfig['devices'],
): Promise<GuestFiles> {
  const { ensureDefaultGuest } = await import('../guest/default-guest.js');
  const { defaultGuestCmdline } = await import('../guest/cmdline.js');
  const { encodeRunFile } = await import('../agent/run-file.js');
  const { writeCpio } = await import('../guest/cpio.js');
  const { guestAttachments } = await import('./guest-attachments.js');
  const { AGENT_PORT } = await import('../agent/operation.js');
  const { command, terminal } = options;
  const run = encodeRunFile({
    ...(command === undefined ? {} : { argv: command.argv }),
    ...(command?.env === undefined ? {} : { env: command.env }),
    ...(command?.cwd === undefined ? {} : { cwd: command.cwd }),
    ...(command?.user === undefined ? {} : { user: command.user }),
    tty: command?.tty !== undefined,
    ...(command?.tty ?? terminal ?? {}),
    hostname: options.hostName ?? options.name ?? 'vexit',
    ...guestAttachments(options, devices),
    ...(agentHasPort(options) ? { channel: AGENT_PORT_NAME } : {}),
    ...(options.agent === true ? { agentPort: AGENT_PORT } : {}),
  });
  const guest = await ensureDefaultGuest(source, () => undefined);
  const files: CpioEntry[] = [{ path: '.vexit/run', mode: 0o100600, data: run }];
  // Not in the guest's own archive: every boot would pay for unpacking it.
  if (options.agent === true) {
    files.push({ path: '.vexit/agent', mode: 0o100755, data: await readFile(guest.agent) });
  }
  return {
    kernel: guest.kernel,
    initrds: [
      ...guest.initrds,
      ...initrdList(options),
      { name: 'run file', bytes: writeCpio(files) },
    ],
    cmdline: defaultGuestCmdline(source),
  };
}

function givenGuest(options: VirtualMachineOptions): GuestFiles {
  return {
    ...(options.kernel === undefined ? {} : { kernel: options.kernel }),
    ...(options.firmware === undefined ? {} : { firmware: options.firmware }),
    initrds: initrdList(options),
    cmdline: DEFAULT_CMDLINE,
  };
}

/** Only Linux has Linux's parameters: other kernels get the command line they were given. */
function bootsLinux({ kernel }: GuestFiles, options: VirtualMachineOptions): boolean {
  if (kernel === undefined) return false;
  const source = openSource(kernel, 'ERR_KERNEL');
  try {
    const { protocol } = detectProtocol(source, options.bootProtocol);
    return protocol === 'linux' || protocol === 'pvh';
  } finally {
    source.close();
  }
}

/** ACPI and MP tables, for every guest but firmware, which brings its own. */
function writeTables(memory: GuestMemory, { cpus, devices }: MachineConfig): { rsdp: number } {
  const apicIds = Array.from({ length: cpus }, (_, i) => i);
  // The IOAPIC's id follows the processors', so that it never equals one of them.
  const processors = { cpus: apicIds, ioapicId: cpus };
  const virtioMmio = virtioRanges(devices.length);
  writeMpTable(memory, { ...processors, gsis: virtioMmio.map(({ gsi }) => gsi) });
  return writeAcpiTables(memory, { ...processors, pvpanic: true, virtioMmio });
}

/** A kernel told so does not see the devices in the DSDT. */
function readsNoAcpi(parameters: readonly string[]): boolean {
  return parameters.some((part) => part.split(/\s+/).includes('acpi=off'));
}

/** The devices as parameters of Linux, for a kernel that does not read ACPI. */
function virtioParameters(count: number): string[] {
  return virtioRanges(count).map(
    ({ address, size, gsi }) => `virtio_mmio.device=${size}@0x${address.toString(16)}:${gsi}`,
  );
}

/** A command line of ours, for the console that the VM has. */
function onConsole(cmdline: string, options: VirtualMachineOptions): string {
  return hasVirtioConsole(options) ? cmdline.replace('console=ttyS0', 'console=hvc0') : cmdline;
}

/** Parameters that make a disk the root; the user's own come later and win. */
function rootDiskParameters(options: VirtualMachineOptions, isDefault: boolean): string[] {
  const hasInitrd = initrdList(options).length > 0;
  const mounter: RootMounter = isDefault ? 'agent' : hasInitrd ? 'initrd' : 'kernel';
  const given = [options.cmdline, options.append].filter((text) => text !== undefined);
  return rootParameters(options.disks ?? [], mounter, given.join(' '));
}

/**
 * Works out what to boot and how.
 * @throws VexitError for options that contradict each other
 */
export async function planBoot(
  options: VirtualMachineOptions,
  config: MachineConfig,
): Promise<BootPlan> {
  const host = hostAdjustments(options);
  const isDefault = bootsDefaultGuest(options);
  if (options.command !== undefined && !isDefault) {
    throw new VexitError(
      'ERR_CONFIG',
      'a command needs the default guest, whose agent runs it',
      'leave --kernel and --firmware out, or leave the command out',
    );
  }
  const files = isDefault
    ? await defaultGuest(options, guestSource(options), config.devices)
    : givenGuest(options);
  const notes: string[] = [];
  const linux = bootsLinux(files, options);
  const parameters = [options.cmdline ?? (linux ? onConsole(files.cmdline, options) : '')];
  if (host.pvm && linux) {
    const built = isDefault && guestSource(options) === 'built';
    const added = built ? PVM_BUILT_GUEST_CMDLINE : PVM_CMDLINE;
    parameters.push(added);
    notes.push(`this host is kvm-pvm: kernel parameters added: ${added}`);
  }
  if (linux) parameters.push(...rootDiskParameters(options, isDefault));
  if (options.append !== undefined) parameters.push(options.append);
  if (linux && readsNoAcpi(parameters)) parameters.push(...virtioParameters(config.devices.length));

  const load: BootLoader = async (memory) => {
    const tables = files.firmware === undefined ? writeTables(memory, config) : undefined;
    return loadBoot(memory, {
      kernel: files.kernel,
      firmware: files.firmware,
      protocol: options.bootProtocol,
      initrds: files.initrds,
      cmdline: parameters.filter((part) => part !== '').join(' '),
      rsdpAddress: tables?.rsdp,
      flatAddress: options.flatAddress,
    });
  };
  return { host, load, hasAgent: isDefault, notes };
}
