/**
 * The console log of a VM: the bytes as the guest wrote them, bounded, and an index that says when.
 * `console.log` is the newest, `console.log.1` what was before it.
 */
import fs from 'node:fs';
import { systemCode } from '../util/errors.js';
import { Waker } from './event-log.js';
import type { VmDirectory } from './vm-directory.js';

const MAX_BYTES = 8 * 2 ** 20;
/** Times are noted so far apart at least: the index stays small. */
const INDEX_MS = 100;
const FOLLOW_POLL_MS = 300;

/** Writes the log; one for each VM's process. */
export class ConsoleLog {
  private fd = -1;
  private index = -1;
  private size = 0;
  private indexed = 0;
  /** Bytes that could not be kept because the disk is full. */
  lost = 0;

  /** @throws Error of the system when it cannot be opened */
  constructor(
    private readonly directory: VmDirectory,
    private readonly maxBytes = MAX_BYTES,
  ) {
    this.open();
  }

  private open(): void {
    this.fd = fs.openSync(this.directory.file('console.log'), 'a', 0o600);
    this.index = fs.openSync(this.directory.file('console.index'), 'a', 0o600);
    this.size = fs.fstatSync(this.fd).size;
    this.indexed = 0;
  }

  /** Keeps what the guest wrote. A full disk loses it, and stops nobody. */
  append(bytes: Uint8Array): void {
    try {
      if (this.size >= this.maxBytes) this.rotate();
      const now = Date.now();
      if (now - this.indexed >= INDEX_MS) {
        fs.writeSync(this.index, `${this.size} ${now}\n`);
        this.indexed = now;
      }
      const written = fs.writeSync(this.fd, bytes);
      this.size += written;
      this.lost += bytes.length - written;
    } catch {
      this.lost += bytes.length;
    }
  }

  private rotate(): void {
    for (const name of ['console.index', 'console.log']) {
      fs.renameSync(this.directory.file(name), this.directory.file(`${name}.1`));
    }
    this.close();
    this.open();
  }

  close(): void {
    fs.closeSync(this.fd);
    fs.closeSync(this.index);
  }
}

/** What is wanted of a log. */
export interface LogOptions {
  /** Only what was written from this time on; milliseconds since 1970. */
  readonly since?: number;
  /** Only so many lines at the end. */
  readonly tail?: number;
  /** Goes on with what is written until the VM has ended. */
  readonly follow?: boolean;
}

function readFile(file: string): Buffer {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

/** Where the bytes begin that were written at this time or later. */
function offsetSince(index: string, since: number, length: number): number {
  for (const line of index.split('\n')) {
    const [offset, time] = line.split(' ').map(Number);
    if (time !== undefined && time >= since) return Math.min(offset!, length);
  }
  return length;
}

/** Where the last lines begin. */
function offsetOfTail(bytes: Buffer, lines: number): number {
  if (lines === 0) return bytes.length;
  let at = bytes.at(-1) === 0x0a ? bytes.length - 1 : bytes.length;
  for (let left = lines; left > 0; left--) {
    if (at <= 0) return 0;
    at = bytes.lastIndexOf(0x0a, at - 1);
  }
  return at + 1;
}

/** The parts of the log, and where reading goes on. */
function kept(
  directory: VmDirectory,
  since: number | undefined,
): { bytes: Buffer; read: Follower } {
  const file = directory.file('console.log');
  const read = new Follower(directory, idOf(file));
  const parts = [readFile(`${file}.1`), read.added()].map((bytes, i) => {
    if (since === undefined) return bytes;
    const index = readFile(directory.file(i === 0 ? 'console.index.1' : 'console.index'));
    return bytes.subarray(offsetSince(index.toString('latin1'), since, bytes.length));
  });
  return { bytes: Buffer.concat(parts), read };
}

function idOf(file: string): number | undefined {
  try {
    return fs.statSync(file).ino;
  } catch {
    return undefined;
  }
}

/** What has been added to the log, from the begin of the file with this inode on. */
class Follower {
  private position = 0;

  constructor(
    private readonly directory: VmDirectory,
    private inode: number | undefined,
  ) {}

  added(): Buffer {
    const current = this.directory.file('console.log');
    const inode = idOf(current);
    if (inode === undefined) return Buffer.alloc(0);
    const parts: Buffer[] = [];
    if (this.inode !== undefined && inode !== this.inode) {
      const before = `${current}.1`;
      if (idOf(before) === this.inode) parts.push(this.from(before));
      this.position = 0;
    }
    this.inode = inode;
    const rest = this.from(current);
    this.position += rest.length;
    return Buffer.concat([...parts, rest]);
  }

  private from(file: string): Buffer {
    try {
      const fd = fs.openSync(file, 'r');
      try {
        const size = Math.max(fs.fstatSync(fd).size - this.position, 0);
        const bytes = Buffer.alloc(size);
        return bytes.subarray(0, fs.readSync(fd, bytes, 0, size, this.position));
      } finally {
        fs.closeSync(fd);
      }
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return Buffer.alloc(0);
      throw error;
    }
  }
}

/**
 * The log of a VM, as one or more pieces.
 * @param signal ends following
 */
export async function* readLog(
  directory: VmDirectory,
  { since, tail, follow = false }: LogOptions,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const waker = follow ? new Waker(directory.path, signal) : undefined;
  try {
    const { bytes, read } = kept(directory, since);
    yield tail === undefined ? bytes : bytes.subarray(offsetOfTail(bytes, tail));
    while (waker !== undefined && signal?.aborted !== true) {
      // In this order: what was written before the end is still read.
      const alive = directory.isAlive();
      const added = read.added();
      if (added.length > 0) yield added;
      else if (!alive) return;
      else await waker.next(FOLLOW_POLL_MS);
    }
  } finally {
    waker?.close();
  }
}
