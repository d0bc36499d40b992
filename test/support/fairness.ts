/**
 * What a VM that spins on all processors and floods its console costs a neighbour, beside one that only
 * spins: the two run in turns, and the neighbour's work is counted.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Vexit, type ManagedVm } from 'vexit';
import { buildGuest } from './guest-build';

export interface FairnessOptions {
  /** Turns of each. */
  readonly rounds: number;
  readonly turnMs: number;
}

export interface Fairness {
  /** The neighbour's pieces of work in a second, turn by turn. */
  readonly besideSpin: readonly number[];
  readonly besideFlood: readonly number[];
  /** Processor time in a second that each took in its own turns; milliseconds. */
  readonly spinCpu: readonly number[];
  readonly floodCpu: readonly number[];
  /** Bytes of the flood's console in all. */
  readonly flooded: number;
  /** Bytes of its log at the end. */
  readonly kept: number;
}

export function medianOf(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}

/** Time from a change of turns to what is counted. */
const SETTLE_MS = 100;

const sizeOf = (file: string): number => (fs.existsSync(file) ? fs.statSync(file).size : 0);

/** Runs three VMs in the background; nothing of them is left. */
export async function measureFairness({ rounds, turnMs }: FairnessOptions): Promise<Fairness> {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-fairness-'));
  const vexit = new Vexit(path.join(home, 'vexit'));
  const vms: ManagedVm[] = [];
  const cpus = os.availableParallelism();
  const start = async (name: string, count: number): Promise<ManagedVm> => {
    const cmdline = `do=${name} cpus=${count}`;
    const options = { kernel: buildGuest('load'), memory: '16M', cpus: count, cmdline };
    const vm = await vexit.run({ name, options });
    vms.push(vm);
    return vm;
  };
  try {
    const neighbour = await start('work', 1);
    const [spin, flood] = [await start('spin', cpus), await start('flood', cpus)];
    await flood.pause();
    const work = path.join(neighbour.path, 'console.log');
    while (sizeOf(work) < 10) await sleep(20);
    const turn = async (vm: ManagedVm): Promise<{ work: number; cpu: number }> => {
      await sleep(SETTLE_MS);
      const [before, began] = [sizeOf(work), await vm.stats()];
      await sleep(turnMs);
      const [after, ended] = [sizeOf(work), await vm.stats()];
      const seconds = (ended.time - began.time) / 1000;
      return { work: (after - before) / seconds, cpu: (ended.cpuMs - began.cpuMs) / seconds };
    };
    const [spins, floods] = [[], []] as { work: number; cpu: number }[][];
    for (let i = 0; i < rounds; i++) {
      spins!.push(await turn(spin));
      await spin.pause();
      await flood.resume();
      floods!.push(await turn(flood));
      await flood.pause();
      await spin.resume();
    }
    const logs = ['console.log', 'console.log.1'].map((name) => path.join(flood.path, name));
    const index = fs.readFileSync(path.join(flood.path, 'console.index'), 'latin1');
    return {
      besideSpin: spins!.map(({ work: pieces }) => pieces),
      besideFlood: floods!.map(({ work: pieces }) => pieces),
      spinCpu: spins!.map(({ cpu }) => cpu),
      floodCpu: floods!.map(({ cpu }) => cpu),
      flooded: Number(index.trim().split('\n').at(-1)?.split(' ')[0] ?? 0),
      kept: logs.map(sizeOf).reduce((sum, size) => sum + size, 0),
    };
  } finally {
    for (const vm of vms) await vm.remove(true);
    fs.rmSync(home, { recursive: true, force: true });
  }
}
