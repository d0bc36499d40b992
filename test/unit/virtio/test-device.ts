/** Devices for tests of the core and the transport. */
import type {
  ConfigAccessSize,
  DeviceContext,
  SharedMemoryRegion,
  VirtioDevice,
} from '../../../src/devices/virtio/device.js';
import { readLittleEndian, writeLittleEndian } from '../../../src/devices/virtio/device.js';
import type { DescriptorChain } from '../../../src/devices/virtio/queue/descriptor-chain.js';
import type { VirtQueue } from '../../../src/devices/virtio/queue/virt-queue.js';

const CONFIG_BYTES = 12;

/** Copies what is readable to what is writable; holds chains of queue 1 until it is told. */
export class EchoDevice implements VirtioDevice {
  readonly type: number = 42;
  readonly name: string = 'echo';
  readonly features: readonly number[] = [0, 3, 50];
  readonly featureRules = [{ feature: 3, requires: [0] }];
  readonly queueSizes: readonly number[] = [16, 8];
  readonly configBytes = CONFIG_BYTES;
  readonly stateBytes = 16;
  context!: DeviceContext;
  readonly held: number[] = [];
  readonly events: string[] = [];
  throws: 'before' | 'after' | undefined;
  private chain!: DescriptorChain;
  private readonly buffer = new Uint8Array(4096);

  attach(context: DeviceContext): void {
    this.context = context;
    this.chain = context.createChain();
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    return readLittleEndian(this.context.state, offset, size);
  }

  /** The last four bytes are the driver's, the rest is read-only. */
  writeConfig(offset: number, size: ConfigAccessSize, value: number): void {
    if (offset >= 8) writeLittleEndian(this.context.state, offset, size, value);
  }

  acceptFeatures(has: (bit: number) => boolean): boolean {
    return !has(50) || has(0);
  }

  driverOk(): void {
    this.events.push('driverOk');
  }

  reset(): void {
    this.events.push('reset');
  }

  halted(): void {
    this.events.push('halted');
  }

  queueReset(index: number): void {
    this.events.push(`queueReset ${index}`);
  }

  sharedMemory(id: number): SharedMemoryRegion | undefined {
    return id === 1 ? { address: 0x12_3456_7000, length: 0x3_0000_1000 } : undefined;
  }

  process(queue: VirtQueue): void {
    this.events.push(`process ${queue.index}`);
    if (this.throws === 'before') throw new TypeError('the device has a defect');
    while (queue.pop(this.chain)) {
      if (this.throws === 'after') throw new TypeError('the device has a defect');
      const { readable, writable, token } = this.chain;
      if (queue.index === 1) {
        this.held.push(token);
        continue;
      }
      const length = readable.read(this.buffer);
      queue.push(token, writable.write(this.buffer, 0, length));
    }
  }

  /** Finishes what queue 1 holds. */
  finish(written = 5): void {
    this.context.runQueue(1, (queue) => {
      for (const token of this.held.splice(0)) queue.push(token, written);
    });
  }
}
