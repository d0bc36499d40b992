/**
 * The words that vCPU workers and the main thread share: the state all vCPUs follow, the guest's
 * request, and which doorbells have rung.
 */
import type { Doorbell, MachineControl } from '../bus/device.js';
import { MachineRequest } from '../bus/device.js';
import { native } from '../kvm/native.js';

/** What the vCPUs are to do. */
export enum RunState {
  Running,
  /** Park after the current exit, with the exit's result delivered to KVM. */
  Paused,
  /** Leave the loop for good. */
  Stopped,
}

enum Word {
  State,
  Request,
  RequestData,
  RequestVcpu,
  Doorbells,
  Parked,
  DeviceDoorbells,
  Count,
}

/** Doorbell bits: which part of the host side has something to fetch. */
export enum DoorbellBit {
  Request,
  Serial0,
  Serial1,
  Serial2,
  Serial3,
  SerialSpace0,
  SerialSpace1,
  SerialSpace2,
  SerialSpace3,
  DebugConsole,
  FirmwareLog,
  Alarm,
  Parked,
  /** A virtio device: which one is in a word of its own. */
  Devices,
}

/** Plain data that makes a {@link ControlBlock} in another thread. */
export interface ControlDescriptor {
  readonly buffer: SharedArrayBuffer;
  /** eventfd that wakes the main thread. */
  readonly hostEvent: number;
}

/** Shared control words of one machine. */
export class ControlBlock implements MachineControl {
  readonly words: Int32Array<SharedArrayBuffer>;

  constructor(
    readonly descriptor: ControlDescriptor,
    private readonly vcpuIndex = 0,
  ) {
    this.words = new Int32Array(descriptor.buffer);
  }

  static create(hostEvent: number): ControlBlock {
    return new ControlBlock({ buffer: new SharedArrayBuffer(Word.Count * 4), hostEvent });
  }

  get state(): RunState {
    return Atomics.load(this.words, Word.State);
  }

  /** Changes the state and wakes parked vCPUs; the caller kicks those that run. */
  setState(state: RunState): void {
    Atomics.store(this.words, Word.State, state);
    Atomics.notify(this.words, Word.State);
  }

  /**
   * Changes the state unless it is no longer `from`: a stop is never undone.
   * @returns whether the state was changed
   */
  changeState(from: RunState, to: RunState): boolean {
    if (Atomics.compareExchange(this.words, Word.State, from, to) !== (from as number))
      return false;
    Atomics.notify(this.words, Word.State);
    return true;
  }

  /** Blocks while the state is Paused; the main thread is told once. */
  park(): void {
    Atomics.add(this.words, Word.Parked, 1);
    this.ring(DoorbellBit.Parked);
    while (this.state === RunState.Paused) Atomics.wait(this.words, Word.State, RunState.Paused);
    Atomics.sub(this.words, Word.Parked, 1);
  }

  /** How many vCPUs are parked. */
  get parked(): number {
    return Atomics.load(this.words, Word.Parked);
  }

  /** The first request stops every vCPU at its next exit; later ones are dropped. */
  request(kind: MachineRequest, data = 0): void {
    const { words } = this;
    if (Atomics.compareExchange(words, Word.Request, MachineRequest.None, kind) !== 0) return;
    Atomics.store(words, Word.RequestData, data);
    Atomics.store(words, Word.RequestVcpu, this.vcpuIndex);
    this.setState(RunState.Stopped);
    this.ring(DoorbellBit.Request);
  }

  /** The pending request, for the main thread. */
  get pendingRequest(): { kind: MachineRequest; data: number; vcpu: number } {
    return {
      kind: Atomics.load(this.words, Word.Request),
      data: Atomics.load(this.words, Word.RequestData),
      vcpu: Atomics.load(this.words, Word.RequestVcpu),
    };
  }

  /** Wakes the main thread unless it has been woken and has not looked yet. */
  ring(bit: DoorbellBit): void {
    const before = Atomics.or(this.words, Word.Doorbells, 1 << bit);
    if (before === 0) native().eventfdSignal(this.descriptor.hostEvent);
  }

  /** Wakes the main thread for a virtio device, by its slot. */
  ringDevice(slot: number): void {
    const before = Atomics.or(this.words, Word.DeviceDoorbells, 1 << slot);
    if (before === 0) this.ring(DoorbellBit.Devices);
  }

  /** The slots whose devices have rung since the last call, as a bit set. */
  takeDeviceDoorbells(): number {
    return Atomics.exchange(this.words, Word.DeviceDoorbells, 0);
  }

  /** A doorbell for one device. */
  doorbell(bit: DoorbellBit): Doorbell {
    return { ring: () => this.ring(bit) };
  }

  /** The doorbells rung since the last call, as a bit set. */
  takeDoorbells(): number {
    return Atomics.exchange(this.words, Word.Doorbells, 0);
  }
}
