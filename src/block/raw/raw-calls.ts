/**
 * What the operations of a raw disk ask of the I/O engine, one system call at a time, and of which
 * descriptor.
 *
 * With O_DIRECT, what is not aligned (guest buffers can lie anywhere) goes through a second, buffered
 * descriptor of the same file: the page cache is the bounce buffer, and the kernel keeps the two
 * coherent, including read-modify-write of partial blocks.
 */
import type { IoEngine, IoFile } from '../../io/io-engine.js';
import { HostMemory, type HostAllocator } from '../host-memory.js';
import { BlockSegments } from '../segments.js';
import type { RawFile } from './raw-file.js';
import { RawKind, type RawOperation } from './raw-operation.js';

/** Flags of fallocate(2). */
export const FallocateMode = { KeepSize: 1, PunchHole: 2, ZeroRange: 16 } as const;

/** Bytes of zeroes in memory, and how many are written at once, from the same memory. */
const ZERO_PIECE = 65536;
const ZERO_STEP = 2 ** 20;

/** The system calls of a raw disk. */
export class RawCalls {
  private readonly main: IoFile;
  private readonly buffered: IoFile;
  private readonly alignment: number;
  private zeroMemory: HostMemory | undefined;
  private zeroSegments: BlockSegments | undefined;

  constructor(
    file: RawFile,
    private readonly engine: IoEngine,
    private readonly allocate?: HostAllocator,
  ) {
    this.alignment = file.alignment;
    this.main = engine.register(file.fd);
    this.buffered = file.bufferedFd === undefined ? this.main : engine.register(file.bufferedFd);
  }

  /**
   * Gives the next system call of an operation to the engine.
   * @returns false when the engine has no room
   */
  issue(operation: RawOperation, token: number): boolean {
    const { engine, main } = this;
    const at = operation.offset + operation.done;
    const left = operation.length - operation.done;
    switch (operation.kind) {
      case RawKind.Read: {
        const segments = operation.remaining();
        return engine.readv(this.fileFor(segments, at), segments, at, token);
      }
      case RawKind.Write: {
        const segments = operation.remaining();
        const file = this.fileFor(segments, at);
        return engine.writev(file, segments, at, token, operation.stable);
      }
      case RawKind.ZeroWrite: {
        const segments = operation.remainingOf(this.zeroes());
        return engine.writev(this.fileFor(segments, at), segments, at, token, operation.stable);
      }
      case RawKind.Flush:
      case RawKind.ZeroFlush:
        return engine.fdatasync(main, token);
      case RawKind.Discard:
      case RawKind.Unmap: {
        const mode = FallocateMode.PunchHole + FallocateMode.KeepSize;
        return engine.fallocate(main, mode, at, left, token);
      }
      case RawKind.Zero: {
        const mode = FallocateMode.ZeroRange + FallocateMode.KeepSize;
        return engine.fallocate(main, mode, at, left, token);
      }
    }
  }

  /** The descriptor with O_DIRECT for what is aligned as that demands. */
  private fileFor(segments: BlockSegments, offset: number): IoFile {
    const { alignment } = this;
    if (this.buffered === this.main) return this.main;
    if (offset % alignment !== 0) return this.buffered;
    const { addresses, lengths, count } = segments;
    for (let i = 0; i < count; i++) {
      if (addresses[i]! % alignment !== 0 || lengths[i]! % alignment !== 0) return this.buffered;
    }
    return this.main;
  }

  private zeroes(): BlockSegments {
    if (this.zeroSegments === undefined) {
      const memory = (this.zeroMemory = new HostMemory(ZERO_PIECE, this.allocate));
      this.zeroSegments = new BlockSegments();
      for (let i = 0; i < ZERO_STEP; i += ZERO_PIECE) {
        this.zeroSegments.append(memory, 0, ZERO_PIECE);
      }
    }
    return this.zeroSegments;
  }

  close(): void {
    this.engine.unregister(this.main);
    if (this.buffered !== this.main) this.engine.unregister(this.buffered);
    this.zeroMemory?.release();
    this.zeroMemory = undefined;
    this.zeroSegments = undefined;
  }
}
