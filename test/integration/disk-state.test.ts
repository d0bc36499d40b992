/**
 * A disk is its register blocks: a VM is paused in the middle of disk traffic, blocks, memory and the
 * vCPU's registers are copied into a machine that has just been made, and that one goes on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { VirtualMachineOptions } from 'vexit';
import { RegisterBlock } from '../../src/bus/register-block.js';
import { QueueWord } from '../../src/devices/virtio/queue/queue-registers.js';
import type { VcpuFd } from '../../src/kvm/vcpu-fd.js';
import type { Board, BoardDescriptor } from '../../src/machine/board.js';
import type { GuestMemory } from '../../src/memory/guest-memory.js';
import { describeKvm } from '../support/kvm';
import { acknowledged, imageDirectory, missingInFile, orders, STEP } from '../support/disk-guest';
import { checkLeaks, Guest, until } from '../support/run-guest';

const MIB = 2 ** 20;
const image = imageDirectory();

/** What is inside of a VM. */
interface Machine {
  readonly memory: GuestMemory;
  readonly vcpus: { readonly fds: readonly VcpuFd[] };
  readonly boardDescriptor: BoardDescriptor;
  readonly board: Pick<Board, 'ports' | 'virtio'>;
}
function machineOf(guest: Guest): Machine {
  return (guest.vm as unknown as { instance: Machine }).instance;
}

/** Everything that a machine with a polling guest consists of. */
interface Saved {
  readonly memory: Uint8Array;
  readonly regs: Uint8Array;
  readonly sregs: Uint8Array;
  /** Of the devices of a PC. */
  readonly blocks: ReadonlyMap<string, Uint8Array>;
  /** Of the virtio devices, by slot. */
  readonly virtio: readonly Uint8Array[][];
}

function save(machine: Machine): Saved {
  const { memory, vcpus, board, boardDescriptor } = machine;
  const vcpu = vcpus.fds[0]!;
  const { registers, blocks } = boardDescriptor;
  return {
    memory: memory.read(0, memory.size),
    regs: Uint8Array.from(vcpu.readRegs().bytes),
    sregs: Uint8Array.from(vcpu.readSregs().bytes),
    blocks: new Map(
      Object.entries(blocks).map(([name, handle]) => [
        name,
        new RegisterBlock(registers, handle).save(),
      ]),
    ),
    virtio: board.virtio.map((core) => core.registers.save()),
  };
}

/** Puts it into a machine that has not been started. */
function restore(saved: Saved, machine: Machine): void {
  const { memory, vcpus, board, boardDescriptor } = machine;
  const { registers, blocks } = boardDescriptor;
  memory.write(0, saved.memory);
  for (const [name, bytes] of saved.blocks) {
    new RegisterBlock(registers, blocks[name]!).restore(bytes);
  }
  board.virtio.forEach((core, slot) => core.registers.restore(saved.virtio[slot]!));
  const vcpu = vcpus.fds[0]!;
  vcpu.readRegs().bytes.set(saved.regs);
  vcpu.readSregs().bytes.set(saved.sregs);
  vcpu.writeSregs();
  vcpu.writeRegs();
}

/** Chains that the driver has made available and that have not come back. */
function outstanding({ board, memory }: Machine): number {
  let count = 0;
  for (const { words } of board.virtio.flatMap(({ registers }) => registers.queues)) {
    if (words[QueueWord.Ready] === 0) continue;
    const [low = 0, high = 0] = memory.read((words[QueueWord.DriverLow]! >>> 0) + 2, 2);
    count += (low + 256 * high - words[QueueWord.NextUsed]!) & 0xffff;
  }
  return count;
}

type DiskOptions = Exclude<
  NonNullable<VirtualMachineOptions['disks']>[number],
  { backend: unknown }
>;
const COM1 = 0x3f8;
const MARK = '+';
const HOPS = 4;
const BATCH = 36;

describeKvm('a VM that is paused under disk load, copied and goes on in another machine', () => {
  checkLeaks();

  const cases: [string, Partial<DiskOptions>, number][] = [
    ['as fast as it can', {}, 1],
    ['a pool of threads', { engine: 'threads' }, 1],
    ['four queues in two I/O threads', { queues: 4 }, 2],
    ['with chains waiting for a rate limit', { operationsPerSecond: 300, operationsBurst: 10 }, 1],
    ['on an overlay', { overlay: image('state.ovl') }, 1],
  ];
  test.each(cases)('%s', async (what, disk, ioThreads) => {
    const file = image('state.img', 16 * MIB);
    const options = {
      disks: [{ path: file, ...disk }],
      ioThreads,
      cmdline: orders(`s0;l0,${BATCH.toString(16)},${STEP};`),
    };
    let shown = '';
    let waited = 0;
    let saved: Saved | undefined;
    for (let hop = 0; hop <= HOPS; hop++) {
      await using guest = await Guest.create('disk', options);
      // Its streams look at the ports when their readers come, and not again by themselves.
      await sleep(5);
      if (saved !== undefined) restore(saved, machineOf(guest));
      await guest.vm.start();
      const before = acknowledged(shown);
      await until('progress', () => acknowledged(shown + guest.serial) > before + BATCH);
      if (hop === HOPS) {
        guest.send('.');
        await guest.shows('strays=');
        await until('the end of the line', () => guest.serial.endsWith('\n'));
        shown += guest.serial;
        break;
      }
      await guest.vm.pause();
      const machine = machineOf(guest);
      for (const { words } of machine.board.virtio.flatMap(({ registers }) => registers.queues)) {
        expect(words[QueueWord.InFlight]! + words[QueueWord.Draining]!).toBe(0);
      }
      expect(guest.vm.disks[0]!.statistics.inFlight).toBe(0);
      waited += outstanding(machine);
      // A byte of output that nobody has taken yet: the other machine has to look for it by itself.
      machine.board.ports.write(COM1, 1, MARK.charCodeAt(0));
      saved = save(machine);
      shown += guest.serial;
    }
    expect(shown.split(MARK)).toHaveLength(HOPS + 1);
    shown = shown.replaceAll(MARK, '');
    const numbers = Array.from(shown.matchAll(/^a=(.*)$/gm), ([, text]) => parseInt(text!, 16));
    // No line is missing and none comes twice.
    expect(numbers).toEqual(numbers.map((_, i) => (i + 1) * BATCH - 1));
    expect(shown).toMatch(/^failed=0\nnext=[0-9a-f]+\nstrays=0\n$/m);
    if (what.includes('waiting')) expect(waited).toBeGreaterThan(0);
    if (disk.overlay === undefined) {
      expect(missingInFile(file, numbers.at(-1)!)).toEqual([]);
    } else {
      await using guest = await Guest.start('disk', {
        ...options,
        cmdline: orders(`s0;v0,${(numbers.at(-1)! + 1).toString(16)},${STEP};`),
      });
      await guest.shows('wrong=0\n');
    }
  });
});
