/** Where a split ring may be (virtio 1.2, 2.7 and 2.7.5 to 2.7.8). */
import { constants } from '../constants.js';
import type { GuestRam } from './guest-ram.js';
import { QueueArea, QueueWord, type QueueRegisters } from './queue-registers.js';

const AREAS = [
  // Alignments of table 2.7; sizes with the event fields, which exist with or without EVENT_IDX.
  {
    area: QueueArea.Descriptor,
    name: 'descriptor table',
    align: 16,
    fixed: 0,
    entry: constants.DESCRIPTOR_SIZE,
  },
  { area: QueueArea.Driver, name: 'available ring', align: 2, fixed: 6, entry: 2 },
  { area: QueueArea.Device, name: 'used ring', align: 4, fixed: 6, entry: 8 },
] as const;

/** What is wrong with the size and the addresses of a queue, or undefined. */
export function splitLayoutProblem(registers: QueueRegisters, ram: GuestRam): string | undefined {
  const size = registers.words[QueueWord.Size]!;
  if (!(size >= 1 && size <= registers.maximumSize) || (size & (size - 1)) !== 0) {
    return `${size} entries in a ring of at most ${registers.maximumSize}`;
  }
  for (const { area, name, align, fixed, entry } of AREAS) {
    const address = registers.areaAddress(area);
    if (address % align !== 0) return `the ${name} is not aligned to ${align}`;
    if (!ram.contains(address, fixed + entry * size)) return `the ${name} is outside RAM`;
  }
  return undefined;
}
