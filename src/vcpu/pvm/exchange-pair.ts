/** CMPXCHG16B out of two 64-bit exchanges: JavaScript has no wider ones (SDM volume 2). */

/**
 * Both halves by 64-bit compare-and-exchange, low first. Another vCPU can see the pair half
 * written; when the high half has changed in between, the low one is put back.
 */
export function exchangePair(
  words: BigUint64Array,
  expected: readonly [bigint, bigint],
  replacement: readonly [bigint, bigint],
): readonly [bigint, bigint] | undefined {
  const high = Atomics.load(words, 1);
  const low = Atomics.load(words, 0);
  if (low !== expected[0] || high !== expected[1]) return [low, high];
  const lowFound = Atomics.compareExchange(words, 0, expected[0], replacement[0]);
  if (lowFound !== expected[0]) return [lowFound, Atomics.load(words, 1)];
  const highFound = Atomics.compareExchange(words, 1, expected[1], replacement[1]);
  if (highFound === expected[1]) return undefined;
  Atomics.compareExchange(words, 0, replacement[0], expected[0]);
  return [expected[0], highFound];
}
