/**
 * SIGKILL of the VMM at random moments while a guest writes numbered sectors and flushes: every
 * number that the guest has acknowledged is in the image. `CRASHES=200` does it that often for each
 * kind of disk; 10 unless given.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostMemory } from '../../src/block/host-memory.js';
import {
  BlockSegments,
  IoDispatcher,
  closeDisk,
  createBackend,
  openReleasedDisk,
} from '../../src/block/index.js';
import { createIoEngine } from '../../src/io/index.js';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import {
  acknowledged,
  imageDirectory,
  missing,
  missingInFile,
  orders,
} from '../support/disk-guest';
import { until } from '../support/run-guest';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
const MIB = 2 ** 20;
const CRASHES = Number(process.env.CRASHES ?? 10);
/** Sectors 4 KiB apart, so that each is in a block of its own of an overlay too. */
const BATCH = 12;
const image = imageDirectory();

/** What the guest of a VMM that is killed has acknowledged. */
async function crash(disk: string): Promise<number> {
  const kernel = ['--kernel', buildGuest('disk'), '--memory', '16M'];
  const script = orders(`s0;l0,${BATCH.toString(16)},8;`);
  const args = [CLI, 'run', ...kernel, '--disk', disk, '--cmdline', script];
  // Standard input stays open: its end is a byte for the guest.
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  let serial = '';
  child.stdout.on('data', (bytes: Buffer) => (serial += bytes.toString('latin1')));
  const over = (): boolean => child.exitCode !== null || child.signalCode !== null;
  try {
    await until('the first number', () => acknowledged(serial) >= 0 || over());
    await sleep(100 + 200 * Math.random());
  } finally {
    child.kill('SIGKILL');
    await closed;
  }
  expect(serial).not.toContain('failed=1');
  return acknowledged(serial);
}

/** The whole content of a disk with an overlay. */
async function readOverlay(base: string, overlay: string): Promise<Buffer> {
  const disk = await openReleasedDisk({ path: base, overlay, readOnly: true });
  const dispatcher = new IoDispatcher();
  const engine = createIoEngine({ entries: 16, memories: [], onCompletion: dispatcher.complete });
  const backend = createBackend(disk, engine, dispatcher);
  const memory = new HostMemory(MIB);
  const segments = new BlockSegments();
  const content = Buffer.alloc(disk.capacity);
  let ended: ((result: number) => void) | undefined;
  backend.attach({
    complete: (_token, result) => ended?.(result),
    retry: () => undefined,
    resized: () => undefined,
    warn: (_site, line) => {
      throw new Error(line);
    },
  });
  for (let at = 0; at < content.length; at += MIB) {
    const result = await new Promise<number>((resolve) => {
      ended = resolve;
      segments.clear();
      segments.append(memory, 0, MIB);
      expect(backend.read(segments, at, 0)).toBe(true);
      backend.submit();
    });
    expect(result).toBe(0);
    content.set(memory.bytes, at);
  }
  await backend.close();
  await engine.close();
  memory.release();
  closeDisk(disk);
  return content;
}

describeKvm('SIGKILL under load', () => {
  test(
    `a raw disk has all that was acknowledged, ${CRASHES} times`,
    async () => {
      let numbers = 0;
      for (let i = 0; i < CRASHES; i++) {
        const file = image('raw.img', 64 * MIB);
        const last = await crash(`${file},engine=${i % 2 === 0 ? 'io_uring' : 'threads'}`);
        expect(last).toBeGreaterThanOrEqual(0);
        expect(missingInFile(file, last)).toEqual([]);
        numbers += last + 1;
      }
      expect(numbers).toBeGreaterThan(CRASHES * BATCH);
    },
    10_000 * CRASHES + 60_000,
  );

  test(
    `an overlay has all that was acknowledged, ${CRASHES} times`,
    async () => {
      for (let i = 0; i < CRASHES; i++) {
        const base = image('base.img', 64 * MIB);
        const overlay = image('crash.ovl');
        const last = await crash(`${base},overlay=${overlay}`);
        expect(last).toBeGreaterThanOrEqual(0);
        expect(missing(await readOverlay(base, overlay), last)).toEqual([]);
        rmSync(overlay);
      }
    },
    10_000 * CRASHES + 60_000,
  );
});
