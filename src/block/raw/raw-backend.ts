/**
 * Raw files and block devices: a request is one system call on guest memory, by the I/O engine.
 *
 * More calls follow where that has not done all of it, and other ones where the file system does not
 * know what it was asked for.
 */
import { fstatSync, ftruncate } from 'node:fs';
import { promisify } from 'node:util';
import type { IoEngine } from '../../io/io-engine.js';
import { VexitError, errorMessage } from '../../util/errors.js';
import { BlockError, type BlockBackend, type BlockBackendHost } from '../backend.js';
import type { HostAllocator } from '../host-memory.js';
import type { IoChannel, IoDispatcher } from '../io-dispatcher.js';
import type { BlockSegments } from '../segments.js';
import { RawCalls } from './raw-calls.js';
import type { RawFile } from './raw-file.js';
import { RawKind, RawOperation } from './raw-operation.js';

/** Operations in flight; the device's limit is lower. */
const OPERATIONS = 1024;
/** A file that answers EAGAIN that often has a defect. */
const RETRIES = 16;

/** A raw disk on an I/O engine. */
export class RawBackend implements BlockBackend {
  readonly concurrent = true;
  readonly readOnly: boolean;
  capacity: number;

  private host!: BlockBackendHost;
  private readonly channel: IoChannel;
  private readonly calls: RawCalls;
  private readonly operations: RawOperation[] = [];
  private readonly free: RawOperation[] = [];
  private readonly stalled: RawOperation[] = [];
  /** Bytes the file has, unless somebody else has cut it. */
  private fileSize: number;
  private noZeroRange = false;
  private noPunchHole = false;
  private submitting = false;

  constructor(
    private readonly file: RawFile,
    private readonly engine: IoEngine,
    dispatcher: IoDispatcher,
    allocate?: HostAllocator,
  ) {
    this.readOnly = file.readOnly;
    this.fileSize = file.size;
    this.capacity = file.capacity ?? file.size;
    this.calls = new RawCalls(file, engine, allocate);
    this.channel = dispatcher.open({
      completed: (id, result) => this.completed(this.operations[id]!, result),
      room: () => this.room(),
    });
  }

  attach(host: BlockBackendHost): void {
    this.host = host;
  }

  read(segments: BlockSegments, offset: number, token: number): boolean {
    return this.start(RawKind.Read, segments, offset, segments.length, token, false);
  }

  write(segments: BlockSegments, offset: number, token: number, stable: boolean): boolean {
    return this.start(RawKind.Write, segments, offset, segments.length, token, stable);
  }

  flush(token: number): boolean {
    return this.start(RawKind.Flush, undefined, 0, 0, token, false);
  }

  discard(offset: number, length: number, token: number): boolean {
    if (this.noPunchHole || length === 0) {
      this.host.complete(token, 0);
      return true;
    }
    return this.start(RawKind.Discard, undefined, offset, length, token, false);
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
    let kind = unmap ? RawKind.Unmap : RawKind.Zero;
    if (unmap ? this.noPunchHole : this.noZeroRange) kind = RawKind.ZeroWrite;
    return this.start(kind, undefined, offset, length, token, stable);
  }

  /** What the page cache has is done at once, without a trip through the event loop. */
  submit(): void {
    this.engine.submitAndReap();
  }

  private start(
    kind: RawKind,
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

  private take(): RawOperation | undefined {
    const operation = this.free.pop();
    if (operation !== undefined || this.operations.length === OPERATIONS) return operation;
    const fresh = new RawOperation(this.operations.length);
    this.operations.push(fresh);
    return fresh;
  }

  private issue(operation: RawOperation): boolean {
    return this.calls.issue(operation, this.channel.token(operation.id));
  }

  private completed(operation: RawOperation, result: number): void {
    if (!(result >= 0)) {
      this.failed(operation, result);
      return;
    }
    switch (operation.kind) {
      case RawKind.Read:
      case RawKind.Write:
      case RawKind.ZeroWrite:
        operation.done += result;
        if (operation.done >= operation.length) this.finish(operation, 0);
        else if (result > 0) this.again(operation);
        else if (operation.kind === RawKind.Read) this.endOfFile(operation);
        else this.finish(operation, BlockError.EIO);
        return;
      case RawKind.Unmap:
      case RawKind.Zero:
        if (!operation.stable) break;
        operation.kind = RawKind.ZeroFlush;
        this.again(operation);
        return;
      default:
    }
    this.finish(operation, 0);
  }

  private failed(operation: RawOperation, result: number): void {
    const interrupted = result === BlockError.EINTR || result === BlockError.EAGAIN;
    if (interrupted && operation.retries++ < RETRIES) {
      this.again(operation);
      return;
    }
    if (result === BlockError.EOPNOTSUPP) {
      if (operation.kind === RawKind.Discard) {
        // It was a hint.
        this.noPunchHole = true;
        this.finish(operation, 0);
        return;
      }
      if (operation.kind === RawKind.Unmap || operation.kind === RawKind.Zero) {
        if (operation.kind === RawKind.Unmap) this.noPunchHole = true;
        else this.noZeroRange = true;
        operation.kind = RawKind.ZeroWrite;
        this.again(operation);
        return;
      }
    }
    this.finish(operation, result);
  }

  /** A read has come to the end of the file, within the capacity. */
  private endOfFile(operation: RawOperation): void {
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
  private again(operation: RawOperation): void {
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

  private finish(operation: RawOperation, result: number): void {
    operation.segments = undefined;
    if (operation.kind === RawKind.Write && result === 0) {
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
    this.calls.close();
    this.channel.close();
    return Promise.resolve();
  }
}
