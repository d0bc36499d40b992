import { Feature } from '../../../../src/devices/virtio/constants.js';
import { MmioRegister as R } from '../../../../src/devices/virtio/mmio-registers.js';
import { VsockDevice } from '../../../../src/devices/virtio/vsock/vsock.js';
import {
  Operation as Op,
  Shutdown,
  VsockQueue,
} from '../../../../src/devices/virtio/vsock/vsock-protocol.js';
import { RING_BITS } from '../mmio-bench.js';
import { FakeStream } from './fake-stream.js';
import { CID, VsockBench } from './vsock-bench.js';

const PORTS = { guestPort: 1000, hostPort: 52 };

describe('the device', () => {
  test('is of type 19, offers streams, and has the guest address in its configuration', () => {
    const made = new VsockBench(new VsockDevice({ cid: 0x12345678 }));
    expect(made.get(R.DeviceId)).toBe(19);
    expect(made.offered()).toEqual([0, ...[...RING_BITS, Feature.RingReset].sort((a, b) => a - b)]);
    expect(made.get(R.Config)).toBe(0x12345678);
    expect(made.get(R.Config + 4)).toBe(0);
    expect(made.get(R.Config + 8)).toBe(0);
  });

  test.each([0, 1, 2, 0xffff_ffff, 2 ** 32, -1, 3.5, NaN])('V-4: %d is no guest address', (cid) => {
    expect(() => new VsockDevice({ cid })).toThrow(RangeError);
  });
});

describe('connections of the guest', () => {
  test('are asked for at the host, accepted, used in both directions and closed', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    expect(made.backend.asked.map(({ port }) => port)).toEqual([52]);
    expect(stream.paused).toBe(false);
    made.send({ op: Op.ReadWrite, ...PORTS, data: Buffer.from('hello') });
    expect(stream.text).toBe('hello');
    stream.take();
    stream.listener!.onData(Buffer.from('world'));
    made.pump();
    const [packet] = made.receiveAll();
    expect(packet).toMatchObject({ op: Op.ReadWrite, ...PORTS, length: 5, forwarded: 5 });
    expect(packet).toMatchObject({ from: 2n, to: BigInt(CID), flags: 0, type: 1 });
    expect(packet!.data.toString()).toBe('world');
    made.send({ op: Op.Shutdown, ...PORTS, flags: Shutdown.Both });
    expect(stream.ended).toBe(true);
    expect(made.receiveAll()).toEqual([]);
    stream.take();
    made.pump();
    expect(made.receiveAll()).toMatchObject([{ op: Op.Reset, ...PORTS }]);
    expect(stream.destroyed).toBe(true);
    expect(made.device.connections).toBe(0);
  });

  test('are reset when nobody listens', () => {
    const made = VsockBench.started();
    made.send({ op: Op.Request, ...PORTS });
    made.backend.asked[0]!.stream.listener!.onClose(true);
    made.pump();
    expect(made.receiveAll()).toMatchObject([{ op: Op.Reset, ...PORTS }]);
    expect(made.device.connections).toBe(0);
  });

  test('keep apart by both ports', () => {
    const made = VsockBench.started();
    const streams = [1, 2].flatMap((g) => [7, 8].map((h) => made.connectOut(g, h)));
    [1, 2].forEach((guestPort) =>
      [7, 8].forEach((hostPort) => {
        const data = Buffer.from(`${guestPort}${hostPort}`);
        made.send({ op: Op.ReadWrite, guestPort, hostPort, data });
      }),
    );
    expect(streams.map(({ text }) => text)).toEqual(['17', '18', '27', '28']);
  });
});

describe('connections of the host', () => {
  test('are asked for at the guest and accepted with the port the host has got', () => {
    const made = VsockBench.started();
    const { stream, hostPort } = made.connectIn(80);
    expect(hostPort).toBe(2 ** 30);
    expect(stream.acceptedAs).toBe(hostPort);
    stream.listener!.onData(Buffer.from('GET'));
    made.pump();
    expect(made.receiveAll()[0]!.data.toString()).toBe('GET');
    expect(made.connectIn(80).hostPort).toBe(hostPort + 1);
  });

  test('are closed when the guest refuses', () => {
    const made = VsockBench.started();
    const stream = new FakeStream();
    stream.listener = made.backend.guest.connect(81, stream);
    made.pump();
    const [request] = made.receiveAll();
    made.send({ op: Op.Reset, guestPort: 81, hostPort: request!.hostPort });
    expect(stream.destroyed).toBe(true);
    expect(stream.acceptedAs).toBeUndefined();
    expect(made.receiveAll()).toEqual([]);
  });

  test('wait for a guest that has no driver yet, through the reset that drivers begin with', () => {
    const made = new VsockBench();
    const stream = new FakeStream();
    stream.listener = made.backend.guest.connect(80, stream);
    made.pump();
    made.up();
    expect(stream.destroyed).toBe(false);
    expect(made.receiveAll()).toMatchObject([{ op: Op.Request, guestPort: 80 }]);
  });

  test('are given up when the guest does not answer', () => {
    jest.useFakeTimers();
    try {
      const made = VsockBench.started();
      const stream = new FakeStream();
      stream.listener = made.backend.guest.connect(80, stream);
      made.pump();
      expect(made.receiveAll()).toHaveLength(1);
      jest.advanceTimersByTime(9_999);
      expect(stream.destroyed).toBe(false);
      jest.advanceTimersByTime(1);
      expect(stream.destroyed).toBe(true);
      made.pump();
      expect(made.receiveAll()).toMatchObject([{ op: Op.Reset, guestPort: 80 }]);
      expect(made.device.connections).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('the end of one half', () => {
  test('by the guest: the host reads to the end and can still answer', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    made.queueSend({ op: Op.ReadWrite, ...PORTS, data: Buffer.from('last') });
    made.send({ op: Op.Shutdown, ...PORTS, flags: Shutdown.Send });
    expect(stream.text).toBe('last');
    expect(stream.ended).toBe(true);
    stream.take();
    stream.listener!.onData(Buffer.from('answer'));
    stream.listener!.onEnd();
    stream.listener!.onClose(false);
    made.pump();
    const packets = made.receiveAll();
    expect(packets.map(({ op }) => op)).toEqual([Op.ReadWrite, Op.Shutdown]);
    expect(packets[0]!.data.toString()).toBe('answer');
    expect(packets[1]!.flags).toBe(Shutdown.Both);
    made.send({ op: Op.Reset, ...PORTS });
    expect(made.device.connections).toBe(0);
  });

  test('by the host: the guest reads to the end and can still answer', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    stream.listener!.onData(Buffer.from('question'));
    stream.listener!.onEnd();
    made.pump();
    const packets = made.receiveAll();
    expect(packets.map(({ op, flags }) => [op, flags])).toEqual([
      [Op.ReadWrite, 0],
      [Op.Shutdown, Shutdown.Send],
    ]);
    made.send({ op: Op.ReadWrite, ...PORTS, data: Buffer.from('answer') });
    expect(stream.text).toBe('answer');
  });

  test('does not overtake data that wait for credit', () => {
    const made = VsockBench.started();
    made.allocation = 3;
    const stream = made.connectOut();
    stream.listener!.onData(Buffer.from('abcdef'));
    stream.listener!.onEnd();
    made.pump();
    expect(made.receiveAll().map(({ op }) => op)).toEqual([Op.ReadWrite, Op.CreditRequest]);
    made.send({ op: Op.CreditUpdate, ...PORTS, forwarded: 3 });
    expect(made.receiveAll().map(({ op, data }) => [op, data.toString()])).toEqual([
      [Op.ReadWrite, 'def'],
      [Op.Shutdown, ''],
    ]);
  });

  test('a guest that receives no more is sent nothing more, and the program is not read', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    made.send({ op: Op.Shutdown, ...PORTS, flags: Shutdown.Receive });
    expect(stream.paused).toBe(true);
    stream.listener!.onData(Buffer.from('on its way'));
    made.pump();
    expect(made.receiveAll()).toEqual([]);
    made.send({ op: Op.ReadWrite, ...PORTS, data: Buffer.from('still') });
    expect(stream.text).toBe('still');
  });

  test('what was sent before a proper end arrives, though the guest does not wait for it', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    made.send({ op: Op.ReadWrite, ...PORTS, data: Buffer.from('one ') });
    made.send({ op: Op.ReadWrite, ...PORTS, data: Buffer.from('two') });
    made.send({ op: Op.Shutdown, ...PORTS, flags: Shutdown.Both });
    made.send({ op: Op.Reset, ...PORTS });
    expect(made.device.connections).toBe(1);
    expect(stream.destroyed).toBe(false);
    stream.take();
    expect(stream.text).toBe('one two');
    expect(stream.ended).toBe(true);
    stream.take();
    expect(stream.destroyed).toBe(true);
    expect(made.device.connections).toBe(0);
    expect(made.receiveAll()).toEqual([]);
  });

  test('a program that dies resets the connection', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    stream.listener!.onClose(true);
    made.pump();
    expect(made.receiveAll()).toMatchObject([{ op: Op.Reset, ...PORTS }]);
  });
});

describe('resets', () => {
  test('of the device close all streams, and it works again', () => {
    const made = VsockBench.started();
    const streams = [made.connectOut(1), made.connectOut(2)];
    made.set(R.Status, 0);
    expect(streams.map(({ destroyed }) => destroyed)).toEqual([true, true]);
    made.up();
    expect(made.receiveAll()).toEqual([]);
    made.connectOut(1);
  });

  test('in another thread are seen by the one that serves', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    const other = new VsockDevice({ cid: CID });
    const later: number[] = [];
    other.attach({
      state: made.core.state,
      createChain: () => made.core.createChain(),
      processLater: (queue: number) => later.push(queue),
    } as unknown as Parameters<VsockDevice['attach']>[0]);
    other.reset();
    expect(later).toEqual([VsockQueue.Receive]);
    expect(stream.destroyed).toBe(false);
    made.device.halted();
    expect(stream.destroyed).toBe(true);
  });

  test('of the machine: state from elsewhere tells the driver that its streams are gone', () => {
    const made = VsockBench.started();
    made.connectOut();
    const copy = new VsockBench(new VsockDevice({ cid: CID }), made.ram);
    copy.registers.restore(made.registers.save());
    void copy.device.open();
    const ring = made.rings[VsockQueue.Event]!;
    ring.send({ address: 0x9000, length: 4, writable: true });
    made.ram.set(0x9000, 4, 0xffff_ffff);
    copy.notify(VsockQueue.Event);
    copy.pump();
    expect(ring.take()).toEqual([{ id: 0, length: 4 }]);
    expect(made.ram.get(0x9000, 4)).toBe(0);
    ring.send({ address: 0x9000, length: 4, writable: true });
    copy.notify(VsockQueue.Event);
    copy.pump();
    expect(ring.take()).toEqual([]);
  });

  test('a device that is closed closes its streams and its host', async () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    await made.device.close();
    expect(stream.destroyed).toBe(true);
    expect(made.backend.closed).toBe(true);
  });
});
