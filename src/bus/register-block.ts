/**
 * Device registers in shared memory.
 *
 * A device is a stateless class over a register block, so any thread may run it: a vCPU worker on
 * an exit, the main thread for input. The block begins with a lock word; whoever touches the
 * device holds it. A snapshot of the device is a copy of the block.
 */

/** Where a block is in its file; plain data that goes to workers. */
export interface RegisterBlockHandle {
  readonly name: string;
  /** Byte offset in the shared buffer, a multiple of 8. */
  readonly offset: number;
  /** Bytes after the header. */
  readonly length: number;
}

const HEADER_BYTES = 8;
const UNLOCKED = 0;
const LOCKED = 1;
const CONTENDED = 2;

/** Registers of one device: 32-bit words and bytes over the same shared memory. */
export class RegisterBlock {
  /** The registers as signed 32-bit words; read unsigned values with `>>> 0`. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** The same memory as bytes, for rings and buffers. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  private readonly header: Int32Array<SharedArrayBuffer>;

  constructor(
    buffer: SharedArrayBuffer,
    readonly handle: RegisterBlockHandle,
  ) {
    this.header = new Int32Array(buffer, handle.offset, HEADER_BYTES / 4);
    const start = handle.offset + HEADER_BYTES;
    this.words = new Int32Array(buffer, start, handle.length / 4);
    this.bytes = new Uint8Array(buffer, start, handle.length);
  }

  /** A block of its own, for tests and single-threaded use. */
  static standalone(length: number, name = 'block'): RegisterBlock {
    const padded = Math.ceil(length / 8) * 8;
    const buffer = new SharedArrayBuffer(HEADER_BYTES + padded);
    return new RegisterBlock(buffer, { name, offset: 0, length: padded });
  }

  /** Takes the lock; waits in the kernel when another thread has it. Not recursive. */
  lock(): void {
    const { header } = this;
    if (Atomics.compareExchange(header, 0, UNLOCKED, LOCKED) === UNLOCKED) return;
    while (Atomics.exchange(header, 0, CONTENDED) !== UNLOCKED) Atomics.wait(header, 0, CONTENDED);
  }

  /** Releases the lock and wakes one waiter, if any. */
  unlock(): void {
    if (Atomics.exchange(this.header, 0, UNLOCKED) === CONTENDED) Atomics.notify(this.header, 0, 1);
  }

  /** A private copy of the registers. The caller holds the lock or has stopped all threads. */
  save(): Uint8Array {
    return Uint8Array.from(this.bytes);
  }

  /**
   * Puts saved registers back.
   * @throws RangeError when the length is not this block's
   */
  restore(saved: Uint8Array): void {
    if (saved.length !== this.bytes.length) {
      throw new RangeError(
        `${this.handle.name}: ${saved.length} bytes of state, not ${this.bytes.length}`,
      );
    }
    this.bytes.set(saved);
  }
}

/** Allocates register blocks in one shared buffer, in the order asked for. */
export class RegisterFileBuilder {
  private readonly handles: RegisterBlockHandle[] = [];
  private size = 0;

  /** Reserves a block of `length` bytes for the device called `name`. */
  allocate(name: string, length: number): RegisterBlockHandle {
    const padded = Math.ceil(length / 8) * 8;
    const handle = { name, offset: this.size, length: padded };
    this.size += HEADER_BYTES + padded;
    this.handles.push(handle);
    return handle;
  }

  /** The buffer that holds all blocks, zeroed. */
  build(): SharedArrayBuffer {
    return new SharedArrayBuffer(Math.max(this.size, 8));
  }
}
