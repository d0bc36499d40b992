/** Random requests, completions, resets and sizes: nothing leaves the disk, and nothing is lost. */
import {
  BlockFeature as F,
  BlockRequestType as T,
  BlockStatus as S,
} from '../../../../src/devices/virtio/block/block-layout.js';
import { MmioRegister as R } from '../../../../src/devices/virtio/mmio-registers.js';
import { RAM_SIZE } from '../fake-ram.js';
import { fuzz, type Random } from '../fuzz.js';
import { ALL_STEPS } from '../mmio-bench.js';
import { ALL, CAPACITY, DiskBench, HeldBackend, ranges } from './disk-bench.js';

const STEPS = 200;
const H = 0x60000;

function randomSector(random: Random): bigint {
  if (random.chance(70)) return BigInt(random.below(CAPACITY / 512 + 4));
  return (BigInt(random.word()) << 32n) | BigInt(random.word());
}

/** A request that mostly makes sense. */
function sane(made: DiskBench, random: Random): void {
  const type = random.chance(90)
    ? random.pick([T.In, T.Out, T.Flush, T.GetId, T.Discard, T.WriteZeroes])
    : random.word();
  const length = random.chance(80) ? 512 * random.below(9) : random.below(0x1000);
  let out = new Uint8Array(0);
  if (type === T.Out) out = new Uint8Array(length).fill(random.below(256));
  if (type === T.Discard || type === T.WriteZeroes) {
    out = new Uint8Array(
      ranges(
        ...Array.from({ length: random.below(19) }, () => ({
          sector: randomSector(random),
          count: random.chance(80) ? random.below(64) : random.word(),
          flags: random.chance(90) ? random.below(2) : random.word(),
        })),
      ),
    );
  }
  const queue = random.below(made.rings.length);
  made.send(type, randomSector(random), {
    out,
    room: type === T.In ? length : random.below(40),
    queue,
  });
}

/** Descriptors of any kind, with a header that is somewhere. */
function wild(made: DiskBench, random: Random): void {
  made.header(H, random.chance(80) ? random.below(15) : random.word(), randomSector(random));
  const pieces = Array.from({ length: 1 + random.below(5) }, (_, i) => ({
    address: random.chance(60) ? H + random.below(64) : random.address(RAM_SIZE),
    length: random.chance(80) ? random.below(0x900) : random.word(),
    writable: random.chance(90) ? i > 1 : random.chance(50),
  }));
  const ring = random.pick(made.rings);
  ring.offer(random.chance(70) ? ring.chain(pieces) : ring.indirect(0x78000, pieces));
  made.notify(made.rings.indexOf(ring));
}

function complete(made: DiskBench, random: Random): void {
  const { backend } = made;
  for (let i = random.below(5); i > 0 && backend.waiting.length > 0; i--) {
    const error = random.chance(85) ? undefined : random.pick([-5, -28, NaN]);
    backend.end(random.below(backend.waiting.length), error);
    if (random.chance(2)) backend.real.complete(random.below(200), 0);
  }
  if (random.chance(80)) made.device.deliver();
}

/** What the backend has been asked for lies on the disk, in whole sectors. */
function checkCalls(made: DiskBench, capacity: number): number {
  const { calls } = made.backend;
  for (const { offset, length } of calls) {
    if (offset % 512 !== 0 || length % 512 !== 0) throw new Error(`${offset} +${length}`);
    if (!(offset >= 0 && offset + length <= capacity)) throw new Error(`${offset} +${length}`);
  }
  return calls.splice(0).length;
}

/** The backend has room, and says so, as it has to. */
function roomAgain(made: DiskBench): void {
  made.backend.limit = Infinity;
  made.backend.real.retry();
  made.device.deliver();
}

function step(made: DiskBench, random: Random): void {
  const action = random.below(100);
  if (action < 60) sane(made, random);
  else if (action < 64) wild(made, random);
  else if (action < 86) complete(made, random);
  else if (action < 88) made.backend.limit = random.pick([0, 1, 3, Infinity]);
  else if (action < 90) made.set(0x120, random.below(3), 1);
  else if (action < 92) made.backend.real.retry();
  else if (action < 93) void made.device.hold();
  else if (action < 98) made.device.release();
  else if (action < 99) made.set(R.Status, 0);
  else made.start(random.chance(50) ? ALL : [...ALL, F.Multiqueue]);
}

test('E1 to E11, fuzz: any requests in any order', () => {
  let requests = 0;
  const rounds = fuzz((random) => {
    const made = new DiskBench(new HeldBackend(CAPACITY), {
      queues: random.pick([1, 2]),
      depth: random.pick([1, 4, 128]),
      readOnly: random.chance(10),
      ...(random.chance(20) ? { operationLimit: { perSecond: 1e6, burst: 100 } } : {}),
    });
    const features = ALL.filter((bit) => bit > 23 || made.device.features.includes(bit));
    made.start(features);
    for (let i = 0; i < STEPS; i++) {
      // A broken ring needs a reset before anything else happens.
      if (made.status !== ALL_STEPS && random.chance(50)) made.start(features);
      step(made, random);
      requests += checkCalls(made, CAPACITY);
      if (made.backend.waiting.length > 128) throw new Error('more in flight than the depth');
    }
    // After anything: everything in flight comes back, and a reset makes the disk usable again.
    roomAgain(made);
    made.device.release();
    made.finish();
    expect(made.device.drained).toBe(true);
    expect(made.device.statistics.inFlight).toBe(0);
    expect(made.start(features).status).toBe(ALL_STEPS);
    const sent = made.send(T.In, 0, { room: 512 });
    made.finish();
    expect(made.statusOf(sent)).toBe(S.Ok);
    expect(made.used()).toEqual([513]);
    expect(made.lines.length).toBeLessThan(80);
  });
  expect(rounds).toBeGreaterThan(1);
  expect(requests).toBeGreaterThan(rounds);
});

test('C18, fuzz: a request that another processor rewrites goes nowhere it must not', () => {
  const rounds = fuzz((random) => {
    const made = new DiskBench(new HeldBackend(CAPACITY));
    made.start(ALL);
    for (let i = 0; i < 20; i++) {
      made.backend.limit = random.below(3);
      sane(made, random);
      // The request waits in the ring, and is another one when its turn comes.
      for (let j = 0; j < 16; j++) {
        made.ram.set(0x40000 + random.below(0x4000) * 4, 4, random.word());
        made.ram.set(0x10000 + random.below(64) * 4, 4, random.word());
      }
      complete(made, random);
      checkCalls(made, CAPACITY);
    }
    roomAgain(made);
    made.finish();
    expect(made.device.drained).toBe(true);
    expect(made.start(ALL).status).toBe(ALL_STEPS);
  });
  expect(rounds).toBeGreaterThan(1);
});
