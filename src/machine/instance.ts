/**
 * One power-on of the machine: KVM's VM, guest memory, devices and vCPU workers. A guest's reboot
 * disposes the instance and makes a new one, so nothing survives by accident.
 */
import { closeSync } from 'node:fs';
import type { BootResult } from '../boot/boot-result.js';
import { MachineRequest } from '../bus/device.js';
import type { CpuidMask } from '../kvm/cpuid.js';
import { Kvm, type VmFd } from '../kvm/kvm.js';
import type { DiskRateLimits } from '../devices/virtio/block/block-options.js';
import type { NetLimitOptions } from '../devices/virtio/net/net-limits.js';
import { constant, native, type WatchHandle } from '../kvm/native.js';
import { GuestMemory } from '../memory/guest-memory.js';
import * as layout from '../memory/layout.js';
import type { NetEvent } from '../net/events.js';
import { VexitError } from '../util/errors.js';
import { ControlBlock, DoorbellBit } from '../vcpu/control-block.js';
import { enablePvmMsrExits } from '../vcpu/pvm/index.js';
import { AlarmClock } from './alarm-clock.js';
import { openBoard, planBoard, type Board, type BoardDescriptor } from './board.js';
import type { MachineConfig } from './config.js';
import { reportRequest, type ExitReport } from './exit-report.js';
import type { MappedRegion } from './open-devices.js';
import { Vcpus } from './vcpus.js';
import { IoThreads, type Deciders } from './virtio/io-threads.js';
import type { DeviceClasses } from './virtio/make-device.js';
import { connectInterrupts, connectKicks, slotFds } from './virtio/slots.js';

/** Puts a kernel into memory; called once per power-on. */
export type BootLoader = (memory: GuestMemory) => Promise<BootResult>;

/** What the instance tells its owner. */
export interface InstanceEvents {
  /** Devices have something for the host: a set of {@link DoorbellBit}s. */
  readonly onDoorbells: (bits: number) => void;
  /** Virtio devices have something for the host: a set of slots. */
  readonly onDevices: (slots: number) => void;
  /** The guest ended this power-on. All vCPUs are stopping. */
  readonly onRequest: (kind: MachineRequest, report: ExitReport) => void;
  /** No vCPU runs any more: the last chance to take what the devices hold. */
  readonly onStopped: () => void;
  /** A line for the log, from a worker. */
  readonly onLog: (message: string) => void;
  /** A network has seen something; by slot. */
  readonly onNetwork: (slot: number, event: NetEvent) => void;
}

/** How the host differs from plain VT-x or AMD-V. */
export interface HostAdjustments {
  readonly pvm: boolean;
  readonly cpuMasks: readonly CpuidMask[];
}

/** What a machine is made of; the same for every power-on of a VM. */
export interface MachineParts {
  readonly config: MachineConfig;
  readonly host: HostAdjustments;
  readonly classes: DeviceClasses;
  /** Mapped beside RAM. */
  readonly regions: readonly MappedRegion[];
  readonly deciders: Deciders;
  readonly load: BootLoader;
}

/** Every doorbell, or every slot. */
const ALL_BITS = -1;

/** A machine that is on. */
export class MachineInstance {
  readonly board: Board;
  private readonly control: ControlBlock;
  private readonly vcpus: Vcpus;
  private ioThreads: IoThreads | undefined;
  private readonly romIds: number[] = [];
  private readonly watch: WatchHandle;
  private readonly alarm: AlarmClock;
  private dump: { message: string; text: string } | undefined;
  private ended = false;

  private constructor(
    private readonly config: MachineConfig,
    private readonly host: HostAdjustments,
    private readonly events: InstanceEvents,
    private readonly kvm: Kvm,
    private readonly vm: VmFd,
    readonly memory: GuestMemory,
    private readonly hostEvent: number,
    private readonly boardDescriptor: BoardDescriptor,
    classes: DeviceClasses,
    private readonly deciders: Deciders,
  ) {
    this.control = ControlBlock.create(hostEvent);
    this.board = openBoard(boardDescriptor, {
      control: this.control,
      memory,
      classes,
      log: (message) => this.events.onLog(message),
      timers: true,
    });
    this.vcpus = new Vcpus(this.control, {
      onLog: (message) => this.events.onLog(message),
      onDump: (message, text) => (this.dump ??= { message, text }),
      onFailure: (message) => this.fail(message),
    });
    this.alarm = new AlarmClock(this.board.rtc);
    this.watch = native().watchReadable(hostEvent, () => this.onHostEvent());
  }

  /**
   * Makes a machine, ready to start.
   * @throws VexitError with nothing left behind
   */
  static async create(parts: MachineParts, events: InstanceEvents): Promise<MachineInstance> {
    const { config, host, classes, regions, deciders, load } = parts;
    const undo: (() => void)[] = [];
    try {
      const kvm = Kvm.open(config.kvmDevice);
      undo.push(() => kvm.close());
      const limit = kvm.capability('KVM_CAP_MAX_VCPUS');
      if (config.cpus > limit) {
        throw new VexitError('ERR_CONFIG', `this host's KVM allows ${limit} vCPUs in a VM`);
      }
      const vm = kvm.createVm();
      undo.push(() => vm.close());
      if (host.pvm) enablePvmMsrExits(vm.fd);
      const memory = GuestMemory.create(
        `vexit-${config.name}`,
        layout.memoryRegions(config.memory),
      );
      undo.push(() => memory.close());
      // KVM waits for the readers of its tables (SRCU) at every change. Memory slots first: after
      // the changes that the irqchip and the PIT make they take 4 to 8 ms instead of 0.05 ms.
      vm.mapMemory(memory);
      for (const { address, memoryId, size, readOnly } of regions) {
        vm.mapSlot(address, memoryId, 0, size, readOnly ? constant('KVM_MEM_READONLY') : 0);
      }
      const descriptor = planBoard(config, vm.fd, classes);
      undo.push(() => slotFds(descriptor.virtio).forEach((fd) => closeSync(fd)));
      connectKicks(vm, descriptor.virtio);
      vm.createIrqchip(layout.KVM_TSS_ADDRESS, layout.KVM_IDENTITY_MAP_ADDRESS);
      connectInterrupts(vm, descriptor.virtio);
      const hostEvent = native().eventfdCreate();
      const machine = new MachineInstance(
        ...([config, host, events, kvm, vm, memory, hostEvent, descriptor] as const),
        classes,
        deciders,
      );
      undo.length = 0;
      undo.push(() => machine.release());
      const boot = await load(memory);
      if (boot.rom !== undefined) machine.mapRom(boot.rom);
      machine.createVcpus(boot);
      return machine;
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
  }

  private mapRom(rom: Uint8Array): void {
    const { id } = native().memoryCreate('vexit-rom', rom.length);
    this.romIds.push(id);
    new Uint8Array(native().memoryWrap(id, 0, rom.length)).set(rom);
    const at = layout.MMIO_HOLE_END - rom.length;
    this.vm.mapSlot(at, id, 0, rom.length, constant('KVM_MEM_READONLY'));
  }

  private createVcpus(boot: BootResult): void {
    const { config, host } = this;
    const masks = [...config.cpuMasks, ...host.cpuMasks];
    const options = { count: config.cpus, masks, pvm: host.pvm };
    this.vcpus.create(this.kvm, this.vm, options, boot.cpu);
  }

  /** Lets the vCPUs run. */
  start(): void {
    const memory = this.memory.descriptor;
    const control = this.control.descriptor;
    this.vcpus.start({ memory, control, board: this.boardDescriptor });
    this.startIoThreads();
    this.lookAtDevices();
  }

  /** Registers that were put into the machine before its start may hold what nobody rings for again. */
  private lookAtDevices(): void {
    this.alarm.rearm();
    this.events.onDevices(ALL_BITS);
    this.events.onDoorbells(ALL_BITS);
  }

  private startIoThreads(): void {
    const { registers, virtio: slots } = this.boardDescriptor;
    if (slots.length === 0) return;
    const data = {
      memory: this.memory.descriptor,
      control: this.control.descriptor,
      registers,
      slots,
    };
    this.ioThreads = new IoThreads(data, this.config.ioThreads, this.deciders, {
      onLog: (message) => this.events.onLog(message),
      onNetwork: (slot, event) => this.events.onNetwork(slot, event),
      onFailure: (message) => this.fail(message),
    });
  }

  /** A worker has failed: the first failure is the one that is reported. */
  private fail(message: string): void {
    this.dump ??= { message, text: '' };
    this.control.request(MachineRequest.Fatal);
  }

  private onHostEvent(): void {
    native().eventfdDrain(this.hostEvent);
    const bits = this.control.takeDoorbells();
    if ((bits & (1 << DoorbellBit.Parked)) !== 0) this.vcpus.onParked();
    if ((bits & (1 << DoorbellBit.Alarm)) !== 0) this.alarm.rearm();
    if ((bits & (1 << DoorbellBit.Devices)) !== 0) {
      this.events.onDevices(this.control.takeDeviceDoorbells());
    }
    this.events.onDoorbells(bits);
    if ((bits & (1 << DoorbellBit.Request)) !== 0) void this.finish();
  }

  /** The guest asked for an end: stop the other vCPUs, then report with the dump, if any. */
  private async finish(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    await this.stopWorkers();
    const { kind, data } = this.control.pendingRequest;
    const report = reportRequest(kind, data, this.dump?.text);
    const message = kind === MachineRequest.Fatal ? this.dump?.message : undefined;
    this.events.onRequest(kind, message === undefined ? report : { ...report, message });
  }

  private async stopWorkers(): Promise<void> {
    await this.vcpus.stop();
    await this.ioThreads?.stop();
    this.ioThreads = undefined;
  }

  /**
   * Stops every vCPU between two instructions; resolves when all are parked.
   * @returns false when the guest has ended this power-on at the same moment
   */
  async pause(): Promise<boolean> {
    if (!(await this.vcpus.pause())) return false;
    await this.ioThreads?.pause();
    return !this.ended;
  }

  /**
   * Keeps the vCPUs from running, without waiting for them, while devices go on: for a limit of
   * processor time. Does nothing to a machine that is paused or held.
   */
  hold(): void {
    this.vcpus.hold();
  }

  /** Lets vCPUs go on that are held; does nothing to a machine that has been paused since. */
  letGo(): void {
    this.vcpus.letGo();
  }

  /** Lets paused vCPUs go on. */
  resume(): void {
    void this.ioThreads?.resume();
    this.vcpus.resume();
  }

  /** Gives an interface other limits; see {@link IoThreads.limitNetwork}. */
  async limitNetwork(slot: number, limits: NetLimitOptions): Promise<void> {
    await this.ioThreads?.limitNetwork(slot, limits);
  }

  /** Gives a disk other limits; see {@link IoThreads.limitDisk}. */
  async limitDisk(slot: number, limits: DiskRateLimits): Promise<void> {
    await this.ioThreads?.limitDisk(slot, limits);
  }

  /** Gives a disk another size; see {@link IoThreads.resizeDisk}. */
  async resizeDisk(slot: number, bytes: number): Promise<void> {
    await this.ioThreads?.resizeDisk(slot, bytes);
  }

  /** CLOCK_MONOTONIC nanoseconds at which the first vCPU entered the guest; 0 before it. */
  get firstRunTime(): number {
    return this.vcpus.firstRunTime;
  }

  /** KVM's counters of each vCPU. */
  vcpuStatistics(): Readonly<Record<string, number>>[] {
    return this.vcpus.statistics();
  }

  /** Switches the machine off and gives everything back. */
  async dispose(): Promise<void> {
    this.ended = true;
    await this.stopWorkers();
    this.events.onStopped();
    this.release();
  }

  private release(): void {
    this.alarm.stop();
    native().unwatch(this.watch);
    this.vcpus.close();
    this.vm.close();
    this.kvm.close();
    this.memory.close();
    for (const id of this.romIds.splice(0)) native().memoryRelease(id);
    for (const fd of [this.hostEvent, ...slotFds(this.boardDescriptor.virtio)]) closeSync(fd);
  }
}
