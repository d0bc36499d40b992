/** A backend with somebody who makes requests. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BlockBackend } from '../../../src/block/backend.js';
import { HostMemory } from '../../../src/block/host-memory.js';
import { BlockSegments } from '../../../src/block/segments.js';
import { HostSpace } from './test-engine.js';

/** A directory that goes with the tests of a file. */
export function scratch(): { file(name: string, content?: Uint8Array | number): string } {
  let directory = '';
  beforeAll(() => (directory = mkdtempSync(path.join(tmpdir(), 'vexit-block-'))));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return {
    file(name, content) {
      const file = path.join(directory, name);
      if (content === undefined) return file;
      writeFileSync(file, typeof content === 'number' ? '' : content);
      if (typeof content === 'number') truncateSync(file, content);
      return file;
    },
  };
}

/** The end of a request. */
export interface Ended {
  result: number | undefined;
}

export class BackendBench {
  readonly ended = new Map<number, Ended>();
  readonly lines: string[] = [];
  retries = 0;
  capacity: number | undefined;
  private next = 0;

  constructor(
    readonly backend: BlockBackend,
    readonly space: HostSpace,
    /** Lets what has been asked for happen. */
    private readonly run: () => void = () => undefined,
  ) {
    backend.attach({
      complete: (token, result) => {
        const request = this.ended.get(token);
        if (request === undefined) throw new Error(`completion of ${token}, which is not known`);
        if (request.result !== undefined) throw new Error(`request ${token} has ended twice`);
        request.result = result;
      },
      retry: () => this.retries++,
      resized: (capacity) => (this.capacity = capacity),
      warn: (_, line) => this.lines.push(line),
    });
  }

  /** Memory in two pieces. */
  segments(bytes: Uint8Array): { memory: HostMemory; segments: BlockSegments } {
    const memory = new HostMemory(bytes.length + 64, this.space.allocate);
    const segments = new BlockSegments();
    const half = Math.floor(bytes.length / 2);
    segments.append(memory, 0, half);
    segments.append(memory, half + 64, bytes.length - half);
    segments.copyIn(0, bytes, 0, bytes.length);
    return { memory, segments };
  }

  /** Makes a request that has to be accepted. */
  start(request: (token: number) => boolean): Ended {
    const token = this.next++;
    const ended: Ended = { result: undefined };
    this.ended.set(token, ended);
    if (request(token)) return ended;
    // Refused: after something has ended there has to be room.
    this.run();
    if (!request(token)) throw new Error('the request was refused');
    return ended;
  }

  private finish(request: (token: number) => boolean): number {
    const ended = this.start(request);
    this.backend.submit();
    this.run();
    if (ended.result === undefined) throw new Error('the request has not ended');
    return ended.result;
  }

  write(offset: number, bytes: Uint8Array, stable = false): number {
    const { segments } = this.segments(bytes);
    return this.finish((token) => this.backend.write(segments, offset, token, stable));
  }

  /** The bytes, or the error. */
  read(offset: number, length: number): Buffer | number {
    const { segments } = this.segments(new Uint8Array(length).fill(0xee));
    const result = this.finish((token) => this.backend.read(segments, offset, token));
    if (result < 0) return result;
    const bytes = Buffer.alloc(length);
    segments.copyOut(0, bytes, 0, length);
    return bytes;
  }

  flush(): number {
    return this.finish((token) => this.backend.flush(token));
  }

  discard(offset: number, length: number): number {
    return this.finish((token) => this.backend.discard(offset, length, token));
  }

  writeZeroes(offset: number, length: number, unmap = false, stable = false): number {
    return this.finish((token) => this.backend.writeZeroes(offset, length, token, unmap, stable));
  }
}

/** Equal bytes; Jest's own comparison takes seconds for a megabyte. */
export function expectBytes(actual: Uint8Array | number, expected: Uint8Array): void {
  if (typeof actual !== 'number' && Buffer.compare(actual, expected) === 0) return;
  if (typeof actual === 'number') throw new Error(`error ${actual} instead of bytes`);
  const at = expected.findIndex((byte, i) => actual[i] !== byte);
  throw new Error(`byte ${at} is ${actual[at]}, not ${expected[at]}`);
}

/** Bytes that say where they are from. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (seed * 37 + i + Math.floor(i / 256)) % 255;
  return bytes;
}
