/** A balloon with a driver that knows its requests. */
import { BalloonFeature } from '../../../src/devices/virtio/balloon/balloon-layout.js';
import { BalloonDevice } from '../../../src/devices/virtio/balloon/balloon.js';
import { MmioBench, RING_BITS } from './mmio-bench.js';

const { StatsQueue, DeflateOnOom, PageReporting } = BalloonFeature;
export const ALL = [...RING_BITS, StatsQueue, DeflateOnOom, PageReporting];
export const PAGE = 4096;
export const [INFLATE, DEFLATE, STATS, REPORTING] = [0, 1, 2, 3] as const;
export const BUFFER = 0x40000;

export function bench(
  features: readonly number[] = ALL,
  device = new BalloonDevice(),
): MmioBench<BalloonDevice> {
  return new MmioBench(device).start(features);
}

/** Sends page numbers to the inflate or deflate queue. */
export function sendPages(
  made: MmioBench<BalloonDevice>,
  queue: number,
  numbers: readonly number[],
): void {
  numbers.forEach((number, i) => made.ram.set(BUFFER + 4 * i, 4, number));
  made.rings[queue]!.send({ address: BUFFER, length: 4 * numbers.length });
  made.notify(queue);
}

/** Statistics as packed entries. */
export function sendStatistics(
  made: MmioBench<BalloonDevice>,
  entries: readonly [number, bigint][],
  cut = 0,
): void {
  entries.forEach(([tag, value], i) => {
    made.ram.set(BUFFER + 10 * i, 2, tag);
    made.ram.set64(BUFFER + 10 * i + 2, value);
  });
  made.rings[STATS]!.send({ address: BUFFER, length: 10 * entries.length + cut });
  made.notify(STATS);
}
