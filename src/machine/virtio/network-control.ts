/** The host's hand on one network interface of a VM, over all its power-ons. */
import type { NetLimitOptions } from '../../devices/virtio/net/net-limits.js';
import { NetDevice } from '../../devices/virtio/net/net.js';
import type { NetStatistics } from '../../devices/virtio/net/net-state.js';
import { VexitError } from '../../util/errors.js';
import type { HostSide, PresentCore } from './host-side.js';

/** Gives the interface of a slot other limits, in the threads that serve it. */
export type LimitNetwork = (slot: number, limits: NetLimitOptions) => Promise<void>;

/** One interface. */
export class NetworkControl implements HostSide {
  private up = true;
  private limits: NetLimitOptions | undefined;

  constructor(
    private readonly core: PresentCore,
    private readonly slot: number,
    private readonly limitNetwork: LimitNetwork,
  ) {}

  private get device(): NetDevice {
    const device = this.core()?.device;
    if (device instanceof NetDevice) return device;
    throw new VexitError('ERR_STATE', 'the VM has ended: it has no networks any more');
  }

  /** The address that the guest uses. */
  get address(): string {
    return this.device.address;
  }

  /** What has passed since power-on. */
  get statistics(): NetStatistics {
    return this.device.statistics;
  }

  /** Takes the link up or down, as if a cable were plugged; kept over reboots. */
  setLink(up: boolean): void {
    this.device.setLink(up);
    this.up = up;
  }

  /** Asks the guest to announce its addresses, as after a move to another network. */
  announce(): void {
    this.device.announce();
  }

  /**
   * Limits what the guest may send and is sent, from now on; a direction that is left out has no
   * limit. Kept over reboots.
   * @throws VexitError ERR_CONFIG for a limit that makes no sense; ERR_STATE unless the VM runs
   */
  async setRateLimit(limits: NetLimitOptions): Promise<void> {
    for (const limit of [limits.tx, limits.rx].flatMap((way) => [way?.bytes, way?.frames])) {
      if (limit !== undefined && !(limit.perSecond > 0 && limit.burst >= 1)) {
        throw new VexitError(
          'ERR_CONFIG',
          `a rate limit of ${limit.perSecond} a second and ${limit.burst} at once does not work`,
          'give a rate above 0 and a burst of at least 1',
        );
      }
    }
    await this.limitNetwork(this.slot, limits);
    this.limits = limits;
  }

  onPowerOn(): void {
    if (!this.up) this.device.setLink(false);
  }

  /** The machine has started, with the limits of its options. */
  onDoorbell(): void {
    // A machine that ends in this moment needs no limits.
    if (this.limits !== undefined) this.limitNetwork(this.slot, this.limits).catch(() => undefined);
  }
}
