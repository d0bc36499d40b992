/** F8, F9 of the hostile cases and the device requirements V-1 to V-5. */
import { MAX_CONNECTIONS } from '../../../../src/devices/virtio/vsock/connection-table.js';
import {
  HEADER_BYTES,
  Operation as Op,
  Shutdown,
  VsockQueue,
} from '../../../../src/devices/virtio/vsock/vsock-protocol.js';
import { FakeStream } from './fake-stream.js';
import { CID, VsockBench, encode, type Packet } from './vsock-bench.js';

const PORTS = { guestPort: 1000, hostPort: 52 };
const AT = 0x9000;
/** 10^5 in a long run. */
const FLOOD = Number(process.env.FUZZ_SECONDS ?? 2) > 2 ? 100_000 : 10_000;

/** The device still works for somebody else. */
function works(made: VsockBench): void {
  expect(made.needsReset).toBe(false);
  const stream = made.connectOut(5000, 5000);
  made.send({ op: Op.ReadWrite, guestPort: 5000, hostPort: 5000, data: Buffer.from('works') });
  expect(stream.text).toBe('works');
}

describe('packets that are none', () => {
  test.each([0, 1, 43])('F8: %d bytes instead of a header are passed over', (length) => {
    const made = VsockBench.started();
    made.rings[VsockQueue.Transmit]!.send({ address: AT, length });
    made.notify(VsockQueue.Transmit);
    made.pump();
    expect(made.rings[VsockQueue.Transmit]!.take()).toHaveLength(1);
    expect(made.receiveAll()).toEqual([]);
    works(made);
  });

  test('F8: a header in the writable part is not read', () => {
    const made = VsockBench.started();
    made.ram.write(AT, encode({ op: Op.Request, ...PORTS }));
    made.rings[VsockQueue.Transmit]!.send({ address: AT, length: HEADER_BYTES, writable: true });
    made.notify(VsockQueue.Transmit);
    made.pump();
    expect(made.backend.asked).toEqual([]);
    works(made);
  });

  test('S-1: a header and its data in many descriptors are one packet', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    const packet = Buffer.concat([
      encode({ op: Op.ReadWrite, ...PORTS, length: 3, allocation: 1 }),
      Buffer.from('abc'),
    ]);
    made.ram.write(AT, packet);
    made.rings[VsockQueue.Transmit]!.send(
      ...Array.from({ length: packet.length }, (_, i) => ({ address: AT + i, length: 1 })),
    );
    made.notify(VsockQueue.Transmit);
    made.pump();
    expect(stream.text).toBe('abc');
  });

  test.each([1, 0xffff_ffff])('F8: a length of %d beyond the buffer resets', (beyond) => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    made.send({
      op: Op.ReadWrite,
      ...PORTS,
      length: Math.min(5 + beyond, 0xffff_ffff),
      data: Buffer.alloc(5),
    });
    expect(stream.written).toEqual([]);
    expect(stream.destroyed).toBe(true);
    expect(made.receiveAll()).toMatchObject([{ op: Op.Reset, ...PORTS }]);
    works(made);
  });

  test('F8: payload that the header does not tell of is not taken', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    made.send({ op: Op.ReadWrite, ...PORTS, length: 2, data: Buffer.from('abcdef') });
    made.send({ op: Op.CreditUpdate, ...PORTS, length: 6, data: Buffer.from('abcdef') });
    made.send({ op: Op.ReadWrite, ...PORTS, length: 0 });
    expect(stream.text).toBe('ab');
  });
});

describe('addresses', () => {
  test.each([
    ['another guest', 4n],
    ['the host', 2n],
    ['nobody', 0n],
    ['the guest with upper bits', (1n << 32n) | BigInt(CID)],
    ['anybody', 0xffff_ffff_ffff_ffffn],
  ])('F8: a packet from %s is passed over', (_, from) => {
    const made = VsockBench.started();
    made.send({ op: Op.Request, ...PORTS, from });
    expect(made.backend.asked).toEqual([]);
    expect(made.receiveAll()).toEqual([]);
    works(made);
  });

  test.each([0n, 1n, 4n, (7n << 32n) | 2n])('F8: %d is not the host: a reset by it', (to) => {
    const made = VsockBench.started();
    made.send({ op: Op.Request, ...PORTS, to });
    expect(made.backend.asked).toEqual([]);
    expect(made.receiveAll()).toMatchObject([
      { op: Op.Reset, ...PORTS, from: to, to: BigInt(CID) },
    ]);
    works(made);
  });

  test.each([0, 2, 3, 0xffff])('V-5: type %d is answered with a reset', (type) => {
    const made = VsockBench.started();
    made.send({ op: Op.Request, ...PORTS, type });
    expect(made.backend.asked).toEqual([]);
    expect(made.receiveAll()).toMatchObject([{ op: Op.Reset, ...PORTS, type }]);
    works(made);
  });
});

describe('operations out of place', () => {
  test.each([
    Op.Response,
    Op.ReadWrite,
    Op.Shutdown,
    Op.CreditUpdate,
    Op.CreditRequest,
    0,
    8,
    0xffff,
  ])('F8: operation %d for no connection is answered with a reset', (op) => {
    const made = VsockBench.started();
    made.send({ op, ...PORTS });
    expect(made.receiveAll()).toMatchObject([{ op: Op.Reset, ...PORTS }]);
    works(made);
  });

  test('F8: a reset for no connection is not answered', () => {
    const made = VsockBench.started();
    made.send({ op: Op.Reset, ...PORTS });
    made.send({ op: Op.Reset, ...PORTS, type: 7 });
    expect(made.receiveAll()).toEqual([]);
  });

  test.each([Op.Request, Op.Response, 0, 8, 0xffff])(
    'F8: operation %d on an open connection ends it',
    (op) => {
      const made = VsockBench.started();
      const stream = made.connectOut();
      made.send({ op, ...PORTS });
      expect(stream.destroyed).toBe(true);
      expect(made.receiveAll()).toMatchObject([{ op: Op.Reset, ...PORTS }]);
      expect(made.device.connections).toBe(0);
      works(made);
    },
  );

  test.each([Op.ReadWrite, Op.Shutdown, Op.Request])(
    'F8: operation %d before the host has accepted ends the attempt',
    (op) => {
      const made = VsockBench.started();
      made.send({ op: Op.Request, ...PORTS });
      made.send({ op, ...PORTS, flags: Shutdown.Both, data: Buffer.from('x') });
      expect(made.backend.asked[0]!.stream.destroyed).toBe(true);
      expect(made.receiveAll()).toMatchObject([{ op: Op.Reset, ...PORTS }]);
    },
  );

  test('F8: data after the promise to send no more end the connection', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    made.send({ op: Op.Shutdown, ...PORTS, flags: Shutdown.Send });
    made.send({ op: Op.ReadWrite, ...PORTS, data: Buffer.from('x') });
    expect(stream.destroyed).toBe(true);
  });

  test('F8: flags that a SHUTDOWN does not have are ignored', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    made.send({ op: Op.Shutdown, ...PORTS, flags: 0xffff_fffc });
    made.send({ op: Op.ReadWrite, ...PORTS, data: Buffer.from('x') });
    expect(stream.text).toBe('x');
    expect(stream.ended).toBe(false);
  });

  test('an answer to a question that was never seen is none', () => {
    const made = VsockBench.started(0);
    const stream = new FakeStream();
    stream.listener = made.backend.guest.connect(80, stream);
    made.pump();
    made.send({ op: Op.Response, guestPort: 80, hostPort: 2 ** 30 });
    expect(stream.acceptedAs).toBeUndefined();
    expect(stream.destroyed).toBe(true);
  });
});

describe('floods', () => {
  test(`F8, K4: of ${FLOOD} requests as many are taken as there may be, the rest is reset`, () => {
    const made = VsockBench.started();
    let resets = 0;
    for (let i = 0; i < FLOOD; i += 10) {
      for (let j = 0; j < 10; j++)
        made.queueSend({ op: Op.Request, guestPort: i + j, hostPort: 9 });
      made.notify(VsockQueue.Transmit);
      made.pump();
      const packets = made.receive();
      resets += packets.filter(({ op }) => op === Op.Reset).length;
    }
    resets += made.receiveAll().length;
    expect(made.device.connections).toBe(MAX_CONNECTIONS);
    expect(made.backend.asked).toHaveLength(MAX_CONNECTIONS);
    expect(resets).toBe(FLOOD - MAX_CONNECTIONS);
    const stream = new FakeStream();
    expect(made.backend.guest.connect(1, stream)).toBeUndefined();
    expect(made.lines.length).toBeLessThan(30);
    made.send({ op: Op.Reset, guestPort: 0, hostPort: 9 });
    expect(made.backend.guest.connect(1, stream)).toBeDefined();
  });

  test('F8: of any number of CREDIT_REQUESTs one answer is owed at a time', () => {
    const made = VsockBench.started(1);
    made.connectOut();
    expect(made.receive(false)).toEqual([]);
    for (let i = 0; i < 2000; i++) made.send({ op: Op.CreditRequest, ...PORTS });
    // One buffer was there; what it got, and what is owed after it.
    made.post(16);
    made.pump();
    const packets = made.receive(false);
    expect(packets.map(({ op }) => op)).toEqual([Op.CreditUpdate, Op.CreditUpdate]);
  });

  test('V-1, F9: packets of the guest are taken while it has no receive buffers', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    const busy = made.connectOut(1001);
    made.receiveAll();
    // The program's data fill all buffers there are, and more.
    for (let i = 0; i < 10; i++) busy.listener!.onData(Buffer.alloc(65536));
    made.pump();
    made.allocation = 1 << 24;
    made.send({ op: Op.CreditUpdate, guestPort: 1001, hostPort: 52 });
    const before = stream.bytes;
    for (let i = 0; i < 3000; i++) {
      made.send({ op: Op.ReadWrite, ...PORTS, data: Buffer.alloc(50) });
      stream.take();
    }
    expect(stream.bytes - before).toBe(150_000);
    expect(made.receive(false).length).toBe(128);
  });

  test('F9: packets that need an answer are taken while there is room to note it', () => {
    const made = VsockBench.started(0);
    for (let i = 0; i < 250; i++) made.send({ op: Op.ReadWrite, guestPort: i, hostPort: 1 });
    made.rings[VsockQueue.Transmit]!.take();
    for (let i = 250; i < 261; i++) made.send({ op: Op.ReadWrite, guestPort: i, hostPort: 1 });
    expect(made.rings[VsockQueue.Transmit]!.take()).toHaveLength(6);
    made.post(128);
    made.pump();
    const got: Packet[] = made.receiveAll();
    made.pump();
    got.push(...made.receiveAll());
    expect(got.map(({ guestPort }) => guestPort)).toEqual(Array.from({ length: 261 }, (_, i) => i));
    expect(made.rings[VsockQueue.Transmit]!.take()).toHaveLength(5);
  });

  test('F8: a program that does not read costs the credit and no more', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    let sent = 0;
    while (!stream.destroyed && sent < 10_000_000) {
      made.send({ op: Op.ReadWrite, ...PORTS, data: Buffer.alloc(65536) });
      sent += 65536;
    }
    expect(sent).toBe(262144 + 65536);
    // Only one write at a time is under way: the rest has gathered behind it.
    expect(stream.bytes).toBe(65536);
    expect(made.receiveAll()).toMatchObject([{ op: Op.Reset, ...PORTS }]);
  });

  test('F8: a program that writes single bytes, or much, is made to wait', () => {
    const made = VsockBench.started();
    made.allocation = 0;
    const [small, large] = [made.connectOut(1), made.connectOut(2)];
    let bytes = 0;
    while (!small.paused && bytes < 1000) {
      small.listener!.onData(Buffer.from('x'));
      bytes++;
    }
    expect(bytes).toBe(64);
    let chunks = 0;
    while (!large.paused && chunks < 1000) {
      large.listener!.onData(Buffer.alloc(65536));
      chunks++;
    }
    expect(chunks).toBe(2);
    made.pump();
    expect(made.receiveAll().map(({ op }) => op)).toEqual([Op.CreditRequest, Op.CreditRequest]);
  });
});

describe('receive buffers', () => {
  test.each([0, 1, 43])('F8: of %d bytes are given back empty, and the packet waits', (size) => {
    const made = VsockBench.started(0);
    made.post(3, size);
    made.send({ op: Op.ReadWrite, ...PORTS });
    expect(made.rings[VsockQueue.Receive]!.take().map(({ length }) => length)).toEqual([0, 0, 0]);
    made.post(1);
    made.pump();
    expect(made.receive()).toMatchObject([{ op: Op.Reset }]);
    expect(made.needsReset).toBe(false);
  });

  test('F8: that hold a header only do not lose data', () => {
    const made = VsockBench.started(2);
    const stream = made.connectOut();
    expect(made.receive(false)).toEqual([]);
    made.post(256 - 128, HEADER_BYTES);
    stream.listener!.onData(Buffer.from('data'));
    made.pump();
    let data = '';
    for (let i = 0; i < 300 && data === ''; i++) {
      made.post(1);
      made.pump();
      data = Buffer.concat(made.receive(false).map((packet) => packet.data)).toString();
    }
    expect(data).toBe('data');
    expect(stream.destroyed).toBe(false);
  });
});

describe('credit of the guest', () => {
  test('V-2: no more is sent than there is room for, whatever the buffers', () => {
    const made = VsockBench.started();
    made.allocation = 1000;
    const stream = made.connectOut();
    stream.listener!.onData(Buffer.alloc(5000));
    made.pump();
    const packets = made.receiveAll();
    expect(packets.map(({ op, length }) => [op, length])).toEqual([
      [Op.ReadWrite, 1000],
      [Op.CreditRequest, 0],
    ]);
    made.send({ op: Op.CreditUpdate, ...PORTS, forwarded: 400 });
    expect(made.receiveAll().map(({ op, length }) => [op, length])).toEqual([
      [Op.ReadWrite, 400],
      [Op.CreditRequest, 0],
    ]);
  });

  test('V-3: every packet of a connection has the room of the host', () => {
    const made = VsockBench.started();
    const stream = made.connectOut();
    made.send({ op: Op.ReadWrite, ...PORTS, data: Buffer.alloc(7) });
    stream.take();
    made.send({ op: Op.CreditRequest, ...PORTS });
    stream.listener!.onData(Buffer.from('x'));
    stream.listener!.onEnd();
    made.pump();
    const packets = made.receiveAll();
    expect(packets.map(({ op }) => op)).toEqual([Op.CreditUpdate, Op.ReadWrite, Op.Shutdown]);
    for (const packet of packets)
      expect(packet).toMatchObject({ allocation: 262144, forwarded: 7 });
  });

  test.each([1, 1000, 0x7fff_ffff])(
    'F8: fwd_cnt %d ahead of what was sent ends the connection',
    (forwarded) => {
      const made = VsockBench.started();
      const stream = made.connectOut();
      made.send({ op: Op.CreditUpdate, ...PORTS, forwarded });
      expect(stream.destroyed).toBe(true);
      expect(made.receiveAll()).toMatchObject([{ op: Op.Reset }]);
      works(made);
    },
  );

  test('F8: fwd_cnt that goes backwards is old news', () => {
    const made = VsockBench.started();
    made.allocation = 10;
    const stream = made.connectOut();
    stream.listener!.onData(Buffer.alloc(20));
    made.pump();
    made.receiveAll();
    made.send({ op: Op.CreditUpdate, ...PORTS, forwarded: 10 });
    expect(made.receiveAll()).toMatchObject([{ op: Op.ReadWrite, length: 10 }]);
    made.send({ op: Op.CreditUpdate, ...PORTS, forwarded: 5, allocation: 1 << 30 });
    stream.listener!.onData(Buffer.alloc(20));
    made.pump();
    expect(made.receiveAll()).toMatchObject([{ op: Op.CreditRequest }]);
    expect(stream.destroyed).toBe(false);
  });

  test('F8: a guest that never gives credit is asked once', () => {
    const made = VsockBench.started();
    made.allocation = 0;
    const stream = made.connectOut();
    stream.listener!.onData(Buffer.from('x'));
    made.pump();
    for (let i = 0; i < 100; i++) made.send({ op: Op.CreditUpdate, ...PORTS });
    expect(made.receiveAll()).toMatchObject([{ op: Op.CreditRequest }]);
    works(made);
  });
});
