/** An engine with memory and files, and promises instead of completions. */
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  createIoEngine,
  type IoEngine,
  type IoEngineKind,
  type IoEngineOptions,
  type IoFile,
  type IoSegments,
} from '../../../src/io/index.js';
import { constant, native } from '../../../src/kvm/native.js';

/** An engine as it is on some host. */
export interface Variant {
  readonly name: string;
  readonly kind: IoEngineKind;
  /** IORING_SETUP_* that this kernel does not know. */
  readonly unknownFlags: number;
}

export const VARIANTS: Variant[] = [
  { name: 'io_uring', kind: 'io_uring', unknownFlags: 0 },
  {
    name: 'io_uring of Linux 5.19',
    kind: 'io_uring',
    unknownFlags: constant('IORING_SETUP_DEFER_TASKRUN') | constant('IORING_SETUP_SINGLE_ISSUER'),
  },
  { name: 'io_uring of Linux 5.10', kind: 'io_uring', unknownFlags: ~0 },
  { name: 'threads', kind: 'threads', unknownFlags: 0 },
];

/** Creates an engine while io_uring_setup refuses some flags. */
function createOnVariant(variant: Variant, options: IoEngineOptions): IoEngine {
  const addon = native();
  const open = addon.ringOpenUring;
  const spy = jest.spyOn(addon, 'ringOpenUring').mockImplementation((entries, flags, ...rest) => {
    if ((flags & variant.unknownFlags) === 0) return open(entries, flags, ...rest);
    throw Object.assign(new Error('io_uring_setup: invalid argument'), { code: 'EINVAL' });
  });
  try {
    return createIoEngine({ ...options, kind: variant.kind });
  } finally {
    spy.mockRestore();
  }
}

/** Host memory with a known address; `bytes` are its first GiB. */
export class Memory {
  readonly id: number;
  readonly fd: number;
  readonly address: number;
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(size: number) {
    const { id, fd, address } = native().memoryCreate('vexit-test', size);
    this.id = id;
    this.fd = fd;
    this.address = Number(address);
    this.bytes = new Uint8Array(native().memoryWrap(id, 0, Math.min(size, 2 ** 30)));
  }

  close(): void {
    native().memoryUnwrap(this.bytes.buffer);
    native().memoryRelease(this.id);
  }
}

/** Segments from pairs of address and length. */
export function segments(...pieces: [address: number, length: number][]): IoSegments {
  return {
    count: pieces.length,
    addresses: Float64Array.from(pieces, ([address]) => address),
    lengths: Uint32Array.from(pieces, ([, length]) => length),
  };
}

/** Queues one request; false as the engine's methods. */
export type Request = (engine: IoEngine, token: number) => boolean;

export class EngineBench {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'vexit-io-'));
  readonly memory = new Memory(4 * 2 ** 20);
  readonly engine: IoEngine;
  /** Every completion, in its order. */
  readonly completions: { token: number; result: number }[] = [];
  batches = 0;
  private readonly waiting = new Map<number, (result: number) => void>();
  private readonly fds: number[] = [];
  private nextToken = 1_000_000;

  constructor(variant: Variant, options: Partial<IoEngineOptions> = {}) {
    this.engine = createOnVariant(variant, {
      memories: [this.memory.id],
      onBatch: () => {
        this.batches++;
      },
      ...options,
      onCompletion: (token, result) => {
        this.completions.push({ token, result });
        this.waiting.get(token)?.(result);
        this.waiting.delete(token);
        options.onCompletion?.(token, result);
      },
    });
  }

  open(name: string, flags: string | number = 'w+'): { fd: number; file: IoFile } {
    const fd = openSync(path.join(this.directory, name), flags);
    this.fds.push(fd);
    return { fd, file: this.engine.register(fd) };
  }

  /** The result of one request, submitted alone. */
  async run(request: Request): Promise<number> {
    const token = this.nextToken++;
    const result = new Promise<number>((resolve) => this.waiting.set(token, resolve));
    if (!request(this.engine, token)) throw new Error('the engine has no room');
    this.engine.submit();
    return result;
  }

  size(fd: number): number {
    return fstatSync(fd).size;
  }

  async close(): Promise<void> {
    await this.engine.close();
    for (const fd of this.fds) closeSync(fd);
    rmSync(this.directory, { recursive: true });
    this.memory.close();
  }
}
