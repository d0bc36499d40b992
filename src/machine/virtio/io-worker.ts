/**
 * Entry point of an I/O worker: opens its devices in this thread and serves their queues when the
 * guest kicks them, until the main thread says stop.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { native, type WatchHandle } from '../../kvm/native.js';
import { BlockDevice } from '../../devices/virtio/block/block-device.js';
import { NetDevice } from '../../devices/virtio/net/net.js';
import type { VirtioDeviceCore } from '../../devices/virtio/index.js';
import { GuestMemory } from '../../memory/guest-memory.js';
import { VexitError, errorMessage } from '../../util/errors.js';
import { nameThread } from '../../util/thread-name.js';
import { ControlBlock } from '../../vcpu/control-block.js';
import { IoServices } from './io-services.js';
import type { IoCommand, IoFailure, IoMessage, IoRequest, IoWorkerData } from './io-worker-data.js';
import { makeBackend, type BackendSurroundings } from './make-backend.js';
import { loadDeviceClasses, makeDevice } from './make-device.js';
import { QueueScheduler } from './queue-scheduler.js';
import { openSlot } from './slots.js';

/** How often a pause looks whether the last chain in flight has come back. */
const DRAIN_POLL_MS = 1;

type Post = (message: IoMessage) => void;

class IoWorker {
  private readonly services: IoServices;
  private readonly scheduler: QueueScheduler;
  /** By slot; none where another worker serves all queues. */
  private readonly cores = new Map<number, VirtioDeviceCore>();
  private readonly kicks: { readonly fd: number; readonly entry: number }[] = [];
  private watches: WatchHandle[] = [];

  private constructor(private readonly memory: GuestMemory) {
    this.services = new IoServices(memory.descriptor.id);
    this.scheduler = new QueueScheduler({ reap: () => this.services.poll() });
  }

  static async open(data: IoWorkerData, post: Post): Promise<IoWorker> {
    const worker = new IoWorker(GuestMemory.attach(data.memory));
    const control = new ControlBlock(data.control);
    const classes = await loadDeviceClasses(data.slots.map(({ spec }) => spec));
    for (const [i, slot] of data.slots.entries()) {
      const queues = data.queues[i]!;
      if (queues.length === 0) continue;
      const hostDoorbell = { ring: (): void => control.ringDevice(i) };
      const log = (message: string): void => post({ type: 'log', message });
      const surroundings: BackendSurroundings = {
        log,
        queues,
        decisions: data.deciders.get(i),
        onNetwork: (event) => post({ type: 'network', slot: i, event }),
      };
      const backend = await makeBackend(slot.spec, worker.services, surroundings);
      const device = makeDevice(slot.spec, classes, { hostDoorbell, backend });
      const { core } = openSlot(slot, device, {
        buffer: data.registers,
        memory: worker.memory,
        log,
        timers: true,
      });
      worker.cores.set(i, core);
      if (device instanceof BlockDevice) worker.services.onBatch(() => device.deliver());
      for (const queue of queues) {
        worker.kicks.push({ fd: slot.kickFds[queue]!, entry: worker.scheduler.add(core, queue) });
      }
      await core.device.open?.();
    }
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
    for (const { device } of this.cores.values()) device.release?.();
    this.scheduler.resume();
    this.scheduler.readyAll();
  }

  private hold(): void {
    this.scheduler.pause();
    for (const watch of this.watches.splice(0)) native().unwatch(watch);
  }

  /** Serves nothing more, and waits until no chain is in flight: the devices are their registers. */
  private async pause(): Promise<void> {
    this.hold();
    const cores = [...this.cores.values()];
    await Promise.all(cores.map(async ({ device }) => device.hold?.()));
    while (cores.some((core) => core.queues.inFlight() > 0)) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
  }

  private async stop(): Promise<void> {
    this.hold();
    await Promise.all(Array.from(this.cores.values(), async ({ device }) => device.close?.()));
    await this.services.close();
    this.memory.close();
  }

  /** Carries out what the main thread asks for. */
  async carryOut(command: IoCommand): Promise<void> {
    switch (command.type) {
      case 'pause':
        return this.pause();
      case 'resume':
        this.start();
        return;
      case 'stop':
        return this.stop();
      case 'resize': {
        const device = this.cores.get(command.slot)?.device;
        if (device instanceof BlockDevice) await device.resize(command.bytes);
        return;
      }
      case 'limit-disk': {
        const device = this.cores.get(command.slot)?.device;
        if (device instanceof BlockDevice) device.setRateLimits(command.limits);
        return;
      }
      case 'limit': {
        const device = this.cores.get(command.slot)?.device;
        if (device instanceof NetDevice) device.setRateLimits(command.limits);
      }
    }
  }
}

function failureOf(error: unknown): IoFailure {
  if (error instanceof VexitError) {
    const { code, message, hint } = error;
    return { code, message, hint };
  }
  return { code: 'ERR_IO', message: errorMessage(error), hint: undefined };
}

async function main(data: IoWorkerData): Promise<void> {
  const port = parentPort!;
  nameThread('io');
  let worker: IoWorker;
  try {
    worker = await IoWorker.open(data, (message) => port.postMessage(message));
  } catch (error) {
    // A backend that cannot be opened here, such as a published port that is taken.
    port.postMessage({ type: 'failed', failure: failureOf(error) } satisfies IoMessage);
    process.exit(1);
  }
  port.on('message', ({ id, command }: IoRequest) => {
    worker
      .carryOut(command)
      .then(
        () => port.postMessage({ type: 'done', id } satisfies IoMessage),
        (error: unknown) => {
          port.postMessage({ type: 'done', id, failure: failureOf(error) } satisfies IoMessage);
        },
      )
      .finally(() => {
        if (command.type === 'stop') port.close();
      });
  });
  worker.start();
}

void main(workerData as IoWorkerData);
