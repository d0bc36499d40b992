/** The host's sides of all virtio devices of a VM. */
import type { BalloonDevice } from '../../devices/virtio/balloon/balloon.js';
import type { VirtioDeviceCore } from '../../devices/virtio/index.js';
import { NetDevice } from '../../devices/virtio/net/net.js';
import type { NetStatistics } from '../../devices/virtio/net/net-state.js';
import { BalloonControl } from './balloon-control.js';
import { ConsoleControl } from './console-control.js';
import type { DeviceSpec } from './device-spec.js';
import { DiskControl, type LimitDisk, type ResizeDisk } from './disk-control.js';
import type { HostSide } from './host-side.js';
import { NetworkControl, type LimitNetwork } from './network-control.js';
import { VsockHost } from '../vsock/vsock-host.js';

/** What the host's sides need of their VM. */
export interface HostSurroundings {
  /** The device in a slot of the machine that is on. */
  readonly core: (slot: number) => VirtioDeviceCore | undefined;
  /** Bytes of guest memory. */
  readonly memory: number;
  readonly resizeDisk: ResizeDisk;
  readonly limitDisk: LimitDisk;
  readonly limitNetwork: LimitNetwork;
  /** Whether the guest could answer. */
  readonly running: () => boolean;
}

/** By slot of the device. */
export class HostSides {
  readonly balloon: BalloonControl | undefined;
  readonly console: ConsoleControl | undefined;
  readonly disks: readonly DiskControl[];
  readonly networks: readonly NetworkControl[];
  readonly vsock: VsockHost | undefined;
  private readonly sides: readonly (HostSide | undefined)[];

  private readonly core: HostSurroundings['core'];

  constructor(
    private readonly specs: readonly DeviceSpec[],
    surroundings: HostSurroundings,
  ) {
    this.core = surroundings.core;
    this.sides = specs.map((spec, slot) => makeSide(spec, slot, surroundings));
    this.disks = this.sides.filter((side) => side instanceof DiskControl);
    this.networks = this.sides.filter((side) => side instanceof NetworkControl);
    this.balloon = this.sides.find((side) => side instanceof BalloonControl);
    this.console = this.sides.find((side) => side instanceof ConsoleControl);
    this.vsock = this.sides.find((side) => side instanceof VsockHost);
  }

  /** What the network interfaces have done since power-on. */
  netStatistics(): NetStatistics[] {
    return this.specs.flatMap((_, slot) => {
      const device = this.core(slot)?.device;
      return device instanceof NetDevice ? [device.statistics] : [];
    });
  }

  onPowerOn(): void {
    for (const side of this.sides) side?.onPowerOn?.();
  }

  /** @param slots the devices that have rung, a bit set */
  onDoorbells(slots: number): void {
    this.sides.forEach((side, slot) => {
      if ((slots & (1 << slot)) !== 0) side?.onDoorbell?.();
    });
  }

  onPaused(): void {
    for (const side of this.sides) side?.onPaused?.();
  }

  onStopped(): void {
    for (const side of this.sides) side?.onStopped?.();
  }

  end(): void {
    for (const side of this.sides) side?.end?.();
  }
}

function makeSide(
  spec: DeviceSpec,
  slot: number,
  { core, memory, running, limitNetwork, limitDisk, resizeDisk }: HostSurroundings,
): HostSide | undefined {
  const present = (): VirtioDeviceCore | undefined => core(slot);
  switch (spec.kind) {
    case 'balloon':
      return new BalloonControl(() => present()?.device as BalloonDevice | undefined, memory);
    case 'block':
      return new DiskControl(present, slot, resizeDisk, limitDisk);
    case 'console':
      return new ConsoleControl(present, spec.options);
    case 'net':
      return new NetworkControl(present, slot, limitNetwork);
    case 'vsock':
      return new VsockHost(spec.options.path, spec.options.cid, running);
    default:
      return undefined;
  }
}
