/** From the devices of the options to their plain descriptions: opens and locks what they work on. */
import { closeSync } from 'node:fs';
import { checkDisks } from '../block/disk-option.js';
import { abandonDisk, closeDisk, openReleasedDisk } from '../block/open-disk.js';
import { checkShape } from '../devices/virtio/console/console-options.js';
import { diskDeviceOptions } from '../devices/virtio/block/disk-device.js';
import { pmemRegionBytes } from '../devices/virtio/pmem/pmem.js';
import { native } from '../kvm/native.js';
import * as layout from '../memory/layout.js';
import { VexitError, errorMessage } from '../util/errors.js';
import {
  consolePorts,
  netSettings,
  taggedShares,
  type DeviceOptions,
  type ModuleDisk,
  type PmemOptions,
  type ShareSettings,
} from './device-options.js';
import type { DiskOptions } from '../block/disk-option.js';
import type { Deciders } from './virtio/io-threads.js';
import type { Decide } from '../net/policy/gate.js';
import type { DeviceSpec, ShareSource } from './virtio/device-spec.js';
import { VIRTIO_SLOTS } from './virtio/slots.js';
import { checkVsock, type VsockSettings } from './vsock/vsock-option.js';
import { userBackend } from './virtio/user-backend.js';
import { claimVsock } from './vsock/vsock-place.js';

/** A region of host memory that becomes a memory slot of the guest. */
export interface MappedRegion {
  readonly memoryId: number;
  readonly address: number;
  readonly size: number;
  readonly readOnly: boolean;
}

/** Devices, and the name by which other VMs know this one. */
export interface NamedDevices extends DeviceOptions {
  readonly name?: string;
  readonly hostName?: string;
}

/** The devices of a VM and what has been opened for them, for all its power-ons. */
export interface OpenDevices {
  readonly specs: readonly DeviceSpec[];
  readonly regions: readonly MappedRegion[];
  /** What decides on the flows of a network, by slot. */
  readonly deciders: Deciders;
  /** Closes files and ends locks. All threads of the machine have ended. */
  close(): void;
  /** The same for a VM that has come to nothing: what was made for it is taken away too. */
  abandon(): void;
}

function settings<T extends object>(value: boolean | T | undefined): T | undefined {
  if (value === undefined || value === false) return undefined;
  return value === true ? ({} as T) : value;
}

class Opener {
  readonly specs: DeviceSpec[] = [];
  readonly regions: MappedRegion[] = [];
  readonly deciders = new Map<number, Decide>();
  private readonly undo: ((used: boolean) => void)[] = [];
  private nextPmem: number;

  constructor(memoryBytes: number) {
    this.nextPmem = layout.pmemStart(memoryBytes);
  }

  /** @param used false: the VM has come to nothing */
  close(used: boolean): void {
    for (const step of this.undo.splice(0).reverse()) step(used);
  }

  private async disk(options: DiskOptions): Promise<void> {
    const disk = await openReleasedDisk(options);
    this.undo.push((used) => (used ? closeDisk(disk) : abandonDisk(disk)));
    this.specs.push({
      kind: 'block',
      options: diskDeviceOptions(options, disk),
      source: { kind: 'file', disk, engine: options.engine },
    });
  }

  /** A backend is made once to be asked for its size; threads that serve it make their own. */
  private async moduleDisk({ backend, ...options }: ModuleDisk): Promise<void> {
    const probe = await userBackend(backend);
    const { capacity, concurrent } = probe;
    const readOnly = probe.readOnly || (options.readOnly ?? false);
    await probe.close();
    const { blockSize = 512 } = options;
    const named = { ...options, path: backend.module, readOnly };
    const size = { capacity, blockSize, physicalBlockSize: blockSize, concurrent };
    this.specs.push({
      kind: 'block',
      options: diskDeviceOptions(named, size),
      source: { kind: 'module', backend },
    });
  }

  private async pmem(region: PmemOptions): Promise<void> {
    const { readOnly = false } = region;
    const { openPmem } = await import('./open-pmem.js');
    const { fd, size: content } = await openPmem(region);
    this.undo.push(() => closeSync(fd));
    const size = pmemRegionBytes(content);
    const { id } = native().memoryMapFile(fd, content, size, !readOnly);
    this.undo.push(() => native().memoryRelease(id));
    const address = this.nextPmem;
    this.nextPmem = layout.pmemAfter(address + size);
    this.regions.push({ memoryId: id, address, size, readOnly });
    const options = { address, size };
    this.specs.push({ kind: 'pmem', options, fd: readOnly ? undefined : fd });
  }

  private share(share: ShareSettings & { readonly tag: string }): void {
    const { tag } = share;
    const source: ShareSource =
      'hostPath' in share
        ? {
            kind: 'host',
            path: share.hostPath,
            options: { readOnly: share.readOnly ?? false },
          }
        : { kind: 'module', fileSystem: share.fileSystem };
    this.specs.push({ kind: 'fs', options: { tag }, source });
  }

  private vsock(options: VsockSettings): void {
    const checked = checkVsock(options);
    const { path, release } = claimVsock(checked);
    this.undo.push(release);
    this.specs.push({ kind: 'vsock', options: { cid: checked.cid, path } });
  }

  async open(options: NamedDevices, agentPort: boolean): Promise<void> {
    const { name, hostName = name } = options;
    const { disks = [], pmem = [] } = options;
    checkDisks(disks.filter((disk): disk is DiskOptions => 'path' in disk));
    for (const disk of disks) {
      if ('backend' in disk) await this.moduleDisk(disk);
      else await this.disk(disk);
    }
    const networks = netSettings(options);
    if (networks.length > 0) {
      const { openNetworks } = await import('./open-networks.js');
      for (const { spec, decide } of await openNetworks(networks, hostName, this.undo)) {
        if (decide !== undefined) this.deciders.set(this.specs.length, decide);
        this.specs.push(spec);
      }
    }
    for (const share of taggedShares(options)) this.share(share);
    for (const region of pmem) await this.pmem(region);
    const ports = consolePorts(options, agentPort);
    if (ports !== undefined) {
      const shape = { ports };
      try {
        checkShape(shape);
      } catch (error) {
        throw new VexitError('ERR_CONFIG', `virtio console: ${errorMessage(error)}`);
      }
      this.specs.push({ kind: 'console', options: shape });
    }
    const rng = settings(options.rng);
    if (rng !== undefined) this.specs.push({ kind: 'rng', options: rng });
    const balloon = settings(options.balloon);
    if (balloon !== undefined) this.specs.push({ kind: 'balloon', options: balloon });
    const vsock = settings(options.vsock);
    if (vsock !== undefined) this.vsock(vsock);
    for (const device of options.devices ?? []) {
      this.specs.push({ kind: 'module', options: device });
    }
  }
}

/** How many devices the options ask for, before anything is opened. */
function countDevices(options: DeviceOptions, agentPort: boolean): number {
  const { disks = [], pmem = [], devices = [] } = options;
  const single = [
    consolePorts(options, agentPort),
    settings(options.rng),
    settings(options.balloon),
    settings(options.vsock),
  ];
  const singles = single.filter((device) => device !== undefined).length;
  const others = netSettings(options).length + taggedShares(options).length;
  return disks.length + others + pmem.length + devices.length + singles;
}

/**
 * Opens the devices of a VM.
 * @param agentPort whether the agent of the default guest has a port of virtio-console
 * @throws VexitError ERR_CONFIG, ERR_DISK; nothing is left open then
 */
export async function openDevices(
  options: NamedDevices,
  memoryBytes: number,
  agentPort = false,
): Promise<OpenDevices> {
  const count = countDevices(options, agentPort);
  if (count > VIRTIO_SLOTS) {
    throw new VexitError(
      'ERR_CONFIG',
      `${count} virtio devices are too many`,
      `give at most ${VIRTIO_SLOTS}`,
    );
  }
  const opener = new Opener(memoryBytes);
  try {
    await opener.open(options, agentPort);
  } catch (error) {
    opener.close(false);
    throw error;
  }
  const { specs, regions, deciders } = opener;
  return {
    specs,
    regions,
    deciders,
    close: () => opener.close(true),
    abandon: () => opener.close(false),
  };
}
