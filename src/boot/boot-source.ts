/**
 * Boot inputs as something to read at any offset. Files are opened so that nothing but a regular
 * file is ever read: a FIFO would block, a device would not end. A file is read straight into
 * guest memory, without a copy through the JavaScript heap.
 */
import * as fs from 'node:fs';
import type { GuestAddress, GuestMemory } from '../memory/guest-memory.js';
import { VexitError, errorMessage, systemCode } from '../util/errors.js';
import type { BootImage } from './options.js';

type SourceCode = 'ERR_KERNEL' | 'ERR_INITRD';

/** A boot input, opened. */
export interface BootSource {
  readonly name: string;
  /** Error code for everything that is wrong with this input. */
  readonly code: SourceCode;
  /** Bytes. */
  readonly size: number;
  /**
   * Fills `target` from `offset`.
   * @throws VexitError when the input ends before the target is full, or cannot be read
   */
  readInto(offset: number, target: Uint8Array): void;
  /** A range: a view for bytes, a copy for files. Same errors as {@link readInto}. */
  bytes(offset: number, length: number): Uint8Array;
  /** @throws VexitError when the file has changed since it was opened */
  checkUnchanged(): void;
  close(): void;
}

class BytesSource implements BootSource {
  constructor(
    readonly name: string,
    private readonly data: Uint8Array,
    readonly code: SourceCode,
  ) {}
  get size(): number {
    return this.data.length;
  }
  readInto(offset: number, target: Uint8Array): void {
    target.set(this.bytes(offset, target.length));
  }
  bytes(offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && offset + length <= this.data.length)) throw cutShort(this);
    return this.data.subarray(offset, offset + length);
  }
  checkUnchanged(): void {
    // Bytes in memory belong to the caller, who waits for us.
  }
  close(): void {
    // Nothing is held.
  }
}

class FileSource implements BootSource {
  readonly size: number;
  constructor(
    readonly name: string,
    private readonly fd: number,
    private readonly stat: fs.BigIntStats,
    readonly code: SourceCode,
  ) {
    this.size = Number(stat.size);
  }
  readInto(offset: number, target: Uint8Array): void {
    if (!(offset >= 0 && offset + target.length <= this.size)) throw cutShort(this);
    for (let done = 0; done < target.length;) {
      let count: number;
      try {
        count = fs.readSync(this.fd, target, done, target.length - done, offset + done);
      } catch (error) {
        throw new VexitError(
          this.code,
          `${this.name} cannot be read: ${errorMessage(error)}`,
          undefined,
          { cause: error },
        );
      }
      if (count === 0) throw cutShort(this);
      done += count;
    }
  }
  bytes(offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && offset + length <= this.size)) throw cutShort(this);
    const copy = new Uint8Array(length);
    this.readInto(offset, copy);
    return copy;
  }
  checkUnchanged(): void {
    const now = fs.fstatSync(this.fd, { bigint: true });
    if (now.size !== this.stat.size || now.mtimeNs !== this.stat.mtimeNs) {
      throw new VexitError(
        this.code,
        `${this.name} changed while it was read`,
        'wait until the program that writes it has finished',
      );
    }
  }
  close(): void {
    fs.closeSync(this.fd);
  }
}

function cutShort(source: BootSource): VexitError {
  return new VexitError(
    source.code,
    `${source.name} is cut short`,
    'copy or build the file again: a part of it is missing',
  );
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: 'may not be read',
  EPERM: 'may not be read',
  ENOTDIR: 'does not exist (a part of the path is not a directory)',
  ELOOP: 'is a loop of symbolic links',
  ENAMETOOLONG: 'is too long a path',
  ENXIO: 'is not a regular file',
};

function openFile(path: string, code: SourceCode): BootSource {
  if (path === '' || path.includes('\0')) {
    throw new VexitError(code, 'the path of a boot file is empty or has a NUL in it');
  }
  let fd: number;
  try {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY);
  } catch (error) {
    const reason = REASONS[systemCode(error) ?? ''] ?? `cannot be opened: ${errorMessage(error)}`;
    throw new VexitError(code, `${path} ${reason}`, 'check the path and its permissions', {
      cause: error,
    });
  }
  try {
    const stat = fs.fstatSync(fd, { bigint: true });
    if (!stat.isFile()) {
      const what = stat.isDirectory() ? 'a directory' : 'not a regular file';
      throw new VexitError(code, `${path} is ${what}`, 'give the path of a regular file');
    }
    if (stat.size === 0n) {
      throw new VexitError(code, `${path} is empty`, 'give a file with something in it');
    }
    return new FileSource(path, fd, stat, code);
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/**
 * Opens a boot input.
 * @throws VexitError with `code` when it is missing, unreadable, empty or no regular file
 */
export function openSource(image: BootImage, code: SourceCode): BootSource {
  if (typeof image === 'string') return openFile(image, code);
  if (image.bytes.length === 0) throw new VexitError(code, `${image.name} is empty`);
  return new BytesSource(image.name, image.bytes, code);
}

/** Reads a range of the source into guest memory, in place. */
export function readToGuest(
  source: BootSource,
  offset: number,
  memory: GuestMemory,
  address: GuestAddress,
  length: number,
): void {
  let at = offset;
  for (const piece of memory.slices(address, length)) {
    source.readInto(at, piece);
    at += piece.length;
  }
}

/** Zeroes guest memory; a long range is given back to the host, which costs no page. */
export function zeroGuest(memory: GuestMemory, address: GuestAddress, length: number): void {
  if (length >= 0x10000) memory.discard(address, length);
  else if (length > 0) memory.fill(address, length);
}
