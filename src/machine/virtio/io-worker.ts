/**
 * Entry point of an I/O worker: opens its devices in this thread and serves their queues when the
 * guest kicks them, until the main thread says stop.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { native, type WatchHandle } from '../../kvm/native.js';
import { GuestMemory } from '../../memory/guest-memory.js';
import { ControlBlock } from '../../vcpu/control-block.js';
import type { VirtioDeviceCore } from '../../devices/virtio/index.js';
import type { IoMessage, IoRequest, IoWorkerData } from './io-worker-data.js';
import { loadDeviceClasses, makeDevice } from './make-device.js';
import { QueueScheduler } from './queue-scheduler.js';
import { openSlot } from './slots.js';

/** How often a pause looks whether the last chain in flight has come back. */
const DRAIN_POLL_MS = 1;

class IoWorker {
  private readonly scheduler = new QueueScheduler();
  private readonly cores: VirtioDeviceCore[] = [];
  private readonly kicks: { readonly fd: number; readonly entry: number }[] = [];
  private watches: WatchHandle[] = [];

  private constructor(
    private readonly memory: GuestMemory,
    private readonly post: (message: IoMessage) => void,
  ) {}

  static async open(data: IoWorkerData, post: (message: IoMessage) => void): Promise<IoWorker> {
    const memory = GuestMemory.attach(data.memory);
    const control = new ControlBlock(data.control);
    const classes = await loadDeviceClasses(data.slots.map(({ spec }) => spec));
    const worker = new IoWorker(memory, post);
    data.slots.forEach((slot, i) => {
      const queues = data.queues[i]!;
      if (queues.length === 0) return;
      const hostDoorbell = { ring: (): void => control.ringDevice(i) };
      const device = makeDevice(slot.spec, classes, { hostDoorbell });
      const { core } = openSlot(slot, device, {
        buffer: data.registers,
        memory,
        log: (message) => post({ type: 'log', message }),
        timers: true,
      });
      worker.cores.push(core);
      for (const queue of queues) {
        worker.kicks.push({ fd: slot.kickFds[queue]!, entry: worker.scheduler.add(core, queue) });
      }
    });
    return worker;
  }

  /** Kicks from before this moment are in the eventfds; what a restore brings is looked for. */
  start(): void {
    const { eventfdDrain } = native();
    this.watches = this.kicks.map(({ fd, entry }) =>
      native().watchReadable(fd, () => {
        eventfdDrain(fd);
        this.scheduler.ready(entry);
      }),
    );
    this.scheduler.resume();
    this.scheduler.readyAll();
  }

  private hold(): void {
    this.scheduler.pause();
    for (const watch of this.watches.splice(0)) native().unwatch(watch);
  }

  /** Serves nothing more, and waits until no chain is in flight: the devices are their registers. */
  async pause(): Promise<void> {
    this.hold();
    while (this.cores.some((core) => core.queues.inFlight() > 0)) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    this.post({ type: 'paused' });
  }

  async stop(): Promise<void> {
    this.hold();
    await Promise.all(this.cores.map(async ({ device }) => device.close?.()));
    this.memory.close();
  }
}

async function main(data: IoWorkerData): Promise<void> {
  const port = parentPort!;
  const worker = await IoWorker.open(data, (message) => port.postMessage(message));
  port.on('message', (request: IoRequest) => {
    if (request === 'pause') void worker.pause();
    else if (request === 'resume') worker.start();
    else void worker.stop().finally(() => port.close());
  });
  worker.start();
}

void main(workerData as IoWorkerData);
