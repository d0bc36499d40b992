/** Which of the known words somebody may have meant. */

/** Changes of one letter, and swaps of two neighbours, from one word to the other. */
function distance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let k = 1; k <= to.length; k++) {
      const same = from[i - 1] === to[k - 1];
      let best = Math.min(row[k - 1]! + 1, last[k]! + 1, last[k - 1]! + (same ? 0 : 1));
      if (i > 1 && k > 1 && from[i - 1] === to[k - 2] && from[i - 2] === to[k - 1]) {
        best = Math.min(best, beforeLast[k - 2]! + 1);
      }
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[to.length]!;
}

const bare = (word: string): string => word.toLowerCase().replace(/[-_ ]/g, '');

/**
 * The known word nearest to this one; undefined when none is near.
 * @param others what other tools call them, by their word
 */
export function suggest(
  word: string,
  known: readonly string[],
  others: Readonly<Record<string, string>> = {},
): string | undefined {
  // What people write may be of any length.
  const plain = bare(word.slice(0, 64));
  if (Object.hasOwn(others, plain)) return others[plain];
  const ranked = known
    .map((one) => ({ one, far: distance(plain, bare(one)) }))
    .sort((a, b) => a.far - b.far);
  const [best] = ranked;
  if (best === undefined || best.far > Math.min(2, Math.floor(best.one.length / 2)))
    return undefined;
  return best.one;
}
