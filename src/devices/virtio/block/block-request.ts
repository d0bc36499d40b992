/** One request in flight (virtio 1.2, 5.2.6): what is needed of it when its chain is gone. */
import { SECTOR } from '../../../block/backend.js';
import { BlockSegments, type SegmentMemory } from '../../../block/segments.js';
import { RamCursor, type GuestRam } from '../queue/guest-ram.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { Segments } from '../queue/segments.js';
import {
  BlockRequestType,
  BlockStatus,
  FLAG_UNMAP,
  HEADER_BYTES,
  MAX_RANGES,
  MAX_RANGE_SECTORS,
  RANGE_BYTES,
} from './block-layout.js';

/** Pieces from this size on are bulk I/O, whose speed depends on the size of the host's pages. */
const BULK = 65536;

/** Guest memory as backends see it; addresses are the guest's and have been checked. */
export class GuestSegmentMemory extends RamCursor implements SegmentMemory {
  constructor(ram: GuestRam) {
    super(ram, ram.start);
  }

  hostAddress(address: number, length: number): number {
    return this.ram.hostAddress(address, length);
  }
}

/** A request. Objects are used again: one for each that can be in flight. */
export class BlockRequest {
  queue = 0;
  token = 0;
  /** With the backend. */
  active = false;
  type = 0;
  /** First byte and number of bytes on the disk. */
  offset = 0;
  length = 0;
  readonly segments = new BlockSegments();
  stable = false;
  unmap = false;
  /** Ranges to discard or zero, pairs of offset and length, and the one that is going on. */
  readonly ranges = new Float64Array(2 * MAX_RANGES);
  rangeCount = 0;
  range = 0;
  /** 0 or a negative errno, when it has ended. */
  result = 0;
  /** Guest address of the status byte. */
  statusAddress = 0;
  /** Writable bytes in front of the status byte. */
  room = 0;
  /** How many of them this request fills. */
  filled = 0;

  /** @param index names the request to the backend */
  constructor(readonly index: number) {}

  /** Takes a list of guest memory over. */
  takeSegments(source: Segments, memory: SegmentMemory): void {
    const { segments } = this;
    segments.clear();
    for (let i = 0; i < source.count; i++)
      segments.append(memory, source.address(i), source.size(i));
    this.length = segments.length;
  }

  /** Reports the large pieces of memory of a transfer that has ended. */
  noteBulk(ram: GuestRam): void {
    const { segments } = this;
    if (segments.length < BULK) return;
    for (let i = 0; i < segments.count; i++) {
      const size = segments.lengths[i]!;
      if (size >= BULK) ram.transferred(segments.address(i), size);
    }
  }

  /** Bytes the driver is told of: those from the first writable one on that have been written. */
  written(succeeded: boolean): number {
    const filled = succeeded ? this.filled : 0;
    return filled === this.room ? filled + 1 : filled;
  }
}

/** What requests are checked against. */
export interface RequestRules {
  /** Bytes of the disk. */
  readonly capacity: number;
  readonly readOnly: boolean;
  readonly flush: boolean;
  readonly discard: boolean;
  readonly writeZeroes: boolean;
}

/** Reads requests out of chains, each byte once. One object a thread. */
export class RequestReader {
  private readonly header = new DataView(new ArrayBuffer(HEADER_BYTES));
  private readonly headerBytes = new Uint8Array(this.header.buffer);
  private readonly range = new DataView(new ArrayBuffer(RANGE_BYTES));
  private readonly rangeBytes = new Uint8Array(this.range.buffer);

  constructor(private readonly memory: SegmentMemory) {}

  /**
   * Fills a request from a chain that has a status byte, the last writable byte (5.2.6).
   * @returns the status of a request that ends here, or undefined
   */
  read(
    request: BlockRequest,
    chain: DescriptorChain,
    rules: RequestRules,
  ): BlockStatus | undefined {
    const { readable, writable } = chain;
    const last = writable.count - 1;
    request.token = chain.token;
    request.statusAddress = writable.address(last) + writable.size(last) - 1;
    writable.truncate(writable.length - 1);
    request.room = writable.length;
    request.filled = 0;
    request.length = 0;
    request.rangeCount = 0;
    request.range = 0;
    if (readable.read(this.headerBytes) < HEADER_BYTES) {
      request.type = -1;
      return BlockStatus.IoError;
    }
    const { header } = this;
    request.type = header.getUint32(0, true);
    // Above 2^53 it is rounded, and outside any disk either way.
    const sector = header.getUint32(12, true) * 2 ** 32 + header.getUint32(8, true);
    request.offset = sector * SECTOR;
    switch (request.type) {
      case BlockRequestType.In:
        request.takeSegments(writable, this.memory);
        request.filled = request.length;
        return within(request.offset, request.length, rules);
      case BlockRequestType.Out:
        if (rules.readOnly) return BlockStatus.IoError;
        request.takeSegments(readable, this.memory);
        return within(request.offset, request.length, rules);
      case BlockRequestType.Flush:
        return rules.flush ? undefined : BlockStatus.Unsupported;
      case BlockRequestType.Discard:
        return rules.discard ? this.readRanges(request, chain, rules) : BlockStatus.Unsupported;
      case BlockRequestType.WriteZeroes:
        return rules.writeZeroes ? this.readRanges(request, chain, rules) : BlockStatus.Unsupported;
      default:
        return BlockStatus.Unsupported;
    }
  }

  /** Nothing is done for a request with one range that is wrong. */
  private readRanges(
    request: BlockRequest,
    chain: DescriptorChain,
    rules: RequestRules,
  ): BlockStatus | undefined {
    const { readable } = chain;
    const count = readable.length / RANGE_BYTES;
    if (!Number.isInteger(count) || count < 1 || count > MAX_RANGES) return BlockStatus.IoError;
    const { range } = this;
    const allowed = request.type === BlockRequestType.WriteZeroes ? FLAG_UNMAP : 0;
    request.unmap = true;
    let wrong: BlockStatus | undefined;
    for (let i = 0; i < count; i++) {
      readable.read(this.rangeBytes);
      const offset = (range.getUint32(4, true) * 2 ** 32 + range.getUint32(0, true)) * SECTOR;
      const sectors = range.getUint32(8, true);
      const flags = range.getUint32(12, true);
      // Unknown flags, and unmap for a discard (5.2.6.2).
      if ((flags & ~allowed) !== 0) return BlockStatus.Unsupported;
      if ((flags & FLAG_UNMAP) === 0) request.unmap = false;
      if (sectors > MAX_RANGE_SECTORS) wrong = BlockStatus.IoError;
      wrong ??= within(offset, sectors * SECTOR, rules);
      request.ranges[2 * i] = offset;
      request.ranges[2 * i + 1] = sectors * SECTOR;
      request.length += sectors * SECTOR;
    }
    request.rangeCount = count;
    return wrong;
  }
}

/** Whole sectors on the disk, or an error. */
function within(offset: number, length: number, rules: RequestRules): BlockStatus | undefined {
  const fits = offset <= rules.capacity && length <= rules.capacity - offset;
  return fits && length % SECTOR === 0 ? undefined : BlockStatus.IoError;
}
