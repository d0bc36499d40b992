/** An I/O engine over fs.*Sync on real files, with memory that has made-up addresses, and faults. */
import { fdatasyncSync, fstatSync, readvSync, writevSync } from 'node:fs';
import { constants } from 'node:os';
import type { HostBytes } from '../../../src/block/host-memory.js';
import { IoDispatcher } from '../../../src/block/io-dispatcher.js';
import { FallocateMode } from '../../../src/block/raw/raw-calls.js';
import type { IoEngine, IoFile, IoSegments } from '../../../src/io/io-engine.js';

type Slices = (offset: number, length: number) => Uint8Array[];

/** What memory is behind an address. */
export class HostSpace {
  private readonly ranges: { start: number; end: number; slices: Slices }[] = [];
  private next = 0x1000_0000_0000;
  live = 0;

  add(start: number, length: number, slices: Slices): void {
    this.ranges.push({ start, end: start + length, slices });
  }

  /** Memory of the process, for backends. */
  readonly allocate = (length: number): HostBytes => {
    const bytes = new Uint8Array(length);
    const address = this.next;
    this.next += Math.ceil(length / 4096) * 4096 + 4096;
    this.add(address, length, (offset, count) => [bytes.subarray(offset, offset + count)]);
    this.live++;
    return { bytes, address, release: () => this.release() };
  };

  private release(): void {
    this.live--;
  }

  slices(segments: IoSegments): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < segments.count; i++) {
      const address = segments.addresses[i]!;
      const length = segments.lengths[i]!;
      const range = this.ranges.find(({ start, end }) => address >= start && address < end);
      if (range === undefined || address + length > range.end) throw new Error('EFAULT');
      pieces.push(...range.slices(address - range.start, length));
    }
    return pieces;
  }
}

export type OperationKind = 'readv' | 'writev' | 'fdatasync' | 'fallocate';

export interface Operation {
  readonly kind: OperationKind;
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
  readonly dataSync: boolean;
}

/** What has been written to a file since it was last put on storage. */
export interface Journal {
  readonly entries: { offset: number; bytes: Uint8Array }[];
  /** Called with what is on storage from now on. */
  sync(entries: readonly { offset: number; bytes: Uint8Array }[]): void;
}

export interface EngineOptions {
  readonly capacity?: number;
  /** A result instead of the operation's own; -errno, or bytes that are less than asked for. */
  readonly fault?: (operation: Operation) => number | undefined;
  /** Which of the pending operations is next; the first unless given. */
  readonly pick?: (count: number) => number;
}

export class TestEngine implements IoEngine {
  readonly kind = 'threads';
  readonly capacity: number;
  readonly operations: Operation[] = [];
  readonly journals = new Map<number, Journal>();
  submits = 0;
  private pending: { operation: Operation; token: number; run: (limit: number) => number }[] = [];

  constructor(
    readonly space: HostSpace,
    private readonly complete: (token: number, result: number) => void,
    readonly options: EngineOptions = {},
  ) {
    this.capacity = options.capacity ?? 256;
  }

  get inFlight(): number {
    return this.pending.length;
  }

  readv({ slot: fd }: IoFile, segments: IoSegments, offset: number, token: number): boolean {
    // The list belongs to the caller until the completion: it is looked at when the I/O happens.
    return this.add('readv', fd, offset, total(segments), token, false, (limit) =>
      readvSync(fd, cut(this.space.slices(segments), limit), offset),
    );
  }

  writev(
    { slot: fd }: IoFile,
    segments: IoSegments,
    offset: number,
    token: number,
    dataSync = false,
  ): boolean {
    return this.add('writev', fd, offset, total(segments), token, dataSync, (limit) => {
      const pieces = cut(this.space.slices(segments), limit);
      const bytes = Buffer.concat(pieces);
      const count = writevSync(fd, pieces, offset);
      const journal = this.journals.get(fd);
      if (journal !== undefined && dataSync) {
        // What was written there before cannot come back after it.
        for (const entry of journal.entries) overwrite(entry, offset, bytes);
        journal.sync([{ offset, bytes }]);
      }
      if (!dataSync) journal?.entries.push({ offset, bytes });
      return count;
    });
  }

  fdatasync({ slot: fd }: IoFile, token: number): boolean {
    return this.add('fdatasync', fd, 0, 0, token, true, () => {
      fdatasyncSync(fd);
      const journal = this.journals.get(fd);
      journal?.sync(journal.entries.splice(0));
      return 0;
    });
  }

  /** Zeroes; holes are the kernel's business. */
  fallocate(
    { slot: fd }: IoFile,
    mode: number,
    offset: number,
    length: number,
    token: number,
  ): boolean {
    const punch = FallocateMode.PunchHole + FallocateMode.KeepSize;
    const zero = FallocateMode.ZeroRange + FallocateMode.KeepSize;
    if (mode !== punch && mode !== zero) throw new Error(`fallocate with mode ${mode}`);
    return this.add('fallocate', fd, offset, length, token, false, () => {
      const bytes = new Uint8Array(Math.max(0, Math.min(length, fstatSync(fd).size - offset)));
      writevSync(fd, [bytes], offset);
      this.journals.get(fd)?.entries.push({ offset, bytes });
      return 0;
    });
  }

  private add(
    kind: OperationKind,
    fd: number,
    offset: number,
    length: number,
    token: number,
    dataSync: boolean,
    run: (limit: number) => number,
  ): boolean {
    if (this.pending.length >= this.capacity) return false;
    const operation = { kind, fd, offset, length, dataSync };
    this.operations.push(operation);
    this.pending.push({ operation, token, run });
    return true;
  }

  submit(): void {
    this.submits++;
  }

  /** Nothing is done before the test says so. */
  submitAndReap(): number {
    this.submits++;
    return 0;
  }

  /** Does what is pending, up to `limit` operations, and says so. */
  reap(limit = this.pending.length): number {
    let count = 0;
    for (; count < limit && this.pending.length > 0; count++) {
      const index = this.options.pick?.(this.pending.length) ?? 0;
      const [{ operation, token, run }] = this.pending.splice(index, 1) as [
        { operation: Operation; token: number; run: (limit: number) => number },
      ];
      this.complete(token, this.perform(operation, run));
    }
    return count;
  }

  private perform(operation: Operation, run: (limit: number) => number): number {
    const fault = this.options.fault?.(operation);
    if (fault !== undefined && fault < 0) return fault;
    try {
      return run(fault ?? operation.length);
    } catch (error) {
      const code = (error as { code?: string }).code ?? 'EFAULT';
      return -((constants.errno as Record<string, number>)[code] ?? 5);
    }
  }

  /** Until nothing is pending, with what follows from completions. */
  drain(): void {
    for (let rounds = 0; this.pending.length > 0; rounds++) {
      if (rounds > 100_000) throw new Error('the engine does not come to an end');
      this.reap();
    }
  }

  register(fd: number): IoFile {
    return { slot: fd };
  }

  unregister(): void {
    // Nothing is kept.
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function overwrite(
  entry: { offset: number; bytes: Uint8Array },
  offset: number,
  bytes: Uint8Array,
): void {
  const from = Math.max(entry.offset, offset);
  const to = Math.min(entry.offset + entry.bytes.length, offset + bytes.length);
  if (to <= from) return;
  entry.bytes.set(bytes.subarray(from - offset, to - offset), from - entry.offset);
}

function total({ count, lengths }: IoSegments): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += lengths[i]!;
  return sum;
}

function cut(pieces: readonly Uint8Array[], limit: number): Uint8Array[] {
  let left = limit;
  const kept = pieces.map((piece) => {
    const part = piece.subarray(0, Math.min(piece.length, left));
    left -= part.length;
    return part;
  });
  return kept.filter((piece) => piece.length > 0);
}

/** An engine with its dispatcher. */
export function makeEngine(
  space = new HostSpace(),
  options: EngineOptions = {},
): { engine: TestEngine; dispatcher: IoDispatcher; space: HostSpace } {
  const dispatcher = new IoDispatcher();
  return { engine: new TestEngine(space, dispatcher.complete, options), dispatcher, space };
}
