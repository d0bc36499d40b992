import { PortBus } from '../../../src/bus/address-map.js';
import { MachineRequest } from '../../../src/bus/device.js';
import { RegisterBlock } from '../../../src/bus/register-block.js';
import { COMMAND_PORT, DATA_PORT, I8042 } from '../../../src/devices/legacy/i8042.js';
import { copyOf, FakeControl, FakeLine } from './harness.js';

const OUTPUT_FULL = 0x01;
const INPUT_FULL = 0x02;
const UNLOCKED = 0x10;
const FROM_MOUSE = 0x20;
const TIMEOUT = 0x40;

class Bench {
  readonly irq = new FakeLine();
  readonly control = new FakeControl();
  readonly bus = new PortBus();

  constructor(readonly block = RegisterBlock.standalone(I8042.REGISTER_BYTES)) {
    const controller = new I8042(block, this.control, this.irq);
    this.bus.add(DATA_PORT, 1, controller.data, 1);
    this.bus.add(COMMAND_PORT, 1, controller.command, 1);
  }
  get status(): number {
    return this.bus.read(COMMAND_PORT, 1);
  }
  get data(): number {
    return this.bus.read(DATA_PORT, 1);
  }
  command(command: number, ...parameters: number[]): this {
    this.bus.write(COMMAND_PORT, 1, command);
    for (const parameter of parameters) this.bus.write(DATA_PORT, 1, parameter);
    return this;
  }
  /** The answer, or undefined when a driver would wait for it. */
  ask(command: number, ...parameters: number[]): number | undefined {
    this.command(command, ...parameters);
    return (this.status & OUTPUT_FULL) === 0 ? undefined : this.data;
  }
}

test('G4: pulsing the reset line resets', () => {
  const { control } = new Bench().command(0xfe);
  expect(control.kinds).toEqual([MachineRequest.Reset]);
});

test('pulses of other lines do not', () => {
  const bench = new Bench();
  for (let command = 0xf1; command <= 0xff; command += 2) bench.command(command);
  expect(bench.control.requests).toEqual([]);
});

test('the output port resets through bit 0 and shows A20', () => {
  const bench = new Bench();
  expect(bench.ask(0xd0)! & 0x03).toBe(0x03);
  bench.command(0xdd);
  expect(bench.ask(0xd0)! & 0x02).toBe(0);
  bench.command(0xdf);
  expect(bench.ask(0xd0)! & 0x02).toBe(0x02);
  bench.command(0xd1, 0xdf);
  expect(bench.control.requests).toEqual([]);
  bench.command(0xd1, 0xde);
  expect(bench.control.kinds).toEqual([MachineRequest.Reset]);
});

test('the self test passes and the lock is open', () => {
  const bench = new Bench();
  expect(bench.status & (UNLOCKED | INPUT_FULL | OUTPUT_FULL)).toBe(UNLOCKED);
  expect(bench.ask(0xaa)).toBe(0x55);
});

test('the command byte reads back', () => {
  const bench = new Bench();
  expect(bench.ask(0x20)).toBe(0x74);
  bench.command(0x60, 0x47);
  expect(bench.ask(0x20)).toBe(0x47);
});

test('there is no mouse: loop answers without the mouse flag, the port test fails, at once', () => {
  const bench = new Bench();
  bench.command(0xd3, 0x5a);
  expect(bench.status & (OUTPUT_FULL | FROM_MOUSE)).toBe(OUTPUT_FULL);
  expect(bench.data).toBe(0x5a);
  expect(bench.ask(0xa9)).toBe(0x01);
  bench.command(0xa8);
  expect(bench.ask(0x20)! & 0x20).toBe(0x20);
});

test('there is no keyboard: the port test fails and a byte sent to it times out at once, with IRQ 1', () => {
  const bench = new Bench();
  expect(bench.ask(0xab)).toBe(0x01);
  bench.command(0x60, 0x45);
  bench.bus.write(DATA_PORT, 1, 0xf2);
  expect(bench.irq.level).toBe(true);
  expect(bench.status & (OUTPUT_FULL | TIMEOUT)).toBe(OUTPUT_FULL | TIMEOUT);
  expect(bench.data).toBe(0xfe);
  expect(bench.irq.level).toBe(false);
  expect(bench.status & (OUTPUT_FULL | TIMEOUT)).toBe(0);
});

test('G4: unknown commands do nothing, and the input buffer is never full', () => {
  const bench = new Bench();
  const known = [0x20, 0x60, 0xa9, 0xaa, 0xab, 0xc0, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4];
  for (let command = 0; command < 0xf0; command++) {
    if (!known.includes(command)) expect(bench.ask(command)).toBeUndefined();
    expect(bench.status & INPUT_FULL).toBe(0);
  }
  expect(bench.control.requests).toEqual([]);
});

test('G4: any sequence of bytes leaves it answering', () => {
  const bench = new Bench();
  for (let i = 0; i < 0x10000; i++) bench.command(i >> 8, i & 0xff);
  expect(bench.ask(0xaa)).toBe(0x55);
});

test('a command that waits for its parameter survives a save and restore', () => {
  const bench = new Bench().command(0x60);
  const restored = new Bench(copyOf(bench.block));
  restored.bus.write(DATA_PORT, 1, 0x77);
  expect(restored.ask(0x20)).toBe(0x77);
});

test('an answer that waits survives a save and restore', () => {
  const restored = new Bench(copyOf(new Bench().command(0xaa).block));
  expect([restored.status & OUTPUT_FULL, restored.data]).toEqual([OUTPUT_FULL, 0x55]);
});
