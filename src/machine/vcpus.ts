/** The vCPUs of a machine, each with a worker that runs it, as the main thread steers them. */
import path from 'node:path';
import { SHARE_ENV, Worker } from 'node:worker_threads';
import type { BootResult } from '../boot/boot-result.js';
import { cpuidForVcpu, supportedCpuid, type CpuidMask } from '../kvm/cpuid.js';
import type { Kvm, VmFd } from '../kvm/kvm.js';
import { constant, native, packageRoot } from '../kvm/native.js';
import { VcpuFd } from '../kvm/vcpu-fd.js';
import { errorMessage } from '../util/errors.js';
import { RunState, type ControlBlock } from '../vcpu/control-block.js';
import { xsaveComponents, type XsaveComponent } from '../vcpu/pvm/index.js';
import { setUpBootProcessor, setUpVcpu } from '../vcpu/setup.js';
import type { VcpuMessage, VcpuWorkerData } from './worker-data.js';

/** What the owner hears. */
export interface VcpuEvents {
  readonly onLog: (message: string) => void;
  /** A vCPU cannot go on, and has asked for the end of the machine itself. */
  readonly onDump: (message: string, dump: string) => void;
  /** A worker has ended by itself, which is a defect: the machine cannot go on. */
  readonly onFailure: (message: string) => void;
}

/** How the vCPUs are made. */
export interface VcpuOptions {
  readonly count: number;
  /** Features that the guest is not to see. */
  readonly masks: readonly CpuidMask[];
  /** Whether kvm-pvm is the host's KVM. */
  readonly pvm: boolean;
}

/** Time a worker has to leave its loop after a kick; it needs well under a millisecond. */
const STOP_TIMEOUT_MS = 10_000;

let exitHookInstalled = false;

/** process.exit and uncaught exceptions wait for threads in KVM_RUN: kick them out first. */
function installExitHook(): void {
  if (exitHookInstalled) return;
  exitHookInstalled = true;
  process.on('exit', () => native().vcpuStopAll());
}

/** All vCPUs of one machine. */
export class Vcpus {
  private readonly fds: VcpuFd[] = [];
  private readonly workers: Worker[] = [];
  private readonly workerExits: Promise<void>[] = [];
  private pvmXsave: readonly XsaveComponent[] | undefined;
  private waitingForPark: (() => void)[] = [];
  private stopping = false;
  private held = false;

  constructor(
    private readonly control: ControlBlock,
    private readonly events: VcpuEvents,
  ) {
    installExitHook();
  }

  /** Makes the vCPUs; the boot processor is ready to run, the others wait for INIT and SIPI. */
  create(kvm: Kvm, vm: VmFd, { count, masks, pvm }: VcpuOptions, boot: BootResult['cpu']): void {
    const supported = supportedCpuid(kvm.fd);
    if (pvm) this.pvmXsave = xsaveComponents(supported, constant('sizeof_kvm_xsave'));
    const tscDeadline = kvm.capability('KVM_CAP_TSC_DEADLINE_TIMER') !== 0;
    for (let index = 0; index < count; index++) {
      const vcpu = new VcpuFd(vm.createVcpu(index));
      this.fds.push(vcpu);
      vcpu.openStatistics();
      setUpVcpu(vcpu, cpuidForVcpu(supported, index, count, masks, tscDeadline));
    }
    setUpBootProcessor(this.fds[0]!, boot);
  }

  /** Lets them run. The first one starts at once, its worker takes over at the first exit. */
  start(data: Omit<VcpuWorkerData, 'vcpuId' | 'index' | 'pvm'>): void {
    native().vcpuHeadStart(this.fds[0]!.id);
    this.fds.forEach((vcpu, index) =>
      this.startWorker({ ...data, vcpuId: vcpu.id, index, pvm: this.pvmXsave }),
    );
  }

  private startWorker(data: VcpuWorkerData): void {
    const { index } = data;
    const worker = new Worker(path.join(packageRoot(), 'dist', 'vcpu-worker.js'), {
      workerData: data,
      name: `vcpu${index}`,
      env: SHARE_ENV,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64, stackSizeMb: 1 },
    });
    this.workers.push(worker);
    this.workerExits.push(
      new Promise((resolve) => {
        worker.once('exit', () => {
          if (this.control.state !== RunState.Stopped) {
            this.events.onFailure(`vcpu ${index}: its thread has ended`);
          }
          resolve();
        });
      }),
    );
    worker.on('message', (message: VcpuMessage) => {
      if (message.type === 'log') this.events.onLog(message.message);
      else this.events.onDump(message.message, message.dump);
    });
    worker.on('error', (error) => {
      this.events.onFailure(`vcpu ${index}: ${errorMessage(error)}`);
    });
  }

  /**
   * Stops every vCPU between two instructions; resolves when all are parked.
   * @returns false when they are being stopped for good
   */
  async pause(): Promise<boolean> {
    if (!this.held && !this.changeToPaused()) return false;
    this.held = false;
    await new Promise<void>((resolve) => {
      const check = (): void => {
        const done = this.control.parked === this.fds.length || this.stopping;
        if (!done) return;
        this.waitingForPark = this.waitingForPark.filter((other) => other !== check);
        resolve();
      };
      this.waitingForPark.push(check);
      check();
    });
    return !this.stopping;
  }

  /** A vCPU has rung because it is parked. */
  onParked(): void {
    for (const check of this.waitingForPark.slice()) check();
  }

  private changeToPaused(): boolean {
    if (!this.control.changeState(RunState.Running, RunState.Paused)) return false;
    for (const vcpu of this.fds) vcpu.kick();
    return true;
  }

  /** Lets paused vCPUs go on. */
  resume(): void {
    this.control.changeState(RunState.Paused, RunState.Running);
  }

  /** Keeps them from running, without waiting for them. Does nothing while they are paused or held. */
  hold(): void {
    if (this.changeToPaused()) this.held = true;
  }

  /** Lets vCPUs go on that are held; does nothing when they have been paused since. */
  letGo(): void {
    if (!this.held) return;
    this.held = false;
    this.resume();
  }

  /** Stops them for good; resolves when their workers have ended. Safe to call twice. */
  async stop(): Promise<void> {
    this.stopping = true;
    // Whoever waits for them to park would wait for ever.
    this.onParked();
    this.control.setState(RunState.Stopped);
    for (const vcpu of this.fds) vcpu.stop();
    const timer = setTimeout(() => {
      for (const worker of this.workers) void worker.terminate();
    }, STOP_TIMEOUT_MS);
    await Promise.all(this.workerExits);
    clearTimeout(timer);
  }

  /** CLOCK_MONOTONIC nanoseconds at which the first one entered the guest; 0 before it. */
  get firstRunTime(): number {
    return native().vcpuFirstRun(this.fds[0]!.id);
  }

  /** KVM's counters of each. */
  statistics(): Readonly<Record<string, number>>[] {
    return this.fds.map((vcpu) => vcpu.statistics());
  }

  /** Gives them back to KVM; no worker runs them any more. */
  close(): void {
    for (const vcpu of this.fds.splice(0)) {
      vcpu.detach();
      native().vcpuClose(vcpu.id);
    }
  }
}
