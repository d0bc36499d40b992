/** Entry point of a vCPU's worker thread: opens the machine's devices in this thread and loops. */
import { parentPort, workerData } from 'node:worker_threads';
import { openBoard } from './board.js';
import { loadDeviceClasses } from './virtio/make-device.js';
import { VcpuFd } from '../kvm/vcpu-fd.js';
import { GuestMemory } from '../memory/guest-memory.js';
import { MachineRequest } from '../bus/device.js';
import { errorMessage } from '../util/errors.js';
import { nameThread } from '../util/thread-name.js';
import { ControlBlock } from '../vcpu/control-block.js';
import { dumpVcpu } from '../vcpu/dump.js';
import { ExitLoop } from '../vcpu/exit-loop.js';
import { PvmCompletions } from '../vcpu/pvm/completions.js';
import type { VcpuMessage, VcpuWorkerData } from './worker-data.js';

async function main(data: VcpuWorkerData): Promise<void> {
  nameThread(`vcpu${data.index}`);
  const post = (message: VcpuMessage): void => parentPort?.postMessage(message);
  const memory = GuestMemory.attach(data.memory);
  const vcpu = new VcpuFd(data.vcpuId);
  const control = new ControlBlock(data.control, data.index);
  const log = (message: string): void => post({ type: 'log', message });
  const quirks = data.pvm && new PvmCompletions(vcpu, memory, data.pvm, log);
  const onFatal = (message: string, exitReason: number | undefined): void => {
    post({ type: 'fatal', message, dump: dumpVcpu(vcpu, memory, data.index, exitReason) });
  };
  try {
    // The head start may have run until the first exit, which is no later than the guest's first
    // write to LSTAR: nothing that the completions must see comes before it.
    quirks?.attach();
    const classes = await loadDeviceClasses(data.board.virtio.map(({ spec }) => spec));
    const { ports, mmio } = openBoard(data.board, { control, memory, classes, log, timers: false });
    new ExitLoop({ vcpu, ports, mmio, control, quirks, onFatal }).run();
  } catch (error) {
    // A defect of the VMM: this VM ends, with the reason; the process goes on.
    const stack = error instanceof Error ? (error.stack ?? error.message) : errorMessage(error);
    post({ type: 'fatal', message: `vcpu ${data.index}: ${stack}`, dump: '' });
    control.request(MachineRequest.Fatal);
  } finally {
    vcpu.detach();
    memory.close();
  }
}

void main(workerData as VcpuWorkerData);
