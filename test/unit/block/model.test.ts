/**
 * Random requests against a model, on every backend, with I/O that is short, late and out of order;
 * and overlays that are cut off from power at random moments.
 *
 * A sector's content is made from a version number, so that what is found says which write it is of.
 */
import { closeSync, copyFileSync, openSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import type { BlockBackend } from '../../../src/block/backend.js';
import { MemoryBackend } from '../../../src/block/memory-backend.js';
import { createBackend } from '../../../src/block/open-disk.js';
import {
  createOverlay,
  describeBase,
  openOverlay,
} from '../../../src/block/overlay/open-overlay.js';
import { OverlayBackend } from '../../../src/block/overlay/overlay-backend.js';
import { overlayFileSize } from '../../../src/block/overlay/overlay-format.js';
import { closeRaw, openRaw, type OpenRaw } from '../../../src/block/raw/open-raw.js';
import { RawBackend } from '../../../src/block/raw/raw-backend.js';
import { Random, fuzz } from '../virtio/fuzz.js';
import { BackendBench, pattern, scratch, type Ended } from './backend-bench.js';
import { HostSpace, makeEngine, type Operation } from './test-engine.js';

const SECTORS = 96;
const SIZE = SECTORS * 512;
const files = scratch();
let counter = 0;

/** Version 0 is the base; -1 is zeroes. */
function sector(version: number, index: number): Buffer {
  return version < 0 ? Buffer.alloc(512) : pattern(512, version * 131 + index);
}

function run(version: number, first: number, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => sector(version, first + i)));
}

interface Pending {
  readonly ended: Ended;
  readonly check: () => void;
}

interface Change {
  readonly first: number;
  readonly count: number;
  readonly version: number;
  readonly stable: boolean;
}

/** What each sector holds, and what it may hold after a crash. */
class Model {
  now = Array<number>(SECTORS).fill(0);
  allowed = Array.from({ length: SECTORS }, () => [0]);
  private version = 0;
  private pending: Pending[] = [];
  private changes: Change[] = [];
  private flushed = false;

  constructor(
    private readonly bench: BackendBench,
    private readonly random: Random,
  ) {}

  /** Some requests at once, no sector twice. */
  start(): void {
    const { random } = this;
    const touched = new Set<number>();
    this.pending = [];
    this.changes = [];
    this.flushed = random.chance(25);
    if (this.flushed) {
      const ended = this.bench.start((token) => this.bench.backend.flush(token));
      this.pending.push({ ended, check: () => undefined });
    }
    for (let i = random.below(6) + 1; i > 0; i--) {
      const first = random.below(SECTORS);
      const count = 1 + random.below(Math.min(24, SECTORS - first));
      const list = Array.from({ length: count }, (_, at) => first + at);
      if (list.some((at) => touched.has(at))) continue;
      list.forEach((at) => touched.add(at));
      if (random.chance(40)) this.read(first, count);
      else this.change(first, count);
    }
    this.bench.backend.submit();
  }

  private change(first: number, count: number): void {
    const { bench, random } = this;
    const { backend } = bench;
    const stable = random.chance(15);
    const unmap = random.chance(50);
    const version = random.chance(70) ? ++this.version : -1;
    this.changes.push({ first, count, version, stable });
    for (let at = first; at < first + count; at++) this.allowed[at]!.push(version);
    const { segments } = bench.segments(run(version, first, count));
    const ended = bench.start((token) =>
      version < 0
        ? backend.writeZeroes(first * 512, count * 512, token, unmap, stable)
        : backend.write(segments, first * 512, token, stable),
    );
    this.pending.push({ ended, check: () => undefined });
  }

  read(first: number, count: number): void {
    const { backend } = this.bench;
    const { segments } = this.bench.segments(new Uint8Array(count * 512));
    const ended = this.bench.start((token) => backend.read(segments, first * 512, token));
    const check = (): void => {
      const bytes = Buffer.alloc(count * 512);
      segments.copyOut(0, bytes, 0, bytes.length);
      for (let i = 0; i < count; i++) {
        const expected = sector(this.now[first + i]!, first + i);
        if (bytes.subarray(512 * i, 512 * (i + 1)).equals(expected)) continue;
        throw new Error(`sector ${first + i} is not of version ${this.now[first + i]}`);
      }
    };
    this.pending.push({ ended, check });
  }

  /** All requests have ended: what they have read, and what is certain from now on. */
  end(): void {
    for (const { ended, check } of this.pending) {
      if (ended.result !== 0) throw new Error(`a request ended with ${ended.result}`);
      check();
    }
    this.pending = [];
    const before = this.now;
    this.now = [...before];
    // A flush is for what had ended before it began.
    if (this.flushed) this.allowed = before.map((version) => [version]);
    for (const { first, count, version, stable } of this.changes) {
      for (let at = first; at < first + count; at++) {
        this.now[at] = version;
        if (stable) this.allowed[at] = [version];
        else if (this.flushed) this.allowed[at]!.push(version);
      }
    }
    this.changes = [];
    this.flushed = false;
  }

  /** After a crash every sector holds something that it may hold. */
  checkCrashed(disk: Uint8Array): void {
    for (let at = 0; at < SECTORS; at++) {
      const found = Buffer.from(disk.subarray(at * 512, at * 512 + 512));
      if (this.allowed[at]!.some((version) => found.equals(sector(version, at)))) continue;
      throw new Error(`sector ${at} is of none of the versions ${this.allowed[at]!.join()}`);
    }
  }
}

/** Short transfers and interruptions. */
function faults(random: Random) {
  return ({ kind, length }: Operation): number | undefined => {
    if (random.chance(5)) return -11;
    const transfer = kind === 'readv' || kind === 'writev';
    return transfer && random.chance(20)
      ? Math.min(length, 512 * (1 + random.below(4)))
      : undefined;
  };
}

function makeFile(): string {
  return files.file(`model${counter++}`, run(0, 0, SECTORS));
}

/** A backend, and how its requests are let happen. */
interface Made {
  readonly bench: BackendBench;
  readonly drain: () => void;
  readonly close: () => void;
}

function withEngine(
  random: Random,
  make: (engine: ReturnType<typeof makeEngine>, open: (raw: OpenRaw) => OpenRaw) => BlockBackend,
): Made {
  const made = makeEngine(new HostSpace(), {
    capacity: random.pick([1, 2, 64]),
    fault: faults(random),
    pick: (count) => random.below(count),
  });
  const opened: OpenRaw[] = [];
  const backend = make(made, (raw) => {
    opened.push(raw);
    return raw;
  });
  const bench = new BackendBench(backend, made.space, () => made.engine.drain());
  return {
    bench,
    drain: () => made.engine.drain(),
    close: () => {
      for (const raw of opened) closeRaw(raw);
    },
  };
}

const BACKENDS: Readonly<Record<string, (random: Random) => Made>> = {
  memory: () => {
    const backend = new MemoryBackend(SIZE);
    const bench = new BackendBench(backend, new HostSpace());
    bench.write(0, run(0, 0, SECTORS));
    return { bench, drain: () => undefined, close: () => undefined };
  },
  raw: (random) =>
    withEngine(random, ({ engine, dispatcher, space }, open) => {
      const raw = open(openRaw(makeFile()));
      return new RawBackend({ ...raw }, engine, dispatcher, space.allocate);
    }),
  overlay: (random) =>
    withEngine(random, ({ engine, dispatcher, space }, open) => {
      const raw = open(openRaw(makeFile(), { readOnly: true }));
      const path = files.file(`model${counter++}`);
      createOverlay(path, describeBase(raw), { blockSize: random.pick([4096, 8192]) });
      const overlay = openOverlay(path, describeBase(raw));
      open(overlay.store);
      unlinkSync(path);
      const disk = { raw, overlay, capacity: SIZE, blockSize: 512, physicalBlockSize: 4096 };
      return createBackend({ ...disk, concurrent: false }, engine, dispatcher, space.allocate);
    }),
  'overlay in memory': (random) =>
    withEngine(random, ({ engine, dispatcher, space }, open) => {
      const layout = {
        blockSize: 4096,
        capacity: SIZE,
        baseSize: SIZE,
        baseLimit: SIZE,
        identity: new Uint8Array(32),
      };
      const raw = open(openRaw(makeFile(), { readOnly: true }));
      return new OverlayBackend({
        base: new RawBackend(raw, engine, dispatcher, space.allocate),
        store: new MemoryBackend(overlayFileSize(layout)),
        layout,
        loadBitmap: () => undefined,
        allocate: space.allocate,
      });
    }),
};

test.each(Object.entries(BACKENDS))('%s does what the model does', (_, make) => {
  const rounds = fuzz((random) => {
    const { bench, drain, close } = make(random);
    try {
      const model = new Model(bench, random);
      for (let i = 0; i < 30; i++) {
        model.start();
        drain();
        model.end();
      }
      model.read(0, SECTORS);
      drain();
      model.end();
    } finally {
      close();
    }
  });
  expect(rounds).toBeGreaterThan(1);
});

/** An overlay whose file loses what is not on storage, by sectors and in any order, at a crash. */
function crashable(random: Random) {
  const base = openRaw(makeFile(), { readOnly: true });
  const path = files.file(`crash${counter++}`);
  const durablePath = `${path}.durable`;
  const crashedPath = `${path}.crashed`;
  createOverlay(path, describeBase(base));
  copyFileSync(path, durablePath);
  const durable = openSync(durablePath, 'r+');
  const open = (file: string) => {
    const overlay = openOverlay(file, describeBase(base));
    const made = makeEngine(new HostSpace(), {
      fault: faults(random),
      pick: (count) => random.below(count),
    });
    const disk = { raw: base, overlay, capacity: SIZE, blockSize: 512, physicalBlockSize: 4096 };
    const backend = createBackend(
      { ...disk, concurrent: false },
      made.engine,
      made.dispatcher,
      made.space.allocate,
    );
    const bench = new BackendBench(backend, made.space, () => made.engine.drain());
    return { bench, engine: made.engine, store: overlay.store };
  };
  const { bench, engine, store } = open(path);
  const entries: { offset: number; bytes: Uint8Array }[] = [];
  engine.journals.set(store.fd, {
    entries,
    sync: (written) => {
      for (const { offset, bytes } of written) writeSync(durable, bytes, 0, bytes.length, offset);
    },
  });

  /** What a machine finds that lost its power now. */
  function crash(): Buffer {
    copyFileSync(durablePath, crashedPath);
    const crashed = openSync(crashedPath, 'r+');
    const share = random.pick([0, 10, 50, 90, 100]);
    for (const { offset, bytes } of entries) {
      for (let at = 0; at < bytes.length; at += 512) {
        const length = Math.min(512, bytes.length - at);
        if (random.chance(share)) writeSync(crashed, bytes, at, length, offset + at);
      }
    }
    closeSync(crashed);
    const found = open(crashedPath);
    const bytes = found.bench.read(0, SIZE);
    closeRaw(found.store);
    if (typeof bytes === 'number') throw new Error(`error ${bytes} after a crash`);
    return bytes;
  }

  function close(): void {
    closeRaw(base);
    closeRaw(store);
    closeSync(durable);
    for (const file of [path, durablePath, crashedPath]) rmSync(file, { force: true });
  }
  return { bench, engine, crash, close };
}

test('B-7: an overlay keeps what was flushed or stable, whenever the power goes', () => {
  const rounds = fuzz((random) => {
    const { bench, engine, crash, close } = crashable(random);
    try {
      const model = new Model(bench, random);
      for (let i = 0; i < 20; i++) {
        model.start();
        if (random.chance(30)) {
          engine.reap(random.below(20));
          model.checkCrashed(crash());
        }
        engine.drain();
        model.end();
        if (random.chance(10)) model.checkCrashed(crash());
      }
    } finally {
      close();
    }
  });
  expect(rounds).toBeGreaterThan(0);
});
