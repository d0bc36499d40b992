/**
 * Raw files and block devices: a request is one system call on guest memory, by the I/O engine.
 *
 * With O_DIRECT, what is not aligned (guest buffers can lie anywhere) goes through a second, buffered
 * descriptor of the same file: the page cache is the bounce buffer, and the kernel keeps the two
 * coherent, including read-modify-write of partial blocks.
 */
import { fstatSync, ftruncate } from 'node:fs';
import { promisify } from 'node:util';
import type { IoEngine, IoFile } from '../../io/io-engine.js';
import { VexitError, errorMessage } from '../../util/errors.js';
import { BlockError, type BlockBackend, type BlockBackendHost } from '../backend.js';
import { HostMemory, type HostAllocator } from '../host-memory.js';
import type { IoChannel, IoDispatcher } from '../io-dispatcher.js';
import { BlockSegments } from '../segments.js';

/** What the backend needs to know of an open file; plain data. */
export interface RawFile {
  /** For messages. */
  readonly path: string;
  readonly fd: number;
  /** With O_DIRECT: the same file without it. */
  readonly bufferedFd?: number;
  /** What O_DIRECT asks of offsets, lengths and addresses; 1 without it. */
  readonly alignment: number;
  readonly readOnly: boolean;
  readonly blockDevice: boolean;
  /** Bytes of the file when it was opened. */
  readonly size: number;
  /** Bytes of the disk, if not the size: what is behind the end of the file reads as zeroes. */
  readonly capacity?: number;
}

/** Flags of fallocate(2). */
export const FallocateMode = { KeepSize: 1, PunchHole: 2, ZeroRange: 16 } as const;

enum Kind {
  Read,
  Write,
  Flush,
  Discard,
  /** Write zeroes, whose storage may be given back or not. */
  Unmap,
  Zero,
  /** Write zeroes by writing them, where the file system knows nothing better. */
  ZeroWrite,
  /** The flush of a stable write-zeroes. */
  ZeroFlush,
}

/** Operations in flight; the device's limit is lower. */
const OPERATIONS = 1024;
/** A file that answers EAGAIN that often has a defect. */
const RETRIES = 16;
const ZERO_PIECE = 65536;
const ZERO_STEP = 2 ** 20;

class Operation {
  kind = Kind.Read;
  token = 0;
  segments: BlockSegments | undefined;
  offset = 0;
  length = 0;
  done = 0;
  stable = false;
  retries = 0;
  /** What is left of the segments after a short transfer. */
  private rest: BlockSegments | undefined;

  constructor(readonly id: number) {}

  /** The segments from `done` on. */
  remaining(): BlockSegments {
    const segments = this.segments!;
    if (this.done === 0) return segments;
    this.rest ??= new BlockSegments();
    this.rest.clear();
    this.rest.appendSlice(segments, this.done, this.length - this.done);
    return this.rest;
  }

  /** The next zeroes to write. */
  zeroes(source: BlockSegments): BlockSegments {
    this.rest ??= new BlockSegments();
    this.rest.clear();
    this.rest.appendSlice(source, 0, Math.min(ZERO_STEP, this.length - this.done));
    return this.rest;
  }
}

/** A raw disk on an I/O engine. */
export class RawBackend implements BlockBackend {
  readonly concurrent = true;
  readonly readOnly: boolean;
  capacity: number;

  private host!: BlockBackendHost;
  private readonly channel: IoChannel;
  private readonly main: IoFile;
  private readonly buffered: IoFile;
  private readonly operations: Operation[] = [];
  private readonly free: Operation[] = [];
  private readonly stalled: Operation[] = [];
  private zeroMemory: HostMemory | undefined;
  private zeroSegments: BlockSegments | undefined;
  /** Bytes the file has, unless somebody else has cut it. */
  private fileSize: number;
  private noZeroRange = false;
  private noPunchHole = false;
  private submitting = false;

  constructor(
    private readonly file: RawFile,
    private readonly engine: IoEngine,
    dispatcher: IoDispatcher,
    private readonly allocate?: HostAllocator,
  ) {
    this.readOnly = file.readOnly;
    this.fileSize = file.size;
    this.capacity = file.capacity ?? file.size;
    this.main = engine.register(file.fd);
    this.buffered = file.bufferedFd === undefined ? this.main : engine.register(file.bufferedFd);
    this.channel = dispatcher.open({
      completed: (id, result) => this.completed(this.operations[id]!, result),
      room: () => this.room(),
    });
  }

  attach(host: BlockBackendHost): void {
    this.host = host;
  }

  read(segments: BlockSegments, offset: number, token: number): boolean {
    return this.start(Kind.Read, segments, offset, segments.length, token, false);
  }

  write(segments: BlockSegments, offset: number, token: number, stable: boolean): boolean {
    return this.start(Kind.Write, segments, offset, segments.length, token, stable);
  }

  flush(token: number): boolean {
    return this.start(Kind.Flush, undefined, 0, 0, token, false);
  }

  discard(offset: number, length: number, token: number): boolean {
    if (this.noPunchHole || length === 0) {
      this.host.complete(token, 0);
      return true;
    }
    return this.start(Kind.Discard, undefined, offset, length, token, false);
  }

  writeZeroes(
    offset: number,
    length: number,
    token: number,
    unmap: boolean,
    stable: boolean,
  ): boolean {
    if (length === 0) {
      this.host.complete(token, 0);
      return true;
    }
    let kind = unmap ? Kind.Unmap : Kind.Zero;
    if (unmap ? this.noPunchHole : this.noZeroRange) kind = Kind.ZeroWrite;
    return this.start(kind, undefined, offset, length, token, stable);
  }

  /** What the page cache has is done at once, without a trip through the event loop. */
  submit(): void {
    this.engine.submitAndReap();
  }

  private start(
    kind: Kind,
    segments: BlockSegments | undefined,
    offset: number,
    length: number,
    token: number,
    stable: boolean,
  ): boolean {
    const operation = this.take();
    if (operation === undefined) return false;
    operation.kind = kind;
    operation.segments = segments;
    operation.offset = offset;
    operation.length = length;
    operation.token = token;
    operation.stable = stable;
    operation.done = 0;
    operation.retries = 0;
    if (this.issue(operation)) return true;
    this.free.push(operation);
    this.channel.wait();
    return false;
  }

  private take(): Operation | undefined {
    const operation = this.free.pop();
    if (operation !== undefined || this.operations.length === OPERATIONS) return operation;
    const fresh = new Operation(this.operations.length);
    this.operations.push(fresh);
    return fresh;
  }

  /** Gives the next system call of an operation to the engine. */
  private issue(operation: Operation): boolean {
    const { engine, channel, main } = this;
    const token = channel.token(operation.id);
    const at = operation.offset + operation.done;
    const left = operation.length - operation.done;
    switch (operation.kind) {
      case Kind.Read: {
        const segments = operation.remaining();
        return engine.readv(this.fileFor(segments, at), segments, at, token);
      }
      case Kind.Write: {
        const segments = operation.remaining();
        const file = this.fileFor(segments, at);
        return engine.writev(file, segments, at, token, operation.stable);
      }
      case Kind.ZeroWrite: {
        const segments = operation.zeroes(this.zeroes());
        return engine.writev(this.fileFor(segments, at), segments, at, token, operation.stable);
      }
      case Kind.Flush:
      case Kind.ZeroFlush:
        return engine.fdatasync(main, token);
      case Kind.Discard:
      case Kind.Unmap: {
        const mode = FallocateMode.PunchHole + FallocateMode.KeepSize;
        return engine.fallocate(main, mode, at, left, token);
      }
      case Kind.Zero: {
        const mode = FallocateMode.ZeroRange + FallocateMode.KeepSize;
        return engine.fallocate(main, mode, at, left, token);
      }
    }
  }

  /** The descriptor with O_DIRECT for what is aligned as that demands. */
  private fileFor(segments: BlockSegments, offset: number): IoFile {
    const { alignment } = this.file;
    if (this.buffered === this.main) return this.main;
    if (offset % alignment !== 0) return this.buffered;
    const { addresses, lengths, count } = segments;
    for (let i = 0; i < count; i++) {
      if (addresses[i]! % alignment !== 0 || lengths[i]! % alignment !== 0) return this.buffered;
    }
    return this.main;
  }

  private completed(operation: Operation, result: number): void {
    if (!(result >= 0)) {
      this.failed(operation, result);
      return;
    }
    switch (operation.kind) {
      case Kind.Read:
      case Kind.Write:
      case Kind.ZeroWrite:
        operation.done += result;
        if (operation.done >= operation.length) this.finish(operation, 0);
        else if (result > 0) this.again(operation);
        else if (operation.kind === Kind.Read) this.endOfFile(operation);
        else this.finish(operation, BlockError.EIO);
        return;
      case Kind.Unmap:
      case Kind.Zero:
        if (!operation.stable) break;
        operation.kind = Kind.ZeroFlush;
        this.again(operation);
        return;
      default:
    }
    this.finish(operation, 0);
  }

  private failed(operation: Operation, result: number): void {
    const interrupted = result === BlockError.EINTR || result === BlockError.EAGAIN;
    if (interrupted && operation.retries++ < RETRIES) {
      this.again(operation);
      return;
    }
    if (result === BlockError.EOPNOTSUPP) {
      if (operation.kind === Kind.Discard) {
        // It was a hint.
        this.noPunchHole = true;
        this.finish(operation, 0);
        return;
      }
      if (operation.kind === Kind.Unmap || operation.kind === Kind.Zero) {
        if (operation.kind === Kind.Unmap) this.noPunchHole = true;
        else this.noZeroRange = true;
        operation.kind = Kind.ZeroWrite;
        this.again(operation);
        return;
      }
    }
    this.finish(operation, result);
  }

  /** A read has come to the end of the file, within the capacity. */
  private endOfFile(operation: Operation): void {
    const at = operation.offset + operation.done;
    if (at >= this.fileSize) {
      operation.segments!.zero(operation.done, operation.length - operation.done);
      this.finish(operation, 0);
      return;
    }
    let problem: string;
    try {
      const { size } = fstatSync(this.file.fd);
      // Grown again, or the answer of a file system that makes things up: ask again, not for ever.
      if (size > at && operation.retries++ < RETRIES) {
        this.again(operation);
        return;
      }
      problem = `it has shrunk from ${this.fileSize} to ${size} bytes`;
    } catch (error) {
      problem = errorMessage(error);
    }
    this.host.warn('block-shrunk', `${this.file.path}: ${problem}`);
    this.finish(operation, BlockError.EIO);
  }

  /** Issues an operation's next call from within a completion. */
  private again(operation: Operation): void {
    if (!this.issue(operation)) {
      this.stalled.push(operation);
      this.channel.wait();
    }
    this.submitLater();
  }

  /** For what the caller of {@link submit} does not know of. */
  private submitLater(): void {
    if (this.submitting) return;
    this.submitting = true;
    queueMicrotask(() => {
      this.submitting = false;
      this.engine.submit();
    });
  }

  private finish(operation: Operation, result: number): void {
    operation.segments = undefined;
    if (operation.kind === Kind.Write && result === 0) {
      this.fileSize = Math.max(this.fileSize, operation.offset + operation.length);
    }
    this.free.push(operation);
    this.host.complete(operation.token, result);
  }

  private room(): void {
    while (this.stalled.length > 0) {
      if (!this.issue(this.stalled[0]!)) {
        this.channel.wait();
        return;
      }
      this.stalled.shift();
      this.submitLater();
    }
    this.host.retry();
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

  /** Gives the file another length; a block device has had another one given already. */
  async resize(capacity: number): Promise<void> {
    if (!this.file.blockDevice) {
      try {
        await promisify(ftruncate)(this.file.fd, capacity);
      } catch (error) {
        throw new VexitError(
          'ERR_DISK',
          `${this.file.path} cannot be resized: ${errorMessage(error)}`,
          'see that the file system has room',
          { cause: error },
        );
      }
    }
    this.fileSize = capacity;
    this.capacity = capacity;
  }

  close(): Promise<void> {
    this.engine.unregister(this.main);
    if (this.buffered !== this.main) this.engine.unregister(this.buffered);
    this.channel.close();
    this.zeroMemory?.release();
    this.zeroMemory = undefined;
    this.zeroSegments = undefined;
    return Promise.resolve();
  }
}
