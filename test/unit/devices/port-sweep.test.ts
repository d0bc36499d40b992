/** Every port in every width, with all legacy devices on the bus: hostile-guest case G1. */
import { PortBus } from '../../../src/bus/address-map.js';
import { RegisterBlock } from '../../../src/bus/register-block.js';
import { ACPI_PM_PORTS, AcpiPm } from '../../../src/devices/legacy/acpi-pm.js';
import { DebugConsole } from '../../../src/devices/legacy/debug-console.js';
import { DebugExit } from '../../../src/devices/legacy/debug-exit.js';
import { COMMAND_PORT, DATA_PORT, I8042 } from '../../../src/devices/legacy/i8042.js';
import { PostCode } from '../../../src/devices/legacy/post.js';
import { PvPanic } from '../../../src/devices/legacy/pvpanic.js';
import { ResetControl } from '../../../src/devices/legacy/reset.js';
import { Rtc, RTC_PORT, RTC_PORTS } from '../../../src/devices/legacy/rtc.js';
import { Serial } from '../../../src/devices/legacy/serial.js';
import {
  SYSTEM_CONTROL_PORT_A,
  SystemControlPortA,
} from '../../../src/devices/legacy/system-control.js';
import * as layout from '../../../src/memory/layout.js';
import { FakeClock, FakeControl, FakeDoorbell, FakeLine, randomNumbers } from './harness.js';

const WIDTHS = [1, 2, 4] as const;

function fullBus(options: { debugExit: boolean }) {
  const bus = new PortBus();
  const control = new FakeControl();
  const clock = new FakeClock();
  const block = (bytes: number) => RegisterBlock.standalone(bytes);
  const serials = layout.SERIAL_PORTS.map((base) => {
    const port = new Serial(block(Serial.REGISTER_BYTES), new FakeLine(), new FakeDoorbell());
    bus.add(base, 8, port, 1);
    return port;
  });
  const rtc = new Rtc(block(Rtc.REGISTER_BYTES), new FakeLine(), clock);
  bus.add(RTC_PORT, RTC_PORTS, rtc, 1);
  const keyboard = new I8042(block(I8042.REGISTER_BYTES), control, new FakeLine());
  bus.add(DATA_PORT, 1, keyboard.data, 1);
  bus.add(COMMAND_PORT, 1, keyboard.command, 1);
  bus.add(SYSTEM_CONTROL_PORT_A, 1, new SystemControlPortA(block(8), control), 1);
  bus.add(layout.POST_PORT, 1, new PostCode(block(8)), 1);
  for (const port of [layout.DEBUG_CONSOLE_PORT, layout.FIRMWARE_LOG_PORT]) {
    bus.add(port, 1, new DebugConsole(block(DebugConsole.REGISTER_BYTES), new FakeDoorbell()), 1);
  }
  bus.add(layout.RESET_PORT, 1, new ResetControl(block(8), control), 1);
  bus.add(layout.PVPANIC_PORT, 1, new PvPanic(block(8), control), 1);
  if (options.debugExit) bus.add(layout.DEBUG_EXIT_PORT, 1, new DebugExit(control), 1);
  const pm = new AcpiPm(block(AcpiPm.REGISTER_BYTES), new FakeLine(), control, clock);
  bus.add(layout.ACPI_PM1_EVENT_PORT, ACPI_PM_PORTS, pm, 4);
  return { bus, control, serials };
}

test('G1, G2: reads of every port in every width give a value of that width', () => {
  const { bus } = fullBus({ debugExit: true });
  for (const width of WIDTHS) {
    for (let port = 0; port < 0x10000; port++) {
      const value = bus.read(port, width);
      if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * width)) {
        throw new Error(`port 0x${port.toString(16)} width ${width} reads ${value}`);
      }
    }
  }
  expect(bus.read(0xffff, 4)).toBe(0xffff_ffff);
});

test('G1: writes to every port in every width, with several values, do not throw', () => {
  const { bus, serials } = fullBus({ debugExit: true });
  for (const value of [0, 0xffff_ffff, 0xa5a5_5a5a]) {
    for (const width of WIDTHS) {
      for (let port = 0; port < 0x10000; port++) bus.write(port, width, value % 2 ** (8 * width));
    }
  }
  for (const serial of serials) expect(serial.pending).toBeLessThanOrEqual(16 * 1024);
});

test('G1: two hundred thousand random accesses around the devices, which work afterwards', () => {
  const { bus, serials } = fullBus({ debugExit: true });
  const random = randomNumbers(42);
  const ranges = [
    0x60, 0x70, 0x80, 0x90, 0xe0, 0x2e8, 0x2f8, 0x3e8, 0x3f8, 0x400, 0x500, 0x600, 0xcf0,
  ];
  for (let i = 0; i < 200_000; i++) {
    const port = ranges[random() % ranges.length]! + (random() % 16);
    const width = WIDTHS[random() % 3]!;
    if (random() % 2 === 0) bus.read(port, width);
    else bus.write(port, width, random() % 2 ** (8 * width));
  }
  serials.forEach((serial, i) => {
    const base = layout.SERIAL_PORTS[i]!;
    expect(serial.pending).toBeLessThanOrEqual(16 * 1024);
    serial.drain(new Uint8Array(32 * 1024));
    // LCR without DLAB, MCR without loopback, FIFOs emptied; then a byte.
    for (const [register, value] of [
      [3, 3],
      [4, 0],
      [2, 7],
      [0, 0x5a],
    ] as const) {
      bus.write(base + register, 1, value);
    }
    const sent = new Uint8Array(64);
    const count = serial.drain(sent);
    expect(sent[count - 1]).toBe(0x5a);
  });
  // Register D: the RTC's battery is good.
  bus.write(RTC_PORT, 1, 0x0d);
  expect(bus.read(RTC_PORT + 1, 1)).toBe(0x80);
});

test('G5: the debug-exit port is nobody’s unless asked for', () => {
  const { bus, control } = fullBus({ debugExit: false });
  bus.write(layout.DEBUG_EXIT_PORT, 1, 1);
  expect(control.requests).toEqual([]);
  expect(bus.read(layout.DEBUG_EXIT_PORT, 1)).toBe(0xff);
});
