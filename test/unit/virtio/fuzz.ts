/** What the virtio fuzzers share: numbers from a seed, and a box of time. */
import { randomNumbers } from '../devices/harness.js';

/** Seconds for each fuzzer; the seed can be given to repeat a run. */
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 2);
export const SEED = Number(process.env.FUZZ_SEED ?? 0x7e817);

export class Random {
  private readonly next: () => number;

  constructor(seed: number) {
    this.next = randomNumbers(seed === 0 ? 1 : seed);
    for (let i = 0; i < 8; i++) this.next();
  }

  /** A number from 0 to `limit` - 1. */
  below(limit: number): number {
    return this.next() % limit;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** 32 bits, often near an edge. */
  word(): number {
    const edges = [0, 1, 2, 15, 16, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff, 0x8000, 0x10000];
    return this.chance(50) ? this.pick(edges) : this.next();
  }

  /** A guest address: in RAM, at its edges, or anywhere in 64 bits. */
  address(ramSize: number): bigint {
    if (this.chance(70)) return BigInt(this.below(ramSize));
    if (this.chance(50)) return BigInt(ramSize) + BigInt(this.below(64) - 32);
    return (BigInt(this.word()) << 32n) | BigInt(this.word());
  }
}

/**
 * Calls `round` with fresh random numbers until the time is over. A failure names the seed that
 * repeats it: FUZZ_SEED=seed runs that round first.
 */
export function fuzz(round: (random: Random) => void): number {
  const end = Date.now() + SECONDS * 1000;
  let rounds = 0;
  do {
    const seed = (SEED + rounds * 0x9e37_79b1) >>> 0;
    try {
      round(new Random(seed));
    } catch (error) {
      throw new Error(`FUZZ_SEED=${seed}`, { cause: error });
    }
    rounds++;
  } while (Date.now() < end);
  return rounds;
}
