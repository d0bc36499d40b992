/**
 * io_uring, and the addon's threads for the writes that are not done while they are submitted anyway.
 *
 * Some file systems, ext4 among them, have no buffered writes that do not wait. io_uring gives each of
 * those to a worker thread of the kernel, one after the other for a file, and each comes back by a
 * wake-up of its own: 2 to 4 us for a write of 4 KiB that itself takes less than 1. A thread of the pool
 * makes all that are there and says so once. Stable writes stay with io_uring: their time is the disk's.
 */
import { native } from '../kvm/native.js';
import type { IoEngine, IoEngineKind, IoFile, IoSegments } from './io-engine.js';
import type { RingEngine } from './ring-engine.js';

export class LaneEngine implements IoEngine {
  readonly kind: IoEngineKind;
  readonly capacity: number;
  private lanes: RingEngine | undefined;
  /** Files that have a lane, by their slot in the ring. */
  private readonly laneFiles = new Map<number, IoFile>();
  private closed: Promise<void> | undefined;

  /**
   * @param ring io_uring
   * @param openLanes makes the engine of threads, of the same capacity, with the same listeners
   */
  constructor(
    private readonly ring: RingEngine,
    private readonly openLanes: () => RingEngine,
  ) {
    this.kind = ring.kind;
    this.capacity = ring.capacity;
  }

  get inFlight(): number {
    const { ring, lanes } = this;
    return lanes === undefined ? ring.inFlight : ring.inFlight + lanes.inFlight;
  }

  readv(file: IoFile, segments: IoSegments, offset: number, token: number): boolean {
    return this.hasRoom() && this.ring.readv(file, segments, offset, token);
  }

  writev(
    file: IoFile,
    segments: IoSegments,
    offset: number,
    token: number,
    dataSync = false,
  ): boolean {
    if (!this.hasRoom()) return false;
    const lane = dataSync ? undefined : this.laneFiles.get(file.slot);
    if (lane !== undefined) return this.lanes!.writev(lane, segments, offset, token);
    return this.ring.writev(file, segments, offset, token, dataSync);
  }

  fdatasync(file: IoFile, token: number): boolean {
    return this.hasRoom() && this.ring.fdatasync(file, token);
  }

  fallocate(file: IoFile, mode: number, offset: number, length: number, token: number): boolean {
    return this.hasRoom() && this.ring.fallocate(file, mode, offset, length, token);
  }

  private hasRoom(): boolean {
    return this.inFlight < this.capacity;
  }

  submit(): void {
    this.ring.submit();
    this.lanes?.submit();
  }

  submitAndReap(): number {
    const { ring, lanes } = this;
    if (lanes === undefined) return ring.submitAndReap();
    if (this.delivering) {
      this.submit();
      return 0;
    }
    // The threads first: they begin while the ring is looked at.
    lanes.submit();
    const taken = ring.submitAndReap();
    return taken + lanes.submitAndReap();
  }

  reap(): number {
    if (this.delivering) return 0;
    const taken = this.ring.reap();
    return taken + (this.lanes?.reap() ?? 0);
  }

  /** Within a completion of one, nothing is delivered by the other. */
  private get delivering(): boolean {
    return this.ring.delivering || this.lanes?.delivering === true;
  }

  register(fd: number): IoFile {
    const file = this.ring.register(fd);
    if (this.closed === undefined && native().writesWait(fd)) {
      try {
        this.lanes ??= this.openLanes();
        this.laneFiles.set(file.slot, this.lanes.register(fd));
      } catch {
        // No memory or descriptors for that: the ring does without.
      }
    }
    return file;
  }

  unregister(file: IoFile): void {
    const lane = this.laneFiles.get(file.slot);
    if (lane !== undefined) {
      this.laneFiles.delete(file.slot);
      this.lanes!.unregister(lane);
    }
    this.ring.unregister(file);
  }

  close(): Promise<void> {
    this.closed ??= Promise.all([this.ring.close(), this.lanes?.close()]).then(() => undefined);
    return this.closed;
  }
}
