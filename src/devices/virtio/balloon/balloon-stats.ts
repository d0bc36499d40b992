/** Memory statistics as the guest's driver sends them (virtio 1.2, 5.5.6.3 and 5.5.6.4). */
import type { ReadableSegments } from '../queue/segments.js';
import {
  STATS_COUNT,
  STATS_DATA,
  STATS_LIMIT,
  STAT_BYTES,
  STAT_NAMES,
  type BalloonStatName,
} from './balloon-layout.js';

/** Statistics by name; bytes or counts. The driver chooses which ones there are. */
export type BalloonStatistics = Partial<Record<BalloonStatName, number>>;

/** The entries that came last, in the device's state. The stats queue is locked around calls. */
export class StatisticsStore {
  private readonly view: DataView<SharedArrayBuffer>;
  private readonly data: Uint8Array<SharedArrayBuffer>;

  constructor(state: Uint8Array<SharedArrayBuffer>) {
    this.view = new DataView(state.buffer, state.byteOffset, state.byteLength);
    this.data = state.subarray(STATS_DATA, STATS_DATA + STATS_LIMIT * STAT_BYTES);
  }

  /** Keeps the complete entries of a buffer, as many as there is room for. */
  store(buffer: ReadableSegments): void {
    const length = buffer.read(this.data);
    this.view.setUint32(STATS_COUNT, Math.floor(length / STAT_BYTES), true);
    this.view.setUint32(STATS_COUNT + 4, this.sequence + 1, true);
  }

  /** How many buffers have come. */
  get sequence(): number {
    return this.view.getUint32(STATS_COUNT + 4, true);
  }

  clear(): void {
    this.view.setUint32(STATS_COUNT, 0, true);
  }

  /** The statistics; entries with unknown tags are ignored, in any order (5.5.6.3.2). */
  parse(): BalloonStatistics {
    const statistics: BalloonStatistics = {};
    const count = Math.min(this.view.getUint32(STATS_COUNT, true), STATS_LIMIT);
    for (let i = 0; i < count; i++) {
      const at = STATS_DATA + i * STAT_BYTES;
      const name = STAT_NAMES[this.view.getUint16(at, true)];
      if (name !== undefined) statistics[name] = Number(this.view.getBigUint64(at + 2, true));
    }
    return statistics;
  }
}
