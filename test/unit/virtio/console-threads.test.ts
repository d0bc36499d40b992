/** Both sides of a console port in threads of their own: no byte and no wake-up is lost. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { RegisterFileBuilder } from '../../../src/bus/register-block.js';
import { ConsoleDevice } from '../../../src/devices/virtio/console/console.js';
import { openConsolePorts } from '../../../src/devices/virtio/console/console-host.js';
import {
  VirtioRegisters,
  planVirtioRegisters,
} from '../../../src/devices/virtio/device-registers.js';
import { VirtioDeviceCore } from '../../../src/devices/virtio/virtio-device-core.js';
import { SHAPE, STUCK_MS, byteAt, type ThreadsData } from './console-guest.js';
import { FakeRam } from './fake-ram.js';

const ESBUILD = path.join(__dirname, '../../../node_modules/.bin/esbuild');

/** Workers of Node.js 20 do not load TypeScript. */
function bundled(): string {
  const file = path.join(__dirname, 'console-guest.ts');
  const options = ['--bundle', '--platform=node', '--format=cjs', '--log-level=error'];
  return execFileSync(ESBUILD, [file, ...options], { encoding: 'utf8', maxBuffer: 2 ** 26 });
}

test.each([
  [256, 300_000],
  [65536, 8_000_000],
])(
  'rings of %d bytes carry %d each way, with threads that sleep',
  async (ringBytes, total) => {
    const shape = { ...SHAPE, ringBytes };
    const builder = new RegisterFileBuilder();
    const device = new ConsoleDevice(shape);
    const plan = planVirtioRegisters(builder, 'console', device);
    const buffer = builder.build();
    const bells = new Int32Array(new SharedArrayBuffer(8));
    const kick = (index: number): void => {
      Atomics.or(bells, 0, 1 << index);
      Atomics.notify(bells, 0);
    };
    const registers = VirtioRegisters.open(buffer, plan, device);
    const core = new VirtioDeviceCore(device, registers, new FakeRam(), { kick });
    const [host] = openConsolePorts(core, shape);
    host!.open();
    const workerData: ThreadsData = { buffer, plan, bells, total, ringBytes };
    const worker = new Worker(bundled(), { eval: true, workerData });
    const result = new Promise<unknown>((resolve, reject) => {
      worker.once('message', resolve).once('error', reject);
    });

    const target = new Uint8Array(5000);
    const source = new Uint8Array(5000);
    let taken = 0;
    let given = 0;
    let wrong = -1;
    let stuck = false;
    while ((taken < total || given < total) && wrong < 0 && !stuck) {
      Atomics.store(bells, 1, 0);
      for (let count = target.length; count === target.length && wrong < 0;) {
        count = host!.drain(target);
        for (let i = 0; i < count && wrong < 0; i++) {
          if (target[i] !== byteAt(taken + i)) wrong = taken + i;
        }
        taken += count;
      }
      for (let accepted = true; accepted && given < total;) {
        const length = Math.min(total - given, 1 + ((given * 13) % source.length));
        for (let i = 0; i < length; i++) source[i] = byteAt(given + i);
        const count = host!.receive(source.subarray(0, length));
        given += count;
        accepted = count === length;
      }
      if (taken < total || given < total) {
        stuck = Atomics.wait(bells, 1, 0, STUCK_MS) === 'timed-out';
      }
    }
    expect({ taken, given, wrong, stuck }).toEqual({
      taken: total,
      given: total,
      wrong: -1,
      stuck: false,
    });
    expect(await result).toBe('done');
  },
  100_000,
);
