/**
 * Gives balloon pages back to the host. Page numbers are sorted first, so that neighbours become
 * one system call and a page that is named twice is given back once.
 */
import type { GuestRam } from '../queue/guest-ram.js';
import { BALLOON_PAGE } from './balloon-layout.js';

/**
 * Discards the pages in RAM among `numbers`, whose order changes.
 * @returns how many of the numbers are not of pages in RAM
 */
export function discardPages(ram: GuestRam, numbers: Uint32Array): number {
  numbers.sort();
  let outside = 0;
  let start = 0;
  let count = 0;
  for (const number of numbers) {
    if (!ram.contains(number * BALLOON_PAGE, BALLOON_PAGE)) {
      outside++;
      continue;
    }
    if (count > 0 && number === start + count - 1) continue;
    // Neighbours across the end of a region are two runs.
    if (
      number !== start + count ||
      !ram.contains(start * BALLOON_PAGE, (count + 1) * BALLOON_PAGE)
    ) {
      if (count > 0) ram.discard(start * BALLOON_PAGE, count * BALLOON_PAGE);
      start = number;
      count = 0;
    }
    count++;
  }
  if (count > 0) ram.discard(start * BALLOON_PAGE, count * BALLOON_PAGE);
  return outside;
}

/** Discards the whole pages of a range that lies in RAM; returns how many bytes those are. */
export function discardRange(ram: GuestRam, address: number, length: number): number {
  const start = Math.ceil(address / BALLOON_PAGE) * BALLOON_PAGE;
  const end = Math.floor((address + length) / BALLOON_PAGE) * BALLOON_PAGE;
  if (end <= start) return 0;
  ram.discard(start, end - start);
  return end - start;
}
