/** The control queues of virtio-console: which ports there are, and who has them open. */
import { ConsoleDevice } from '../../../src/devices/virtio/console/console.js';
import {
  CONTROL_RECEIVE,
  CONTROL_TRANSMIT,
  ConfigField,
  ConsoleFeature,
  ControlEvent as Event,
} from '../../../src/devices/virtio/console/console-protocol.js';
import { MmioInterrupt, MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { ConsoleBench, MULTIPORT, PORTS, SINGLE, pattern } from './console-bench.js';

const BAD_ID = 0xffff_ffff;
const AGENT = 'org.vexit.agent';

/** Only who and what. */
function brief(bench: ConsoleBench): [number, Event, number][] {
  return bench.heard().map(({ id, event, value }) => [id, event, value]);
}

describe('features and configuration', () => {
  test('G-5: size, several ports and emergency writes are offered', () => {
    const offered = new ConsoleBench().offered();
    for (const bit of [ConsoleFeature.Size, ConsoleFeature.Multiport]) {
      expect(offered).toContain(bit);
    }
    expect(offered).toContain(ConsoleFeature.EmergencyWrite);
  });

  test('G-8: size and number of ports are there before negotiation', () => {
    const bench = new ConsoleBench();
    bench.hosts[0]!.resize(132, 50);
    expect(bench.get(R.Config + ConfigField.Cols, 2)).toBe(132);
    expect(bench.get(R.Config + ConfigField.Rows, 2)).toBe(50);
    expect(bench.get(R.Config + ConfigField.MaxPorts)).toBe(3);
  });

  test('A18: the driver writes nothing but emerg_wr', () => {
    const bench = new ConsoleBench().boot();
    for (let offset = 0; offset < 8; offset += 4) bench.set(R.Config + offset, 0xffff_ffff);
    expect([0, 4, 8].map((offset) => bench.get(R.Config + offset))).toEqual([0, 3, 0]);
    expect(bench.hosts[0]!.take()).toEqual(new Uint8Array(0));
  });

  test.each([
    [[], 65536],
    [Array.from({ length: 32 }, () => ({})), 65536],
    [[{}], 1000],
    [[{}], 128],
    [[{}], NaN],
    [[{ name: 'x' }, { name: 'x' }], 65536],
    [[{ name: 'a\0b' }], 65536],
    [[{ name: 'é'.repeat(128) }], 65536],
  ])('ports %j with rings of %d bytes are refused', (ports, ringBytes) => {
    expect(() => new ConsoleDevice({ ports, ringBytes })).toThrow(RangeError);
  });
});

describe('T-1: emergency writes', () => {
  test('F10: the lower byte goes out before anything has been set up', () => {
    const bench = new ConsoleBench();
    for (const byte of [0x6f, 0xffff_ff6b]) bench.set(R.Config + ConfigField.EmergencyWrite, byte);
    bench.set(R.Config + ConfigField.EmergencyWrite, 0x21, 1);
    expect(bench.doorbell.rings).toBe(1);
    expect(Buffer.from(bench.hosts[0]!.take()).toString()).toBe('ok!');
  });

  test('they work when the device needs a reset, and follow the output', () => {
    const bench = new ConsoleBench().boot();
    bench.hosts[0]!.open();
    bench.print(0, [0x61]);
    bench.rings[1]!.offer(999);
    bench.notify(1);
    expect(bench.needsReset).toBe(true);
    bench.set(R.Config + ConfigField.EmergencyWrite, 0x62);
    expect(bench.hosts[0]!.pending).toBe(2);
    expect(Buffer.from(bench.hosts[0]!.take()).toString()).toBe('ab');
  });

  test('F10: a flood of them is bounded and counted', () => {
    const bench = new ConsoleBench();
    for (let i = 0; i < 5000; i++) bench.set(R.Config + ConfigField.EmergencyWrite, i);
    expect(bench.doorbell.rings).toBe(1);
    const kept = bench.hosts[0]!.pending;
    expect(kept).toBeLessThanOrEqual(1024);
    expect(bench.hosts[0]!.lostBytes).toBe(5000 - kept);
    expect(bench.hosts[1]!.pending).toBe(0);
  });
});

describe('initialization', () => {
  test('ports are added after DEVICE_READY, and described after PORT_READY', () => {
    const bench = new ConsoleBench();
    bench.hosts[0]!.resize(80, 25);
    bench.hosts[1]!.open();
    bench.start(MULTIPORT).offerControl();
    expect(bench.heard()).toEqual([]);
    bench.say(BAD_ID, Event.DeviceReady, 1);
    expect(brief(bench)).toEqual([0, 1, 2].map((id) => [id, Event.DeviceAdd, 0]));
    bench.say(0, Event.PortReady, 1);
    expect(bench.heard()).toEqual([
      { id: 0, event: Event.ConsolePort, value: 1, rest: [] },
      { id: 0, event: Event.Resize, value: 0, rest: [80, 0, 25, 0] },
    ]);
    bench.say(1, Event.PortReady, 1);
    expect(bench.heard()).toEqual([
      { id: 1, event: Event.PortName, value: 1, rest: [...Buffer.from(AGENT)] },
      { id: 1, event: Event.PortOpen, value: 1, rest: [] },
    ]);
  });

  test('messages wait for buffers, however few there are', () => {
    const bench = new ConsoleBench().start(MULTIPORT);
    bench.say(BAD_ID, Event.DeviceReady, 1);
    const seen: number[] = [];
    for (let i = 0; i < 4; i++) {
      bench.offerControl(1);
      const ring = bench.rings[CONTROL_RECEIVE]!;
      seen.push(...ring.take().map(() => bench.ram.get(0x60000, 4)));
    }
    expect(seen).toEqual([0, 1, 2]);
  });

  test('T-2: no port is added twice, whatever the driver repeats', () => {
    const bench = new ConsoleBench().boot();
    for (let i = 0; i < 3; i++) bench.say(BAD_ID, Event.DeviceReady, 1);
    expect(brief(bench)).toEqual([]);
  });

  test('a reset begins from the beginning (G-6)', () => {
    const bench = new ConsoleBench().boot();
    expect(bench.hosts[0]!.guestOpen).toBe(true);
    bench.set(R.Status, 0);
    expect(bench.hosts[0]!.guestOpen).toBe(false);
    bench.start(MULTIPORT).offerControl();
    expect(bench.heard()).toEqual([]);
    bench.say(BAD_ID, Event.DeviceReady, 1);
    expect(brief(bench)).toHaveLength(3);
  });

  test('a driver without MULTIPORT has port 0, open from DRIVER_OK on', () => {
    const bench = new ConsoleBench().start(SINGLE).offerControl();
    expect(bench.hosts[0]!.guestOpen).toBe(true);
    expect(bench.hosts[1]!.guestOpen).toBe(false);
    bench.say(BAD_ID, Event.DeviceReady, 1);
    expect(bench.heard()).toEqual([]);
    expect(bench.rings[CONTROL_TRANSMIT]!.take()).toEqual([]);
    bench.hosts[1]!.open();
    bench.print(1, pattern(10));
    expect(bench.printed(1)).toBe(0);
  });
});

describe('open and close', () => {
  test('the host opens and closes, and the guest is told', () => {
    const bench = new ConsoleBench().boot();
    bench.hosts[1]!.open();
    bench.hosts[1]!.open();
    expect(brief(bench)).toEqual([[1, Event.PortOpen, 1]]);
    bench.hosts[1]!.close();
    expect(brief(bench)).toEqual([[1, Event.PortOpen, 0]]);
    expect(bench.hosts[1]!.isOpen).toBe(false);
  });

  test('a close that was short is seen by a guest that had no buffers', () => {
    const bench = new ConsoleBench().boot();
    const host = bench.hosts[2]!;
    host.open();
    bench.heard();
    for (let i = 1; i <= 20; i++) bench.hosts[0]!.resize(i, 1);
    host.close();
    host.open();
    host.close();
    host.open();
    bench.rings[CONTROL_RECEIVE]!.take();
    bench.offerControl();
    const told = brief(bench).filter(([id]) => id === 2);
    expect(told).toEqual([
      [2, Event.PortOpen, 0],
      [2, Event.PortOpen, 1],
    ]);
  });

  test('the guest opens and closes, and the host is told by the doorbell', () => {
    const bench = new ConsoleBench().boot();
    const host = bench.hosts[1]!;
    const { rings } = bench.doorbell;
    const { guestConnection } = host;
    expect(host.guestOpen).toBe(true);
    bench.say(1, Event.PortOpen, 0);
    expect(host.guestOpen).toBe(false);
    bench.say(1, Event.PortOpen, 0);
    expect(bench.doorbell.rings).toBe(rings + 1);
    bench.say(1, Event.PortOpen, 1);
    expect(bench.doorbell.rings).toBe(rings + 2);
    expect(host.guestConnection).toBe(guestConnection + 2);
  });
});

describe('size', () => {
  test('a new size is a configuration change and a message', () => {
    const bench = new ConsoleBench().boot();
    bench.acknowledge();
    const generation = bench.get(R.ConfigGeneration);
    bench.hosts[0]!.resize(0x1234, 0x56);
    expect(bench.get(R.ConfigGeneration)).not.toBe(generation);
    expect(bench.acknowledge() & MmioInterrupt.ConfigChange).not.toBe(0);
    expect(bench.get(R.Config)).toBe(0x0056_1234);
    expect(bench.heard()).toEqual([
      { id: 0, event: Event.Resize, value: 0, rest: [0x34, 0x12, 0x56, 0] },
    ]);
  });

  test('only the last of many sizes is told', () => {
    const bench = new ConsoleBench().start(MULTIPORT).offerControl();
    for (let i = 0; i < 1000; i++) bench.hosts[0]!.resize(i, i);
    bench.say(BAD_ID, Event.DeviceReady, 1).heard();
    bench.say(0, Event.PortReady, 1);
    const sizes = bench.heard().filter(({ event }) => event === Event.Resize);
    expect(sizes.map(({ rest }) => rest)).toEqual([[0xe7, 3, 0xe7, 3]]);
  });

  test.each([
    [1e9, -1, 0x0000_ffff],
    [NaN, 1.9, 0x0001_0000],
  ])('%d columns and %d rows are cut to 16 bits', (cols, rows, config) => {
    const bench = new ConsoleBench();
    bench.hosts[0]!.resize(cols, rows);
    expect(bench.get(R.Config)).toBe(config);
  });

  test('a port that is no console has no size', () => {
    const bench = new ConsoleBench().boot();
    bench.hosts[1]!.resize(80, 25);
    expect(bench.heard()).toEqual([]);
    expect(bench.get(R.Config)).toBe(0);
  });
});

describe('T-2: ports that come and go', () => {
  test('remove and add are told once each, and only what is there is removed', () => {
    const bench = new ConsoleBench().boot();
    const host = bench.hosts[2]!;
    host.unplug();
    host.unplug();
    expect(brief(bench)).toEqual([[2, Event.DeviceRemove, 0]]);
    expect(host.guestOpen).toBe(false);
    host.plug();
    expect(brief(bench)).toEqual([[2, Event.DeviceAdd, 0]]);
    bench.say(2, Event.PortReady, 1);
    expect(brief(bench)).toEqual([[2, Event.PortName, 1]]);
  });

  test('a port that is away from the start is never mentioned', () => {
    const bench = new ConsoleBench();
    bench.hosts[2]!.unplug();
    bench.boot();
    bench.hosts[2]!.plug();
    expect(brief(bench)).toEqual([[2, Event.DeviceAdd, 0]]);
  });

  test('away and back before the guest could be told: removed, then added', () => {
    const bench = new ConsoleBench().start(MULTIPORT).offerControl(3);
    bench.say(BAD_ID, Event.DeviceReady, 1);
    bench.hosts[1]!.unplug();
    bench.hosts[1]!.plug();
    bench.offerControl(8);
    expect(brief(bench).slice(3)).toEqual([
      [1, Event.DeviceRemove, 0],
      [1, Event.DeviceAdd, 0],
    ]);
  });

  test('what a port that is away writes is dropped; port 0 stays', () => {
    const bench = new ConsoleBench().boot();
    bench.hosts[1]!.open();
    bench.hosts[1]!.unplug();
    bench.print(1, pattern(10));
    expect(bench.printed(1)).toBe(1);
    expect(bench.hosts[1]!.pending).toBe(0);
    expect(() => bench.hosts[0]!.unplug()).toThrow(RangeError);
  });
});

describe('F10: control messages of any kind', () => {
  test.each([
    ['an unknown event', 0, 8, 1],
    ['the largest event', 0, 0xffff, 0xffff],
    ['an event of the device', 1, Event.DeviceAdd, 1],
    ['a removal', 1, Event.DeviceRemove, 1],
    ['a port that is not there', 3, Event.PortOpen, 1],
    ['the largest port', BAD_ID, Event.PortReady, 1],
    ['a port with the sign bit', 0x8000_0000, Event.PortOpen, 1],
  ])('%s is ignored', (_, id, event, value) => {
    const bench = new ConsoleBench().boot();
    bench.say(id, event, value);
    expect(bench.rings[CONTROL_TRANSMIT]!.take().length).toBeGreaterThan(0);
    expect(bench.heard()).toEqual([]);
    expect(bench.needsReset).toBe(false);
    expect(bench.lines).toHaveLength(1);
  });

  test.each([0, 1, 3, 7])('a message of %d bytes is ignored', (length) => {
    const bench = new ConsoleBench().boot();
    bench.rings[CONTROL_TRANSMIT]!.send({ address: 0x70000, length });
    bench.notify(CONTROL_TRANSMIT);
    expect(bench.settle().heard()).toEqual([]);
    expect(bench.lines).toHaveLength(1);
    expect(bench.needsReset).toBe(false);
  });

  test('S-1: a message in eight pieces, with more behind it, is a message', () => {
    const bench = new ConsoleBench().start(MULTIPORT).offerControl();
    bench.ram.write(0x70000, [255, 255, 255, 255, 0, 0, 1, 0, 9, 9]);
    const pieces = Array.from({ length: 10 }, (_, i) => ({ address: 0x70000 + i, length: 1 }));
    bench.rings[CONTROL_TRANSMIT]!.send(...pieces);
    bench.notify(CONTROL_TRANSMIT);
    expect(brief(bench.settle())).toHaveLength(3);
  });

  test.each([0, 3, 7])('buffers of %d bytes come back empty, and nothing is lost', (length) => {
    const bench = new ConsoleBench().start(MULTIPORT).offerControl(2, length);
    bench.say(BAD_ID, Event.DeviceReady, 1);
    expect(bench.rings[CONTROL_RECEIVE]!.take().map((used) => used.length)).toEqual([0, 0]);
    expect(brief(bench.offerControl(4))).toHaveLength(3);
    expect(bench.needsReset).toBe(false);
  });

  test('a port before its DEVICE_ADD cannot be opened', () => {
    const bench = new ConsoleBench().start(MULTIPORT);
    bench.say(0, Event.PortReady, 1).say(0, Event.PortOpen, 1);
    expect(bench.hosts[0]!.guestOpen).toBe(false);
  });

  test('a device or port that the guest could not set up is left alone', () => {
    const bench = new ConsoleBench().boot();
    bench.say(1, Event.PortReady, 0);
    bench.hosts[1]!.open();
    expect(bench.heard()).toEqual([]);
    bench.say(BAD_ID, Event.DeviceReady, 0);
    bench.hosts[2]!.open();
    expect(bench.heard()).toEqual([]);
  });

  test('A12, K2: a flood of messages costs turns, ten lines a place, and nothing else', () => {
    const bench = new ConsoleBench().boot();
    const before = bench.registers.state.length;
    for (let i = 0; i < 20_000; i++) {
      bench.rings[CONTROL_TRANSMIT]!.send({ address: 0x70000, length: i % 9 });
      bench.ram.set(0x70000 + (i % 8), 1, i);
      bench.notify(CONTROL_TRANSMIT);
      bench.later.length = 0;
    }
    expect(bench.lines.length).toBeLessThan(60);
    expect(bench.registers.state).toHaveLength(before);
    expect(bench.boot().hosts[0]!.guestOpen).toBe(true);
  });
});

test('the ports of the benches are what the machine has', () => {
  expect(PORTS[1]!.name).toBe(AGENT);
});
