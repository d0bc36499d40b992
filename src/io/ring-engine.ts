/** The engine over rings, whoever serves them. */
import { constant, native, type WatchHandle } from '../kvm/native.js';
import { VexitError, errorMessage } from '../util/errors.js';
import {
  MAX_SEGMENTS,
  type IoCompletion,
  type IoEngine,
  type IoEngineKind,
  type IoFile,
  type IoSegments,
} from './io-engine.js';
import type { OpenRing } from './open-ring.js';
import { Rings, type CompletionSink } from './rings.js';

const ECANCELED = -125;

class RegisteredFile implements IoFile {
  constructor(public slot: number) {}
}

export class RingEngine implements IoEngine, CompletionSink {
  readonly kind: IoEngineKind;
  readonly capacity: number;
  inFlight = 0;

  private readonly rings: Rings;
  private readonly watch: WatchHandle;
  private readonly freeSlots: number[];
  /** False once the rings are given back. */
  private open = true;
  private closed: Promise<void> | undefined;
  private resolveClosed: (() => void) | undefined;

  private readonly opRead = constant('IORING_OP_READ');
  private readonly opReadv = constant('IORING_OP_READV');
  private readonly opWrite = constant('IORING_OP_WRITE');
  private readonly opWritev = constant('IORING_OP_WRITEV');
  private readonly opFsync = constant('IORING_OP_FSYNC');
  private readonly opFallocate = constant('IORING_OP_FALLOCATE');
  private readonly dsync = constant('RWF_DSYNC');
  private readonly fsyncDatasync = constant('IORING_FSYNC_DATASYNC');

  constructor(
    private readonly ring: OpenRing,
    private readonly onCompletion: IoCompletion,
    private readonly onBatch: (() => void) | undefined,
  ) {
    this.kind = ring.kind;
    this.capacity = ring.capacity;
    this.freeSlots = Array.from({ length: ring.files }, (_, i) => ring.files - 1 - i);
    this.rings = new Rings(ring);
    this.watch = native().watchReadable(ring.memory.eventfd, () => this.onEvent());
  }

  readv(file: IoFile, segments: IoSegments, offset: number, token: number): boolean {
    return this.transfer(this.opRead, this.opReadv, file, segments, offset, token, 0);
  }

  writev(
    file: IoFile,
    segments: IoSegments,
    offset: number,
    token: number,
    dataSync = false,
  ): boolean {
    const flags = dataSync ? this.dsync : 0;
    return this.transfer(this.opWrite, this.opWritev, file, segments, offset, token, flags);
  }

  fdatasync(file: IoFile, token: number): boolean {
    if (!this.hasRoom()) return false;
    this.rings.put(this.opFsync, file.slot, 0, 0, 0, this.fsyncDatasync, token);
    this.inFlight++;
    return true;
  }

  fallocate(file: IoFile, mode: number, offset: number, length: number, token: number): boolean {
    checkOffset(offset);
    checkOffset(length);
    if (!this.hasRoom()) return false;
    // fallocate(2) over io_uring has the length in addr and the mode in len.
    this.rings.put(this.opFallocate, file.slot, offset, length, mode, 0, token);
    this.inFlight++;
    return true;
  }

  private hasRoom(): boolean {
    return this.inFlight < this.capacity && this.closed === undefined;
  }

  private transfer(
    opcode: number,
    vectored: number,
    file: IoFile,
    segments: IoSegments,
    offset: number,
    token: number,
    flags: number,
  ): boolean {
    checkOffset(offset);
    if (!this.hasRoom()) return false;
    const { count } = segments;
    if (count === 1) {
      const { addresses, lengths } = segments;
      this.rings.put(opcode, file.slot, offset, addresses[0]!, lengths[0]!, flags, token);
    } else {
      if (count > MAX_SEGMENTS) throw new RangeError(`${count} segments in one request`);
      const address = this.rings.copySegments(segments);
      if (address === 0) return false;
      this.rings.put(vectored, file.slot, offset, address, count, flags, token);
    }
    this.inFlight++;
    return true;
  }

  submit(): void {
    if (this.open && !this.rings.submit()) this.wakeLater();
  }

  submitAndReap(): number {
    const { rings } = this;
    if (!this.open) return 0;
    if (rings.isTaking) {
      this.submit();
      return 0;
    }
    rings.maskEventfd();
    try {
      this.submit();
      return rings.take(this);
    } finally {
      rings.unmaskEventfd();
      this.afterTaking();
    }
  }

  reap(): number {
    if (!this.open || this.rings.isTaking) return 0;
    try {
      return this.rings.take(this);
    } finally {
      this.afterTaking();
    }
  }

  /** Called by the rings for each completion. */
  completed(token: number, result: number): void {
    this.inFlight--;
    this.onCompletion(token, result);
  }

  private onEvent(): void {
    native().eventfdDrain(this.ring.memory.eventfd);
    // Submits what was left because there was no memory for it.
    if (this.submitAndReap() > 0) this.onBatch?.();
  }

  /** What came while completions were taken has signalled nobody: it gets its turn of the loop. */
  private afterTaking(): void {
    if (this.rings.pending()) this.wakeLater();
    else if (this.closed !== undefined && this.inFlight === 0) this.finish();
  }

  private wakeLater(): void {
    native().eventfdSignal(this.ring.memory.eventfd);
  }

  register(fd: number): IoFile {
    if (this.closed !== undefined) throw new VexitError('ERR_IO', 'the I/O engine is closed');
    // Negative numbers mean other things to the kernel.
    if (!Number.isInteger(fd) || fd < 0) {
      throw new VexitError('ERR_IO', `${fd} is no file descriptor`);
    }
    const slot = this.freeSlots.pop();
    if (slot === undefined) {
      throw new VexitError(
        'ERR_IO',
        `no more than ${this.ring.files} files can be open in an I/O engine`,
      );
    }
    try {
      native().ringSetFile(this.ring.memory.handle, slot, fd);
    } catch (cause) {
      this.freeSlots.push(slot);
      const why = errorMessage(cause);
      throw new VexitError('ERR_IO', `file descriptor ${fd} cannot be used: ${why}`, undefined, {
        cause,
      });
    }
    return new RegisteredFile(slot);
  }

  unregister(file: IoFile): void {
    if (!(file instanceof RegisteredFile) || file.slot < 0 || this.closed !== undefined) return;
    const { slot } = file;
    // Requests queued but not submitted still name the slot.
    this.submit();
    file.slot = -1;
    native().ringSetFile(this.ring.memory.handle, slot, -1);
    this.freeSlots.push(slot);
  }

  close(): Promise<void> {
    this.closed ??= new Promise((resolve) => {
      this.resolveClosed = resolve;
      queueMicrotask(() => this.beginClose());
    });
    return this.closed;
  }

  private beginClose(): void {
    const { rings } = this;
    rings.withdraw(this, ECANCELED);
    if (this.inFlight > 0) {
      // Kernels before 5.19 refuse these flags; then everything runs to its end.
      const flags = constant('IORING_ASYNC_CANCEL_ANY') | constant('IORING_ASYNC_CANCEL_ALL');
      rings.putOwn(constant('IORING_OP_ASYNC_CANCEL'), flags);
      this.submit();
    }
    this.reap();
  }

  private finish(): void {
    const { memory } = this.ring;
    this.open = false;
    native().unwatch(this.watch);
    native().ringClose(memory.handle);
    const buffers = new Set([memory.sq, memory.cq, memory.sqes, memory.arena]);
    for (const buffer of buffers) native().memoryUnwrap(buffer);
    this.resolveClosed?.();
  }
}

/** -1 would be the file's own position to the kernel. */
function checkOffset(offset: number): void {
  if (!(offset >= 0 && offset <= Number.MAX_SAFE_INTEGER && Number.isInteger(offset))) {
    throw new RangeError(`file offset ${offset}`);
  }
}
