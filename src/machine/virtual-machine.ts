/** The library's face of a VM: create, start, talk to it, wait for its end. */
import { EventEmitter } from 'node:events';
import type { Readable } from 'node:stream';
import type { AgentChannel } from '../agent/agent-channel.js';
import type { GuestAgent } from '../agent/guest-agent.js';
import { MachineRequest } from '../bus/device.js';
import type { NetEvent } from '../net/events.js';
import type { BlockStatistics } from '../devices/virtio/block/block-statistics.js';
import type { NetStatistics } from '../devices/virtio/net/net-state.js';
import { VexitError } from '../util/errors.js';
import type { VirtualMachineOptions } from './config.js';
import { AgentLink } from './agent-link.js';
import { AGENT_PORT_NAME } from './device-options.js';
import { EXIT_STATUS, type ExitReport } from './exit-report.js';
import { MachineInstance } from './instance.js';
import { PortStreams, type SerialStreams } from './port-streams.js';
import type { BalloonControl } from './virtio/balloon-control.js';
import type { ConsoleControl } from './virtio/console-control.js';
import type { NetworkControl } from './virtio/network-control.js';
import type { DiskControl } from './virtio/disk-control.js';
import { HostSides } from './virtio/host-sides.js';
import { prepareParts, type VmParts } from './vm-parts.js';
import type { VsockHost } from './vsock/vsock-host.js';

/** Where a VM is in its life. */
export type VmState = 'created' | 'running' | 'paused' | 'stopped';

/** Events of a {@link VirtualMachine}. */
export interface VirtualMachineEvents {
  /** The state has changed. */
  state: [VmState];
  /** The guest rebooted and starts again. */
  reboot: [];
  /** The VM has ended; its streams have ended too. */
  exit: [ExitReport];
  /** Something people should know, such as kernel parameters that this host needs. */
  note: [string];
  /** A network has seen a flow or a look-up, with what was decided; by interface, from 0. */
  network: [NetEvent, number];
}

/** What a VM has done since power-on. */
export interface VmStatistics {
  /** Of each vCPU, KVM's own counters: `exits`, `io_exits`, `mmio_exits`, `halt_exits`... */
  readonly vcpus: readonly Readonly<Record<string, number>>[];
  readonly disks: readonly BlockStatistics[];
  readonly networks: readonly NetStatistics[];
}

/** The serial port that the agent of the default guest takes when there is no port for it. */
const AGENT_SERIAL = 1;

/**
 * A virtual machine. Several may live in one process.
 *
 * ```ts
 * const vm = await VirtualMachine.create({ kernel: 'vmlinux', initrd: 'root.cpio' });
 * vm.serial.output.pipe(process.stdout);
 * await vm.start();
 * const { reason } = await vm.wait();
 * ```
 */
export class VirtualMachine extends EventEmitter<VirtualMachineEvents> {
  /** The four serial ports, COM1 to COM4. */
  readonly serials: readonly SerialStreams[];
  /** What the guest writes to port 0xe9. */
  readonly debugConsole: Readable;
  /** What firmware writes to port 0x402. */
  readonly firmwareLog: Readable;
  /** The streams and exit of the default guest's command. Undefined for other guests. */
  readonly command: AgentChannel | undefined;
  /** Programs, files and more in a guest that runs the agent, if the VM has virtio-vsock. */
  readonly agent: GuestAgent | undefined;
  /** The memory balloon, if the VM has one. */
  readonly balloon: BalloonControl | undefined;
  /** The ports of virtio-console, if the VM has one. */
  readonly virtioConsole: ConsoleControl | undefined;
  /** The disks, in the order of the options. */
  readonly disks: readonly DiskControl[];
  /** The network interfaces, in the order of the options. */
  readonly networks: readonly NetworkControl[];
  /** Streams to and from programs of the guest, if the VM has virtio-vsock. */
  readonly vsock: VsockHost | undefined;
  /** Notes given before anybody could listen. */
  readonly notes: readonly string[];

  private readonly ports: PortStreams;
  private readonly hostSides: HostSides;
  private instance: MachineInstance | undefined;
  private currentState: VmState = 'created';
  private report: ExitReport | undefined;
  private transition: Promise<void> = Promise.resolve();

  private constructor(private readonly parts: VmParts) {
    super();
    const { config, plan, channel, agentOf } = parts;
    this.notes = plan.notes;
    this.ports = new PortStreams(() => this.instance?.board);
    this.serials = this.ports.serials;
    this.debugConsole = this.ports.debugConsole;
    this.firmwareLog = this.ports.firmwareLog;
    this.hostSides = new HostSides(config.devices, {
      core: (slot) => this.instance?.board.virtio[slot],
      memory: config.memory,
      resizeDisk: async (slot, bytes) =>
        this.machineThatIs('running', 'resize a disk of').resizeDisk(slot, bytes),
      limitDisk: async (slot, limits) =>
        this.machineThatIs('running', 'limit a disk of').limitDisk(slot, limits),
      limitNetwork: async (slot, limits) =>
        this.machineThatIs('running', 'limit a network of').limitNetwork(slot, limits),
      running: () => this.state === 'running' || this.state === 'paused',
    });
    this.balloon = this.hostSides.balloon;
    this.virtioConsole = this.hostSides.console;
    this.disks = this.hostSides.disks;
    this.networks = this.hostSides.networks;
    this.vsock = this.hostSides.vsock;
    this.agent = this.vsock === undefined ? undefined : agentOf?.(this.vsock);
    if (channel !== undefined) this.command = this.connectCommand(channel);
  }

  private connectCommand(channel: typeof AgentChannel): AgentChannel {
    const port = this.virtioConsole?.port(AGENT_PORT_NAME);
    const serial = this.ports.serials[AGENT_SERIAL]!;
    const link = new AgentLink(port === undefined ? [serial] : [serial, port]);
    const command = new channel(
      (bytes) => link.offer(bytes),
      () => link.drain(),
    );
    link.connect(command);
    return command;
  }

  /**
   * Checks the options, loads the kernel and makes the machine; it does not run yet.
   * @throws VexitError; nothing is left behind
   */
  static async create(options: VirtualMachineOptions = {}): Promise<VirtualMachine> {
    const parts = await prepareParts(options);
    try {
      const vm = new VirtualMachine(parts);
      const { terminal } = options;
      if (terminal !== undefined) vm.virtioConsole?.resize(terminal.cols, terminal.rows);
      await vm.powerOn();
      return vm;
    } catch (error) {
      parts.devices.abandon();
      throw error;
    }
  }

  /** The guest's console: hvc0 where the VM has that, else the first serial port. */
  get console(): SerialStreams {
    return this.virtioConsole?.terminal ?? this.serial;
  }

  /** The first serial port. */
  get serial(): SerialStreams {
    return this.serials[0]!;
  }

  get name(): string {
    return this.parts.config.name;
  }

  get state(): VmState {
    return this.currentState;
  }

  /** How the VM ended; undefined while it has not. */
  get exitReport(): ExitReport | undefined {
    return this.report;
  }

  /** CLOCK_MONOTONIC nanoseconds of the first guest instruction since power-on; 0 before it. */
  get firstRunTime(): number {
    return this.instance?.firstRunTime ?? 0;
  }

  /**
   * What the VM has done since its last power-on. Costs the guest nothing until it is asked for.
   * @throws VexitError ERR_STATE after the end of the VM
   */
  statistics(): VmStatistics {
    if (this.instance === undefined) throw this.wrong('count what is done by');
    return {
      vcpus: this.instance.vcpuStatistics(),
      disks: this.disks.map(({ statistics }) => statistics),
      networks: this.hostSides.netStatistics(),
    };
  }

  private async powerOn(): Promise<MachineInstance> {
    const { config, plan, classes, devices } = this.parts;
    const { regions, deciders } = devices;
    const { host, load } = plan;
    const parts = { config, host, classes, regions, deciders, load };
    this.instance = await MachineInstance.create(parts, {
      onDoorbells: (bits) => this.ports.onDoorbells(bits),
      onDevices: (slots) => this.hostSides.onDoorbells(slots),
      onStopped: () => {
        this.ports.flush();
        this.hostSides.onStopped();
      },
      onRequest: (kind, report) => this.onRequest(kind, report),
      onLog: (message) => this.emit('note', message),
      onNetwork: (slot, event) => this.onNetwork(slot, event),
    });
    this.hostSides.onPowerOn();
    return this.instance;
  }

  private onNetwork(slot: number, event: NetEvent): void {
    const before = this.parts.config.devices.slice(0, slot);
    const index = before.filter(({ kind }) => kind === 'net').length;
    this.tell(() => this.emit('network', event, index));
  }

  private machineThatIs(state: VmState, action: string): MachineInstance {
    if (this.currentState !== state || this.instance === undefined) throw this.wrong(action);
    return this.instance;
  }

  /**
   * Lets the guest run.
   * @throws VexitError ERR_STATE unless the VM has just been created
   */
  start(): Promise<void> {
    return this.exclusive(() => {
      this.machineThatIs('created', 'start').start();
      this.setState('running');
      return Promise.resolve();
    });
  }

  /**
   * Stops the vCPUs between two instructions; devices keep their state.
   * @throws VexitError ERR_STATE unless the VM runs, and when its guest ends at the same moment
   */
  pause(): Promise<void> {
    return this.exclusive(async () => {
      if (!(await this.machineThatIs('running', 'pause').pause())) {
        throw new VexitError('ERR_STATE', 'cannot pause a VM whose guest is ending or rebooting');
      }
      this.ports.hasten();
      this.hostSides.onPaused();
      this.setState('paused');
    });
  }

  /** Lets a paused guest go on. */
  resume(): Promise<void> {
    return this.exclusive(() => {
      this.machineThatIs('paused', 'resume').resume();
      this.setState('running');
      return Promise.resolve();
    });
  }

  /**
   * Keeps the vCPUs from running until {@link letGo}, without waiting for them; devices go on, and the
   * state is what it was. For limits of processor time. Does nothing unless the guest runs; a guest that
   * reboots is let go.
   */
  hold(): void {
    if (this.currentState === 'running') this.instance?.hold();
  }

  /** Ends {@link hold}. A VM that was paused meanwhile stays so until it is resumed. */
  letGo(): void {
    this.instance?.letGo();
  }

  /** Presses the ACPI power button: a guest that listens shuts down by itself. */
  pressPowerButton(): void {
    if (this.currentState !== 'running') throw this.wrong('press the power button of');
    this.instance?.board.power.pressPowerButton();
  }

  /** Switches the VM off at once. Safe in every state, and more than once. */
  stop(): Promise<void> {
    return this.exclusive(async () => {
      await this.end({
        reason: 'stopped',
        status: EXIT_STATUS.interrupted,
        message: 'the VM was stopped',
      });
    });
  }

  /** Resolves when the VM has ended. */
  wait(): Promise<ExitReport> {
    if (this.report !== undefined) return Promise.resolve(this.report);
    return new Promise((resolve) => this.once('exit', resolve));
  }

  /** `await using vm = ...` stops the VM at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** One change of state at a time. */
  private exclusive<T>(change: () => Promise<T>): Promise<T> {
    const result = this.transition.then(change);
    this.transition = result.then(
      () => undefined,
      () => undefined,
    );
    // A promise of the caller's own: an error that nobody looks at is an unhandled rejection.
    return result.then((value) => value);
  }

  private wrong(action: string): VexitError {
    return new VexitError('ERR_STATE', `cannot ${action} a VM that is ${this.currentState}`);
  }

  private setState(state: VmState): void {
    this.currentState = state;
    this.tell(() => this.emit('state', state));
  }

  /** What a listener throws is the host program's: reported as uncaught, not the end of a change. */
  private tell(emit: () => void): void {
    try {
      emit();
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  private onRequest(kind: MachineRequest, report: ExitReport): void {
    void this.exclusive(async () => {
      if (this.report !== undefined) return;
      if (kind === MachineRequest.Reset && this.parts.config.onReboot === 'restart') {
        await this.restart();
      } else {
        await this.end(report);
      }
    });
  }

  private async restart(): Promise<void> {
    try {
      await this.instance?.dispose();
      this.instance = undefined;
      this.tell(() => this.emit('reboot'));
      (await this.powerOn()).start();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      await this.end({
        reason: 'internal-error',
        status: EXIT_STATUS.internalError,
        message: `the VM could not start again: ${message}`,
      });
    }
  }

  private async end(report: ExitReport): Promise<void> {
    if (this.report !== undefined) return;
    this.report = report;
    await this.instance?.dispose();
    this.instance = undefined;
    this.ports.end();
    this.command?.close();
    this.hostSides.end();
    this.parts.devices.close();
    this.setState('stopped');
    this.tell(() => this.emit('exit', report));
  }
}
