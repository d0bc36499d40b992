/** Guest memory of the real kind for the benches of virtio: system calls can be made on it. */
import { GuestMemory } from '../../../src/memory/guest-memory.js';
import { FakeRam, HIGH_RAM, RAM_SIZE } from '../virtio/fake-ram.js';

export class RealRam extends FakeRam {
  private readonly memory = GuestMemory.create('fs-test', [
    { start: 0, size: RAM_SIZE },
    { start: HIGH_RAM, size: RAM_SIZE },
  ]);

  override slices(address: number, length: number): Uint8Array<ArrayBuffer>[] {
    return this.memory.slices(address, length);
  }

  override hostAddress(address: number, length = 1): bigint {
    return this.memory.hostAddress(address, length);
  }

  override get(address: number, size: number): number {
    return Buffer.from(this.read(address, size)).readUIntLE(0, size);
  }

  override set(address: number, size: number, value: number): void {
    const bytes = Buffer.alloc(size);
    bytes.writeUIntLE(value % 2 ** (8 * size), 0, size);
    this.write(address, bytes);
  }

  close(): void {
    this.memory.close();
  }
}
