/** The host's hand on a VM's memory balloon. */
import type { BalloonDevice } from '../../devices/virtio/balloon/balloon.js';
import type { BalloonStatistics } from '../../devices/virtio/balloon/balloon-stats.js';
import { VexitError } from '../../util/errors.js';
import { formatSize } from '../../util/size.js';
import type { HostSide } from './host-side.js';

/** How long a guest has to send its statistics. */
const STATISTICS_TIMEOUT_MS = 5000;

/** Asks the guest for memory, and says what it has given. */
export class BalloonControl implements HostSide {
  private waiting: ((statistics: BalloonStatistics) => void)[] = [];

  /** @param device the device of the present power-on */
  constructor(
    private readonly device: () => BalloonDevice | undefined,
    private readonly memory: number,
  ) {}

  private present(): BalloonDevice {
    const device = this.device();
    if (device !== undefined) return device;
    throw new VexitError('ERR_STATE', 'the VM has ended: it has no balloon any more');
  }

  /**
   * Asks the guest to give up so many bytes, rounded down to pages. The guest does so when its
   * driver gets to it; `actual` follows.
   * @throws VexitError ERR_CONFIG unless it is 0 up to the guest's memory; ERR_STATE after the end
   */
  setTarget(bytes: number): void {
    if (!(bytes >= 0 && bytes <= this.memory)) {
      throw new VexitError(
        'ERR_CONFIG',
        `a balloon of ${bytes} bytes is not possible`,
        `give 0 to ${formatSize(this.memory)}`,
      );
    }
    this.present().setTarget(bytes);
  }

  /** Bytes asked for. */
  get target(): number {
    return this.present().target;
  }

  /** Bytes in the balloon, by the word of the guest. */
  get actual(): number {
    return this.present().actual;
  }

  /**
   * The guest's memory statistics as they are now; those it sent last when it does not answer.
   * @throws VexitError ERR_STATE after the end of the VM
   */
  statistics(): Promise<BalloonStatistics> {
    const device = this.present();
    return new Promise((resolve) => {
      const done = (statistics: BalloonStatistics): void => {
        clearTimeout(timer);
        this.waiting = this.waiting.filter((other) => other !== done);
        resolve(statistics);
      };
      const timer = setTimeout(() => done(device.statistics), STATISTICS_TIMEOUT_MS).unref();
      this.waiting.push(done);
      device.requestStatistics();
    });
  }

  onDoorbell(): void {
    const device = this.device();
    if (device === undefined || this.waiting.length === 0) return;
    const { statistics } = device;
    for (const done of this.waiting.slice()) done(statistics);
  }
}
