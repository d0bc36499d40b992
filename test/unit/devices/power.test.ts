/** Devices that reset the machine or switch it off. */
import { MachineRequest } from '../../../src/bus/device.js';
import { RegisterBlock } from '../../../src/bus/register-block.js';
import { AcpiPm } from '../../../src/devices/legacy/acpi-pm.js';
import { DebugExit } from '../../../src/devices/legacy/debug-exit.js';
import { PvPanic } from '../../../src/devices/legacy/pvpanic.js';
import { ResetControl } from '../../../src/devices/legacy/reset.js';
import { SystemControlPortA } from '../../../src/devices/legacy/system-control.js';
import { copyOf, FakeClock, FakeControl, FakeLine } from './harness.js';

const { PowerOff, Reset, Panic } = MachineRequest;
const block = () => RegisterBlock.standalone(64);

describe('reset control at 0xcf9', () => {
  test('G4: only a write with bit 2 resets; bit 1 reads back', () => {
    const control = new FakeControl();
    const port = new ResetControl(block(), control);
    port.write(0, 1, 0x02);
    expect(port.read()).toBe(0x02);
    port.write(0, 1, 0xfb);
    expect(control.requests).toEqual([]);
    port.write(0, 1, 0x06);
    expect(control.kinds).toEqual([Reset]);
    expect(port.read()).toBe(0x02);
  });

  test('keeps its bit across save and restore', () => {
    const original = block();
    new ResetControl(original, new FakeControl()).write(0, 1, 2);
    expect(new ResetControl(copyOf(original), new FakeControl()).read()).toBe(2);
  });
});

describe('system control port A at 0x92', () => {
  test('G4: bit 0 resets, A20 is open from the start', () => {
    const control = new FakeControl();
    const port = new SystemControlPortA(block(), control);
    expect(port.read()).toBe(0x02);
    port.write(0, 1, port.read() | 2);
    expect(control.requests).toEqual([]);
    port.write(0, 1, port.read() | 1);
    expect(control.kinds).toEqual([Reset]);
  });

  test('reads back what was written, but for the reset bit', () => {
    const port = new SystemControlPortA(block(), new FakeControl());
    for (let value = 0; value < 256; value++) {
      port.write(0, 1, value);
      expect(port.read()).toBe(value & 0xfe);
    }
  });

  test('keeps its bits across save and restore', () => {
    const original = block();
    new SystemControlPortA(original, new FakeControl()).write(0, 1, 0x40);
    expect(new SystemControlPortA(copyOf(original), new FakeControl()).read()).toBe(0x40);
  });
});

test('debug-exit hands the byte written to the machine', () => {
  const control = new FakeControl();
  new DebugExit(control).write(0, 1, 0x2a);
  expect(control.requests).toEqual([{ kind: MachineRequest.DebugExit, data: 0x2a }]);
});

describe('pvpanic', () => {
  test('offers both events and reports a panic', () => {
    const control = new FakeControl();
    const port = new PvPanic(block(), control);
    expect(port.read()).toBe(0x03);
    port.write(0, 1, 0xfc);
    expect(control.requests).toEqual([]);
    port.write(0, 1, 0x01);
    expect(control.kinds).toEqual([Panic]);
  });

  test('a guest that loads its crash kernel goes on running; the event survives a restore', () => {
    const control = new FakeControl();
    const original = block();
    const port = new PvPanic(original, control);
    expect(port.crashLoaded).toBe(false);
    port.write(0, 1, 0x02);
    expect(control.requests).toEqual([]);
    expect(new PvPanic(copyOf(original), control).crashLoaded).toBe(true);
  });
});

describe('ACPI power management', () => {
  const [STATUS, ENABLE, CONTROL, TIMER] = [0, 2, 4, 8];
  const POWER_BUTTON = 0x100;

  function bench(registers = RegisterBlock.standalone(AcpiPm.REGISTER_BYTES)) {
    const [irq, control, clock] = [new FakeLine(), new FakeControl(), new FakeClock(0)];
    return { registers, irq, control, clock, pm: new AcpiPm(registers, irq, control, clock) };
  }

  test('the machine is in ACPI mode from the start', () => {
    expect(bench().pm.read(CONTROL, 2)).toBe(0x0001);
  });

  test('S5 switches off, written as a word or byte by byte', () => {
    const word = bench();
    word.pm.write(CONTROL, 2, 0x2000);
    expect(word.control.kinds).toEqual([PowerOff]);
    const bytes = bench();
    bytes.pm.write(CONTROL, 1, 0x00);
    bytes.pm.write(CONTROL + 1, 1, 0x20);
    expect(bytes.control.kinds).toEqual([PowerOff]);
  });

  test('G4: sleep types that are not offered wake at once', () => {
    for (let type = 1; type < 8; type++) {
      const { pm, control } = bench();
      pm.write(CONTROL, 2, (type << 10) | 0x2000);
      expect(control.requests).toEqual([]);
      expect(pm.read(STATUS, 2)).toBe(0x8000);
    }
  });

  test('SLP_EN reads as zero, SLP_TYP reads back', () => {
    const { pm } = bench();
    pm.write(CONTROL, 2, 0x1402);
    expect(pm.read(CONTROL, 2)).toBe(0x1403);
  });

  test('the power button raises the SCI when the guest has enabled it, until it is acknowledged', () => {
    const { pm, irq } = bench();
    expect(pm.powerButtonEnabled).toBe(false);
    pm.pressPowerButton();
    expect([pm.read(STATUS, 2), irq.level]).toEqual([POWER_BUTTON, false]);
    pm.write(ENABLE, 2, POWER_BUTTON);
    expect([pm.powerButtonEnabled, irq.level]).toEqual([true, true]);
    pm.write(STATUS, 2, 0x0001);
    expect(irq.level).toBe(true);
    pm.write(STATUS, 2, POWER_BUTTON);
    expect([pm.read(STATUS, 2), irq.level]).toEqual([0, false]);
    pm.pressPowerButton();
    expect(irq.edges).toBe(2);
  });

  test('status and enable are read and written in any width', () => {
    const { pm, irq } = bench();
    pm.pressPowerButton();
    pm.write(STATUS, 4, 0x0100_0000);
    expect(irq.level).toBe(true);
    expect(pm.read(STATUS, 4)).toBe(0x0100_0100);
    expect([0, 1, 2, 3].map((offset) => pm.read(offset, 1))).toEqual([0, 1, 0, 1]);
    pm.write(STATUS + 1, 1, 0x01);
    expect(irq.level).toBe(false);
  });

  test('the timer counts 3579545 ticks a second in 32 bits', () => {
    const { pm, clock } = bench();
    expect(pm.read(TIMER, 4)).toBe(0);
    clock.time = 1000;
    expect(pm.read(TIMER, 4)).toBe(3_579_545);
    clock.time = 1_500_000;
    expect(pm.read(TIMER, 4)).toBe((3_579_545 * 1500) % 2 ** 32);
    expect(pm.read(TIMER + 1, 1)).toBe((pm.read(TIMER, 4) >>> 8) & 0xff);
    expect(pm.read(TIMER + 2, 2)).toBe(pm.read(TIMER, 4) >>> 16);
  });

  test('a carry of the timer sets its status bit', () => {
    const { pm, clock } = bench();
    pm.write(ENABLE, 2, 0x0001);
    clock.time = 601_000;
    expect(pm.read(STATUS, 2)).toBe(0x0001);
    pm.write(STATUS, 2, 0x0001);
    expect(pm.read(STATUS, 2)).toBe(0);
  });

  test('the timer is read-only and the ports between are nobody’s', () => {
    const { pm } = bench();
    pm.write(TIMER, 4, 0xffff_ffff);
    pm.write(6, 2, 0xffff);
    expect([pm.read(TIMER, 4), pm.read(6, 2)]).toEqual([0, 0]);
  });

  test('a pressed button survives a save and restore', () => {
    const { pm, registers } = bench();
    pm.write(ENABLE, 2, POWER_BUTTON);
    pm.pressPowerButton();
    const restored = bench(copyOf(registers));
    restored.irq.level = true;
    expect(restored.pm.read(STATUS, 4)).toBe(0x0100_0100);
    restored.pm.write(STATUS, 2, POWER_BUTTON);
    expect(restored.irq.level).toBe(false);
  });
});
