/**
 * The board: which devices the machine has, where they are on the buses, and their registers in
 * shared memory. It is planned once in the main thread and opened in every thread that runs
 * devices; opening gives objects over the same registers.
 */
import { MemoryBus, PortBus } from '../bus/address-map.js';
import type { InterruptLine } from '../bus/device.js';
import {
  RegisterBlock,
  RegisterFileBuilder,
  type RegisterBlockHandle,
} from '../bus/register-block.js';
import { ACPI_PM_PORTS, AcpiPm } from '../devices/legacy/acpi-pm.js';
import { DebugConsole } from '../devices/legacy/debug-console.js';
import { DebugExit } from '../devices/legacy/debug-exit.js';
import { SYSTEM_CONTROL_PORT_A, SystemControlPortA } from '../devices/legacy/system-control.js';
import { COMMAND_PORT, DATA_PORT, I8042 } from '../devices/legacy/i8042.js';
import { PostCode } from '../devices/legacy/post.js';
import { PvPanic } from '../devices/legacy/pvpanic.js';
import { ResetControl } from '../devices/legacy/reset.js';
import { initialiseCmos } from '../devices/legacy/rtc-registers.js';
import { RTC_PORT, RTC_PORTS, Rtc } from '../devices/legacy/rtc.js';
import { SerialHost } from '../devices/legacy/serial-host.js';
import { Serial } from '../devices/legacy/serial.js';
import { MMIO_WINDOW_BYTES, type VirtioDeviceCore } from '../devices/virtio/index.js';
import { native } from '../kvm/native.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import * as layout from '../memory/layout.js';
import { DoorbellBit, type ControlBlock } from '../vcpu/control-block.js';
import type { MachineConfig } from './config.js';
import { makeDevice, type DeviceClasses } from './virtio/make-device.js';
import { openSlot, planSlots, type VirtioSlot } from './virtio/slots.js';

/** Plain data from which any thread opens the board. */
export interface BoardDescriptor {
  readonly vmFd: number;
  readonly registers: SharedArrayBuffer;
  readonly blocks: Readonly<Record<string, RegisterBlockHandle>>;
  readonly debugExit: boolean;
  readonly virtio: readonly VirtioSlot[];
}

/** What a thread brings along to open a board. */
export interface BoardSurroundings {
  readonly control: ControlBlock;
  readonly memory: GuestMemory;
  readonly classes: DeviceClasses;
  readonly log: (line: string) => void;
  /** Whether this thread has timers; vCPU threads have not. */
  readonly timers: boolean;
}

/** The board as one thread sees it. */
export interface Board {
  readonly ports: PortBus;
  readonly mmio: MemoryBus;
  /** Host side of COM1 to COM4. */
  readonly serials: readonly SerialHost[];
  readonly debugConsole: DebugConsole;
  readonly firmwareLog: DebugConsole;
  readonly power: AcpiPm;
  readonly rtc: Rtc;
  /** By slot. */
  readonly virtio: readonly VirtioDeviceCore[];
}

const KEYBOARD_IRQ = 1;

/** Names of the register blocks and their sizes. */
const BLOCKS: Readonly<Record<string, number>> = {
  serial0: Serial.REGISTER_BYTES,
  serial1: Serial.REGISTER_BYTES,
  serial2: Serial.REGISTER_BYTES,
  serial3: Serial.REGISTER_BYTES,
  rtc: Rtc.REGISTER_BYTES,
  i8042: I8042.REGISTER_BYTES,
  systemControl: SystemControlPortA.REGISTER_BYTES,
  post: PostCode.REGISTER_BYTES,
  debugConsole: DebugConsole.REGISTER_BYTES,
  firmwareLog: DebugConsole.REGISTER_BYTES,
  reset: ResetControl.REGISTER_BYTES,
  pvpanic: PvPanic.REGISTER_BYTES,
  power: AcpiPm.REGISTER_BYTES,
};

/** A GSI of the in-kernel interrupt controllers. Devices call it on changes only. */
class GsiLine implements InterruptLine {
  private readonly drive = native().irqLine;

  constructor(
    private readonly vmFd: number,
    private readonly gsi: number,
  ) {}

  set(level: boolean): void {
    this.drive(this.vmFd, this.gsi, level ? 1 : 0);
  }
}

const wallClock = { now: (): number => Date.now() };
const monotonicClock = { nanoseconds: (): number => Number(process.hrtime.bigint()) };

const NO_DOORBELL = { ring: (): void => undefined };

/** Lays the devices' registers out in fresh shared memory. */
export function planBoard(
  config: MachineConfig,
  vmFd: number,
  classes: DeviceClasses,
): BoardDescriptor {
  const builder = new RegisterFileBuilder();
  const blocks = Object.fromEntries(
    Object.entries(BLOCKS).map(([name, length]) => [name, builder.allocate(name, length)]),
  );
  const devices = config.devices.map((spec) => ({
    spec,
    device: makeDevice(spec, classes, { hostDoorbell: NO_DOORBELL }),
  }));
  const virtio = planSlots(builder, devices);
  const registers = builder.build();
  const [low, high] = layout.memoryRegions(config.memory);
  initialiseCmos(new RegisterBlock(registers, blocks.rtc!), {
    memoryBelow4G: low!.size,
    memoryAbove4G: high?.size ?? 0,
    cpus: config.cpus,
  });
  return { vmFd, registers, blocks, debugExit: config.debugExit, virtio };
}

/** Makes this thread's device objects and puts them on the buses. */
export function openBoard(descriptor: BoardDescriptor, surroundings: BoardSurroundings): Board {
  const { control } = surroundings;
  const { vmFd, registers, blocks } = descriptor;
  const block = (name: string): RegisterBlock => new RegisterBlock(registers, blocks[name]!);
  const line = (gsi: number): InterruptLine => new GsiLine(vmFd, gsi);
  const ports = new PortBus();

  const serials = layout.SERIAL_PORTS.map((base, i) => {
    const registersOf = block(`serial${i}`);
    const irq = line(layout.SERIAL_IRQS[i]!);
    const space = control.doorbell(DoorbellBit.SerialSpace0 + i);
    const output = control.doorbell(DoorbellBit.Serial0 + i);
    ports.add(base, 8, new Serial(registersOf, irq, output, space), 1);
    return new SerialHost(registersOf, irq, space);
  });

  const keyboard = new I8042(block('i8042'), control, line(KEYBOARD_IRQ));
  ports.add(DATA_PORT, 1, keyboard.data, 1);
  ports.add(COMMAND_PORT, 1, keyboard.command, 1);
  ports.add(SYSTEM_CONTROL_PORT_A, 1, new SystemControlPortA(block('systemControl'), control), 1);
  ports.add(layout.POST_PORT, 1, new PostCode(block('post')), 1);
  const alarm = control.doorbell(DoorbellBit.Alarm);
  const rtc = new Rtc(block('rtc'), line(layout.RTC_IRQ), wallClock, alarm);
  ports.add(RTC_PORT, RTC_PORTS, rtc, 1);

  const debugConsole = new DebugConsole(
    block('debugConsole'),
    control.doorbell(DoorbellBit.DebugConsole),
  );
  const firmwareLog = new DebugConsole(
    block('firmwareLog'),
    control.doorbell(DoorbellBit.FirmwareLog),
  );
  ports.add(layout.DEBUG_CONSOLE_PORT, 1, debugConsole, 1);
  ports.add(layout.FIRMWARE_LOG_PORT, 1, firmwareLog, 1);
  ports.add(layout.RESET_PORT, 1, new ResetControl(block('reset'), control), 1);
  ports.add(layout.PVPANIC_PORT, 1, new PvPanic(block('pvpanic'), control), 1);
  if (descriptor.debugExit) ports.add(layout.DEBUG_EXIT_PORT, 1, new DebugExit(control), 1);

  const sci = line(layout.ACPI_SCI_IRQ);
  const power = new AcpiPm(block('power'), sci, control, monotonicClock);
  ports.add(layout.ACPI_PM1_EVENT_PORT, ACPI_PM_PORTS, power, 4);

  const mmio = new MemoryBus();
  const virtio = openVirtio(descriptor, surroundings, mmio);
  return { ports, mmio, serials, debugConsole, firmwareLog, power, rtc, virtio };
}

function openVirtio(
  { registers, virtio }: BoardDescriptor,
  surroundings: BoardSurroundings,
  mmio: MemoryBus,
): VirtioDeviceCore[] {
  const { control, classes } = surroundings;
  return virtio.map((slot, i) => {
    const hostDoorbell = { ring: (): void => control.ringDevice(i) };
    const device = makeDevice(slot.spec, classes, { hostDoorbell });
    const { core, transport } = openSlot(slot, device, { ...surroundings, buffer: registers });
    mmio.add(slot.address, MMIO_WINDOW_BYTES, transport, 4);
    return core;
  });
}
