/**
 * Guests that flood the VMM: memory of the process stays flat, its event loop is never away for long,
 * log lines are few, and other VMs go on, in the same process and in another one.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { imageDirectory, orders, startDiskGuest } from '../support/disk-guest';

const HOST = path.resolve(__dirname, '../support/flood-host.cjs');
const LIBRARY = path.resolve(__dirname, '../../dist/index.js');
const MIB = 2 ** 20;
/** Loads of disks that go on until something is sent: reads of 4 KiB, four at a time. */
const LOAD = 's0;b0,8,4;';
/** Answers of a VM beside the flood that show that it goes on: seconds of work are thousands. */
const PROGRESS = 32;

const image = imageDirectory();

/** What test/support/flood-host.cjs prints. */
interface Outcome {
  readonly up: boolean;
  readonly states: string[];
  /** The longest time that the event loop was away, and was busy; milliseconds. */
  readonly away: number;
  readonly busy: number;
  /** Bytes of RSS. */
  readonly grown: number;
  readonly notes: string[];
  readonly consoleBytes: number;
  readonly progress: number;
  readonly dropped: number;
}

async function flood(order: string, settings: object): Promise<Outcome> {
  const memory = '16M';
  const all = {
    flood: {
      ...{ kernel: buildGuest('flood'), memory, rng: true, virtioConsole: true },
      cmdline: orders(order),
    },
    warmUp: 1,
    seconds: 2,
    ...settings,
  };
  // Small young generations: garbage that waits for its collection is not growth.
  const args = ['--max-semi-space-size=1', HOST, LIBRARY, JSON.stringify(all)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
  return JSON.parse(stdout) as Outcome;
}

/** A VM in the flooder's process. */
function beside(): object {
  const disks = [{ path: image('beside.img', MIB) }];
  return { kernel: buildGuest('disk'), memory: '16M', disks, cmdline: orders(LOAD) };
}

function expectHarmless(outcome: Outcome): void {
  expect(outcome.states).toEqual(['running', 'running']);
  expect(outcome.grown).toBeLessThan(8 * MIB);
  expect(outcome.busy).toBeLessThan(50);
  expect(outcome.away).toBeLessThan(50);
}

describeKvm('a flood of console output', () => {
  test.each(['reads', 'stalls', 'is not there'])(
    'F10: memory is flat and the event loop runs when the reader %s',
    async (reader) => {
      const outcome = await flood('c', { reader, warmUp: 2, seconds: 3 });
      expect(outcome.up).toBe(true);
      expectHarmless(outcome);
      if (reader === 'reads') expect(outcome.consoleBytes).toBeGreaterThan(16 * MIB);
      else expect(outcome.consoleBytes).toBe(0);
    },
  );

  test('K3: the same for the serial port, and what nobody reads is dropped and counted', async () => {
    const outcome = await flood('s', { untilDropped: true });
    expectHarmless(outcome);
    expect(outcome.dropped).toBeGreaterThan(0);
  });
});

describeKvm('a flood does not stop other VMs', () => {
  test.each([
    ['notifications', 'n'],
    ['resets', 'r'],
    ['exits', 'x'],
  ])('K1: %s', async (_, order) => {
    const disks = [{ path: image('elsewhere.img', MIB) }];
    await using elsewhere = await startDiskGuest(LOAD, { disks });
    await elsewhere.shows('n=');
    const lines = (): number => elsewhere.serial.split('\n').length;
    const before = lines();
    const outcome = await flood(order, { beside: beside() });
    expect(outcome.up).toBe(true);
    expectHarmless(outcome);
    expect(outcome.progress).toBeGreaterThan(PROGRESS);
    // A line is 16 answers.
    expect((lines() - before) * 16).toBeGreaterThan(PROGRESS);
    expect(outcome.notes).toEqual([]);
  });

  test('K2: mistakes that are logged: ten lines in five seconds', async () => {
    const outcome = await flood('b', { beside: beside() });
    expect(outcome.up).toBe(true);
    expectHarmless(outcome);
    expect(outcome.progress).toBeGreaterThan(PROGRESS);
    expect(outcome.notes.length).toBeGreaterThanOrEqual(10);
    // Five seconds may have begun anew, with a line that says how many were dropped.
    expect(outcome.notes.length).toBeLessThanOrEqual(21);
  });
});
