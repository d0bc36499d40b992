/**
 * The I/O worker of console-threads.test.ts, with the guest's driver in it: sends and takes bytes
 * through one port as fast as it can. It sleeps without a time-out that would hide a lost wake-up.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { ConsoleDevice } from '../../../src/devices/virtio/console/console.js';
import { VirtioRegisters } from '../../../src/devices/virtio/device-registers.js';
import { FakeRam } from './fake-ram.js';
import { MmioBench, RING_BITS } from './mmio-bench.js';

/** What the two threads share. */
export interface ThreadsData {
  readonly buffer: SharedArrayBuffer;
  readonly plan: Parameters<typeof VirtioRegisters.open>[1];
  /** Word 0: queues to serve, as bits. Word 1: the doorbell. */
  readonly bells: Int32Array<SharedArrayBuffer>;
  readonly total: number;
  readonly ringBytes: number;
}

export const SHAPE = { ports: [{ isConsole: true }] };
/** Longer than any pause of a busy machine, shorter than a test. */
export const STUCK_MS = 30_000;

/** The byte at a place in the stream. */
export function byteAt(place: number): number {
  return (place * 31 + (place >>> 8)) & 0xff;
}

const DATA = 0x40000;
const ROOM = 0x80000;
const SLOTS = 32;
const SLOT = 0x800;

function run({ buffer, plan, bells, total, ringBytes }: ThreadsData): string {
  const ring = (): void => {
    Atomics.store(bells, 1, 1);
    Atomics.notify(bells, 1);
  };
  const kick = (index: number): void => void Atomics.or(bells, 0, 1 << index);
  const device = new ConsoleDevice({ ...SHAPE, ringBytes, doorbell: { ring } });
  const registers = VirtioRegisters.open(buffer, plan, device);
  const ram = new FakeRam();
  const bench = new MmioBench(device, { kick, processLater: kick }, ram, registers);
  bench.start([...RING_BITS]);
  const [input, output] = [bench.rings[0]!, bench.rings[1]!];
  const bytes = new Uint8Array(SLOT);
  let sent = 0;
  let received = 0;
  let chains = 0;

  const transmit = (): void => {
    output.usedIndex = output.deviceIndex;
    for (
      ;
      sent < total && ((output.availableIndex - output.usedIndex) & 0xffff) < SLOTS;
      chains++
    ) {
      const length = Math.min(total - sent, 1 + ((chains * 97) % SLOT));
      for (let i = 0; i < length; i++) bytes[i] = byteAt(sent + i);
      const slot = DATA + SLOT * (chains % SLOTS);
      ram.write(slot, bytes.subarray(0, length));
      output.send({ address: slot, length });
      sent += length;
      bench.notify(1);
    }
  };
  const receive = (): string | undefined => {
    for (const { id, length } of input.take()) {
      const at = ram.get(input.place.descriptors + 16 * id, 4);
      const got = ram.read(at, length);
      for (let i = 0; i < length; i++) {
        if (got[i] !== byteAt(received + i)) return `input differs at ${received + i}`;
      }
      received += length;
    }
    while (((input.availableIndex - input.usedIndex) & 0xffff) < SLOTS) {
      const slot = ROOM + SLOT * (input.availableIndex % SLOTS);
      const length = 1 + ((input.availableIndex * 61) % SLOT);
      input.send({ address: slot, length, writable: true });
      bench.notify(0);
    }
    return undefined;
  };

  for (;;) {
    transmit();
    const problem = receive();
    if (problem !== undefined) return problem;
    const done =
      sent === total && received === total && output.deviceIndex === output.availableIndex;
    if (done) return 'done';
    const queues = Atomics.exchange(bells, 0, 0);
    for (let i = 0; i < 2; i++) {
      if ((queues & (1 << i)) !== 0) for (let more = true; more;) more = bench.core.serve(i);
    }
    if (queues !== 0) continue;
    if (Atomics.wait(bells, 0, 0, STUCK_MS) === 'timed-out') {
      return `the device was not woken: sent ${sent}, received ${received}`;
    }
  }
}

if (parentPort !== null) parentPort.postMessage(run(workerData as ThreadsData));
