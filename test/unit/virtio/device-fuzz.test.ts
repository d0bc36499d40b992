/** Random register accesses and random memory against whole devices behind the MMIO transport. */
import { BalloonDevice } from '../../../src/devices/virtio/balloon/balloon.js';
import { ConsoleDevice } from '../../../src/devices/virtio/console/console.js';
import { openConsolePorts } from '../../../src/devices/virtio/console/console-host.js';
import type { VirtioDevice } from '../../../src/devices/virtio/device.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { PMEM_ALIGNMENT, PmemDevice } from '../../../src/devices/virtio/pmem/pmem.js';
import { RngDevice } from '../../../src/devices/virtio/rng/rng.js';
import { RAM_SIZE, FakeRam } from './fake-ram.js';
import { fuzz, type Random } from './fuzz.js';
import { ALL_STEPS, MmioBench, RING_BITS } from './mmio-bench.js';
import { EchoDevice } from './test-device.js';

const REGISTERS = Object.values(R).filter((value) => typeof value === 'number');
const STEPS = 60;

/** Never resolves anything later: a round is over when it returns. */
const OPTIONS = { processLater: () => undefined };

function randomAccess<D extends VirtioDevice>(bench: MmioBench<D>, random: Random): void {
  const offset = random.chance(80) ? random.pick(REGISTERS) : random.below(0x1004);
  const size = random.chance(85) ? 4 : random.pick([1, 2] as const);
  if (random.chance(30)) {
    const value = bench.get(offset, size);
    expect(value >= 0 && value < 2 ** (8 * size)).toBe(true);
  } else {
    bench.set(offset, random.word() % 2 ** (8 * size), size);
  }
}

function randomMemory(ram: FakeRam, random: Random): void {
  for (let i = 0; i < 8; i++) {
    const at = random.chance(80) ? 0x10000 + random.below(0x18000) : random.below(RAM_SIZE - 4);
    ram.set(at, random.pick([1, 2, 4]), random.word());
  }
}

/** A chain that mostly makes sense. */
function randomChain<D extends VirtioDevice>(bench: MmioBench<D>, random: Random): void {
  const ring = random.pick(bench.rings);
  const pieces = Array.from({ length: 1 + random.below(4) }, (_, i) => ({
    address: random.chance(95) ? BigInt(random.below(0x8000) + 0x40000) : random.address(RAM_SIZE),
    length: random.chance(95) ? random.below(0x800) : random.word(),
    writable: random.chance(90) ? i > 1 : random.chance(50),
  }));
  ring.offer(random.chance(70) ? ring.chain(pieces) : ring.indirect(0x80000, pieces));
  bench.notify(random.chance(90) ? bench.rings.indexOf(ring) : random.word());
}

/** After anything, a reset makes the device usable again. */
function attack<D extends VirtioDevice>(
  make: () => D,
  works: (bench: MmioBench<D>) => void,
  host: (bench: MmioBench<D>, random: Random) => void = () => undefined,
  finish: (bench: MmioBench<D>) => void = () => undefined,
): void {
  const rounds = fuzz((random) => {
    const bench = new MmioBench(make(), OPTIONS);
    if (random.chance(80)) bench.start([...RING_BITS, ...bench.device.features.slice(0, 2)]);
    for (let step = 0; step < STEPS; step++) {
      const action = random.below(100);
      if (action < 50) randomAccess(bench, random);
      else if (action < 60) randomMemory(bench.ram, random);
      else if (action < 85) randomChain(bench, random);
      else if (action < 95) host(bench, random);
      else bench.start();
    }
    finish(bench);
    expect(bench.start().status).toBe(ALL_STEPS);
    works(bench);
    expect(bench.lines.length).toBeLessThan(60);
  });
  expect(rounds).toBeGreaterThan(1);
}

describe('any driver', () => {
  test('cannot break the core', () => {
    attack(
      () => new EchoDevice(),
      (bench) => {
        bench.rings[0]!.send(
          { address: 0x9000, length: 8 },
          { address: 0xa000, length: 8, writable: true },
        );
        bench.notify(0);
        expect(bench.rings[0]!.take().map(({ length }) => length)).toEqual([8]);
      },
      undefined,
      (bench) => bench.device.finish(),
    );
  });

  test('cannot break virtio-rng', () => {
    attack(
      () =>
        new RngDevice({ fill: (bytes) => bytes.fill(1), limit: { perSecond: 1e9, burst: 1e9 } }),
      (bench) => {
        bench.rings[0]!.send({ address: 0x9000, length: 8, writable: true });
        bench.notify(0);
        expect(bench.rings[0]!.take().map(({ length }) => length)).toEqual([8]);
      },
    );
  });

  test('cannot break virtio-balloon', () => {
    attack(
      () => new BalloonDevice(),
      (bench) => {
        bench.ram.discarded.length = 0;
        bench.ram.set(0x9000, 4, 0x50);
        bench.rings[0]!.send({ address: 0x9000, length: 4 });
        bench.notify(0);
        expect(bench.ram.discarded).toEqual([{ address: 0x50000, length: 4096 }]);
      },
    );
  });

  test('cannot break virtio-console, whatever its host does', () => {
    const shape = { ports: [{ isConsole: true }, { name: 'agent' }], ringBytes: 256 };
    const input = new Uint8Array(100).fill(7);
    attack(
      () => new ConsoleDevice(shape),
      (bench) => {
        const [host] = openConsolePorts(bench.core, shape);
        host!.open();
        while (host!.take().length > 0);
        bench.ram.set(0x9000, 4, 0x6f6c6c65);
        bench.rings[1]!.send({ address: 0x9000, length: 4 });
        bench.notify(1);
        expect(Buffer.from(host!.take()).toString()).toBe('ello');
      },
      (bench, random) => {
        const host = random.pick(openConsolePorts(bench.core, shape));
        const actions = [
          () => host.open(),
          () => host.close(),
          () => host.receive(input),
          () => host.drain(input),
          () => host.resize(random.word(), random.word()),
          () => (host.index > 0 ? host.unplug() : undefined),
          () => host.plug(),
          () => bench.core.serve(random.below(bench.rings.length)),
        ];
        random.pick(actions)();
        expect(host.pending).toBeLessThanOrEqual(256 + 1024);
      },
    );
  });

  test('cannot break virtio-pmem, however its flushes end', () => {
    const running: ((result: number) => void)[] = [];
    const end = (result: number): void => {
      while (running.length > 0) running.shift()!(result);
    };
    attack(
      () => {
        running.length = 0;
        return new PmemDevice({
          address: 0,
          size: PMEM_ALIGNMENT,
          flush: (done) => running.push(done) > 0,
        });
      },
      (bench) => {
        bench.ram.set(0x9000, 4, 0);
        bench.ram.set(0xa000, 4, 0x7777);
        bench.rings[0]!.send(
          { address: 0x9000, length: 4 },
          { address: 0xa000, length: 4, writable: true },
        );
        bench.notify(0);
        end(0);
        expect(bench.rings[0]!.take().map(({ length }) => length)).toEqual([4]);
        expect(bench.ram.get(0xa000, 4)).toBe(0);
      },
      () => running.shift()?.(0),
      () => end(0),
    );
  });
});
