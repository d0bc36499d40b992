/** The internet checksum over any piece of memory, against the plain sum. */
import { foldSum, sumBytes } from '../../../src/net/wire/checksum.js';

function plainSum(bytes: Uint8Array, start: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) {
    sum = foldSum(sum + (bytes[start + i]! << (i % 2 === 0 ? 8 : 0)));
  }
  return sum;
}

const MEMORY = Uint8Array.from({ length: 70_000 }, (_, i) => (i * i * 31 + (i >> 3)) % 251);

test.each([0, 1, 2, 3])('a sum does not depend on where memory begins: offset %i', (offset) => {
  const bytes = MEMORY.subarray(offset);
  for (const length of [0, 1, 2, 63, 64, 65, 66, 67, 1459, 1460, 16_387, 65_535]) {
    for (let start = 0; start < 4; start++) {
      const sum = sumBytes(bytes, start, length);
      // 0 and 0xffff are the same number in ones' complement.
      expect(sum % 0xffff).toBe(plainSum(bytes, start, length) % 0xffff);
    }
  }
});

test('sums go on from one another, in other memory', () => {
  const other = Uint8Array.from({ length: 128 }, (_, i) => 255 - i);
  const sum = sumBytes(other, 0, 128, sumBytes(MEMORY, 0, 1460));
  expect(sum).toBe(foldSum(plainSum(MEMORY, 0, 1460) + plainSum(other, 0, 128)));
});
