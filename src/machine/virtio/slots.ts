/**
 * Where virtio devices are: window, interrupt, kicks. A slot is planned once in the main thread and
 * opened in every thread that runs the device.
 *
 * The guest's kick of a queue is an ioeventfd for the value it writes to QueueNotify, and the
 * device's interrupt an irqfd, so that neither leaves the kernel on a vCPU's thread.
 */
import type { RegisterFileBuilder } from '../../bus/register-block.js';
import type { VirtioMmioRange } from '../../boot/acpi/index.js';
import {
  MMIO_WINDOW_BYTES,
  MmioTransport,
  SiteLog,
  VirtioDeviceCore,
  VirtioRegisters,
  planVirtioRegisters,
  type CoreOptions,
  type VirtioRegisterPlan,
} from '../../devices/virtio/index.js';
import type { VirtioDevice } from '../../devices/virtio/device.js';
import { MmioRegister } from '../../devices/virtio/mmio-registers.js';
import type { VmFd } from '../../kvm/kvm.js';
import { native } from '../../kvm/native.js';
import type { GuestMemory } from '../../memory/guest-memory.js';
import * as layout from '../../memory/layout.js';
import type { DeviceSpec } from './device-spec.js';

/** A planned device; plain data. */
export interface VirtioSlot {
  readonly spec: DeviceSpec;
  readonly registers: VirtioRegisterPlan;
  readonly address: number;
  readonly gsi: number;
  /** eventfd that raises the interrupt. */
  readonly interruptFd: number;
  /** For each queue the eventfd that its kicks are counted in. */
  readonly kickFds: readonly number[];
  /** Queues that one thread serves, for each group of the device. */
  readonly groups: readonly (readonly number[])[];
}

/** Most devices there can be: each has an interrupt of its own. */
export const VIRTIO_SLOTS = layout.VIRTIO_MMIO_GSIS.length;

/** Windows and interrupts of so many devices, for the guest's tables. */
export function virtioRanges(count: number): VirtioMmioRange[] {
  return Array.from({ length: count }, (_, i) => ({
    address: layout.VIRTIO_MMIO_BASE + i * layout.VIRTIO_MMIO_STRIDE,
    size: MMIO_WINDOW_BYTES,
    gsi: layout.VIRTIO_MMIO_GSIS[i]!,
  }));
}

/** Plans the devices: registers, and eventfds that their owner closes, see {@link slotFds}. */
export function planSlots(
  builder: RegisterFileBuilder,
  devices: readonly { readonly spec: DeviceSpec; readonly device: VirtioDevice }[],
): VirtioSlot[] {
  const ranges = virtioRanges(devices.length);
  return devices.map(({ spec, device }, i) => ({
    spec,
    registers: planVirtioRegisters(builder, `virtio${i}`, device),
    address: ranges[i]!.address,
    gsi: ranges[i]!.gsi,
    interruptFd: native().eventfdCreate(),
    kickFds: device.queueSizes.map(() => native().eventfdCreate()),
    groups: queueGroups(device),
  }));
}

function queueGroups({ queueSizes, queueGroups: numbers }: VirtioDevice): number[][] {
  const groups = new Map<number, number[]>();
  queueSizes.forEach((_, queue) => {
    const number = numbers?.[queue] ?? 0;
    groups.set(number, [...(groups.get(number) ?? []), queue]);
  });
  return [...groups.values()];
}

/**
 * Has KVM count the guest's kicks. Before the interrupt controllers are made: they are on the same
 * bus lists, whose changes take milliseconds from then on.
 */
export function connectKicks(vm: VmFd, slots: readonly VirtioSlot[]): void {
  for (const { address, kickFds } of slots) {
    kickFds.forEach((fd, queue) => {
      vm.addIoeventfd(address + MmioRegister.QueueNotify, 4, queue, fd);
    });
  }
}

/** Has KVM raise the devices' interrupts; after the interrupt controllers have been made. */
export function connectInterrupts(vm: VmFd, slots: readonly VirtioSlot[]): void {
  for (const { gsi, interruptFd } of slots) vm.addIrqfd(interruptFd, gsi);
}

/** What {@link openSlot} needs of its thread. */
export interface SlotSurroundings {
  readonly buffer: SharedArrayBuffer;
  readonly memory: GuestMemory;
  readonly log: (line: string) => void;
  /** Whether this thread has timers, so that queues can be served later; vCPU threads have not. */
  readonly timers: boolean;
}

/** A device and the window that it is behind, as one thread sees them. */
export interface OpenSlot {
  readonly core: VirtioDeviceCore;
  readonly transport: MmioTransport;
}

/** Opens a slot in this thread. Queues are served by whoever watches the slot's kicks. */
export function openSlot(
  slot: VirtioSlot,
  device: VirtioDevice,
  surroundings: SlotSurroundings,
): OpenSlot {
  const { eventfdSignal } = native();
  const kick = (queue: number): void => eventfdSignal(slot.kickFds[queue]!);
  const options: CoreOptions = {
    log: new SiteLog(surroundings.log),
    kick,
    ...(surroundings.timers ? {} : { processLater: kick }),
  };
  const registers = VirtioRegisters.open(surroundings.buffer, slot.registers, device);
  const core = new VirtioDeviceCore(device, registers, surroundings.memory, options);
  const edge = { ring: () => eventfdSignal(slot.interruptFd) };
  return { core, transport: new MmioTransport(core, { edge }) };
}

/** The eventfds of slots, for their owner to close. */
export function slotFds(slots: readonly VirtioSlot[]): number[] {
  return slots.flatMap(({ interruptFd, kickFds }) => [interruptFd, ...kickFds]);
}
