/**
 * Linux with ext4 on a disk writes records and calls fsync, and its VMM is killed: nothing that was
 * acknowledged is missing, and the file system needs no more than its journal. `CRASHES=200` looks
 * at so many moments, and a kill after every 20; 5 and one unless given.
 *
 * A boot for each moment would take hours. Most moments are a SIGSTOP of the whole VMM, a copy of the
 * image, and a SIGCONT. The copy is what SIGKILL would have left:
 * - The image is a file written through the host's page cache, which outlives the process. Nothing of
 *   it is in the memory of the process alone, and what is in there is lost in both cases.
 * - A stopped thread is stopped at a return to user space, or in a wait that a signal can end, where
 *   SIGKILL ends it, too: vCPUs leave KVM_RUN, and a system call that writes the file is over or has
 *   not begun. io_uring's threads are threads of the process; they stop between two requests.
 * - One difference is left: SIGKILL can end a write between two pages, SIGSTOP cannot. The guest has
 *   no answer to that request yet, so it is for the file system to bear; the real kills do it.
 * - What was acknowledged is in a file, written before the VMM goes on, and read while it is stopped.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  copyFileSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureRootDisk } from 'vexit';
import { imageDirectory } from '../support/disk-guest';
import { installLoad, lastAcknowledged, missingRecords, recover } from '../support/ext4/ext4-crash';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
const CRASHES = Number(process.env.CRASHES ?? 5);
const CRASHES_PER_BOOT = 20;
/** A boot takes 20 s of a processor here; a busy machine may need many times that. */
const BUSY_MS = 900_000;
const image = imageDirectory();

/** A VMM whose guest runs the load. */
class LoadedVm {
  private readonly child: ChildProcess;
  private readonly closed: Promise<unknown>;
  private readonly output: string;

  constructor(
    readonly disk: string,
    engine: string,
  ) {
    this.output = image('output');
    const fd = openSync(this.output, 'w');
    const args = ['run', '--memory', '96M', '--disk', `${disk},engine=${engine}`, '--', '/load'];
    this.child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', fd, fd] });
    this.closed = once(this.child, 'close');
    closeSync(fd);
  }

  get acknowledged(): number {
    const output = readFileSync(this.output, 'latin1');
    const { exitCode, signalCode } = this.child;
    if (output.includes('failed=') || exitCode !== null || signalCode !== null) {
      throw new Error(`the load ended: ${output.slice(-500)}`);
    }
    return lastAcknowledged(output);
  }

  /** Waits for a moment that has nothing to do with what the guest does. */
  async randomMoment(): Promise<void> {
    const before = this.acknowledged;
    await until('a record', () => this.acknowledged > before, BUSY_MS);
    await sleep(300 * Math.random());
  }

  private signal(signal: NodeJS.Signals): void {
    if (!this.child.kill(signal)) throw new Error(`no process for ${signal}`);
  }

  /**
   * True when no thread runs. Each that was listed had stopped when its state was read, and can have
   * begun no other afterwards; one that it began before is in the second list.
   */
  private get stopped(): boolean {
    const tasks = `/proc/${this.child.pid!}/task`;
    const threads = (): string[] => readdirSync(tasks);
    const before = threads();
    const state = (id: string): string => {
      try {
        return readFileSync(path.join(tasks, id, 'stat'), 'latin1').replace(/^.*\) /s, '')[0]!;
      } catch {
        return 'it ended';
      }
    };
    return before.every((id) => state(id) === 'T') && threads().join() === before.join();
  }

  /** Copies the image as a SIGKILL would leave it now. Returns what was acknowledged. */
  async copy(to: string): Promise<number> {
    this.signal('SIGSTOP');
    try {
      await until('a stop', () => this.stopped);
      copyFileSync(this.disk, to, constants.COPYFILE_FICLONE);
      return this.acknowledged;
    } finally {
      this.signal('SIGCONT');
    }
  }

  async kill(): Promise<number> {
    this.signal('SIGKILL');
    await this.closed;
    return lastAcknowledged(readFileSync(this.output, 'latin1'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.closed;
  }
}

/** Records that the moments of a boot had to show, all of them. */
async function crashes(engine: string, moments: number): Promise<number> {
  const disk = image('root.ext4');
  copyFileSync(await ensureRootDisk('busybox', () => undefined), disk);
  installLoad(disk);
  await using vm = new LoadedVm(disk, engine);
  let records = 0;
  const check = (file: string, last: number): void => {
    expect({ damage: recover(file), missing: missingRecords(file, last) }).toEqual({
      damage: [],
      missing: [],
    });
    records += last + 1;
    rmSync(file);
  };
  for (let i = 0; i < moments; i++) {
    await vm.randomMoment();
    const copy = image('copy.ext4');
    check(copy, await vm.copy(copy));
  }
  await vm.randomMoment();
  check(disk, await vm.kill());
  return records;
}

describeKvm('SIGKILL of Linux under fsync load', () => {
  const boots = Math.ceil(CRASHES / CRASHES_PER_BOOT);
  test(
    `ext4 has all that was acknowledged, ${CRASHES} times`,
    async () => {
      let records = 0;
      for (let boot = 0; boot < boots; boot++) {
        const moments = Math.ceil((CRASHES - boot * CRASHES_PER_BOOT) / (boots - boot));
        const some = Math.min(moments, CRASHES_PER_BOOT);
        records += await crashes(boot % 2 === 0 ? 'io_uring' : 'threads', some);
      }
      console.log(`${CRASHES} moments and ${boots} kills had to show ${records} records`);
      expect(records).toBeGreaterThan(CRASHES);
    },
    BUSY_MS * (boots + 1),
  );
});
