/** Random packets of the guest and random programs of the host, with the invariants of both. */
import { MAX_CONNECTIONS } from '../../../../src/devices/virtio/vsock/connection-table.js';
import { VsockDevice } from '../../../../src/devices/virtio/vsock/vsock.js';
import { Operation as Op } from '../../../../src/devices/virtio/vsock/vsock-protocol.js';
import { ReceiveCredit, SendCredit } from '../../../../src/devices/virtio/vsock/credit.js';
import { fuzz, type Random } from '../fuzz.js';
import { FakeStream } from './fake-stream.js';
import { VsockBench, type Packet } from './vsock-bench.js';

const STEPS = 2000;
/** Few, so that packets meet connections. */
const GUEST_PORTS = [1, 2, 3];
const HOST_PORTS = [7, 8, 2 ** 30, 2 ** 30 + 1];
/** What a stream is given before it has taken what it was given before. */
const HELD = 262144;

let cases = 0;
afterAll(() => {
  if (process.env.FUZZ_SECONDS !== undefined) console.log(`${cases} cases`);
});

/** `expect` takes longer than a case. */
function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not so: ${what}`);
}

/** What is right for every packet that the guest gets. */
class Judge {
  /** By ports: what the guest has allowed, and what it was sent. */
  private readonly allowed = new Map<string, number>();
  private readonly sent = new Map<string, number>();

  /** The guest is about to say this. */
  says(packet: Partial<Packet>): void {
    const key = `${packet.guestPort}:${packet.hostPort}`;
    // The most that any packet has ever allowed, counted as the device counts.
    const allowed = (packet.allocation ?? 0) + (packet.forwarded ?? 0);
    this.allowed.set(key, Math.max(this.allowed.get(key) ?? 0, allowed));
  }

  hears({ op, type, guestPort, hostPort, length, data, flags }: Packet): void {
    const key = `${guestPort}:${hostPort}`;
    must(op >= 1 && op <= 7, 'an operation that there is');
    must(data.length === length, 'as many bytes as the header says');
    must(length > 0 === (op === Op.ReadWrite), 'data in RW packets and nowhere else');
    must((flags !== 0) === (op === Op.Shutdown), 'flags of a SHUTDOWN and nothing else');
    if (op === Op.Request || op === Op.Response) this.sent.set(key, 0);
    if (op === Op.Reset) {
      this.sent.delete(key);
      return;
    }
    must(type === 1, 'a stream');
    const sent = (this.sent.get(key) ?? 0) + length;
    this.sent.set(key, sent);
    must(sent <= (this.allowed.get(key) ?? 0), 'V-2: no more than the guest allows');
  }
}

function randomPacket(random: Random): Partial<Packet> {
  const op = random.chance(90) ? 1 + random.below(7) : random.word() & 0xffff;
  const data = Buffer.alloc(random.chance(60) ? random.below(2000) : 0, op);
  return {
    op,
    guestPort: random.chance(95) ? random.pick(GUEST_PORTS) : random.word(),
    hostPort: random.chance(95) ? random.pick(HOST_PORTS) : random.word(),
    flags: random.chance(80) ? random.below(4) : random.word(),
    allocation: random.chance(80) ? random.below(20000) : random.word(),
    forwarded: random.chance(80) ? random.below(3000) : random.word(),
    ...(random.chance(95) ? {} : { type: random.word() & 0xffff }),
    ...(random.chance(97) ? {} : { to: BigInt(random.word()) }),
    ...(random.chance(97) ? {} : { from: BigInt(random.word()) }),
    ...(random.chance(95) ? {} : { length: random.word() }),
    data,
  };
}

/** One thing that a program of the host does, of those that are possible. */
function randomProgram(stream: FakeStream, random: Random): void {
  const { listener } = stream;
  if (listener === undefined || stream.destroyed) return;
  const action = random.below(100);
  if (action < 40) stream.take();
  else if (action < 70 && !stream.paused) listener.onData(Buffer.alloc(1 + random.below(5000), 7));
  else if (action < 80) listener.onOpen();
  else if (action < 90 && !stream.paused) listener.onEnd();
  else if (action < 93) {
    stream.destroyed = true;
    listener.onClose(random.chance(70));
  }
}

test('V-2, V-3, F8: no packets and no programs break the device, its bounds or its word', () => {
  const rounds = fuzz((random) => {
    const made = VsockBench.started(random.below(64));
    const judge = new Judge();
    const streams: FakeStream[] = [];
    const programs = (): FakeStream[] => [
      ...streams.slice(-6),
      ...made.backend.asked.slice(-6).map(({ stream }) => stream),
    ];
    for (let step = 0; step < STEPS; step++) {
      cases++;
      const action = random.below(100);
      if (action < 60) {
        const packet = randomPacket(random);
        judge.says({ allocation: 0, ...packet });
        made.send({ allocation: 0, ...packet });
      } else if (action < 85) {
        const all = programs();
        if (all.length > 0) randomProgram(random.pick(all), random);
        made.pump();
      } else if (action < 90) {
        const stream = new FakeStream();
        stream.listener = made.backend.guest.connect(random.pick(GUEST_PORTS), stream);
        streams.push(stream);
        made.pump();
      } else {
        for (const packet of made.receive(random.chance(90))) judge.hears(packet);
      }
      for (const { held } of programs()) must(held <= HELD, 'a write that a program does not take');
    }
    expect(made.needsReset).toBe(false);
    expect(made.device.connections).toBeLessThanOrEqual(MAX_CONNECTIONS);
    expect(made.lines.length).toBeLessThan(80);
    made.up();
    expect(made.device.connections).toBeLessThanOrEqual(streams.length);
    made.receiveAll();
    const stream = made.connectOut(50, 50);
    made.send({ op: Op.ReadWrite, guestPort: 50, hostPort: 50, data: Buffer.from('alive') });
    expect(stream.text).toBe('alive');
  });
  expect(rounds).toBeGreaterThan(1);
});

test('credit: what two honest sides count is the same, over 2^32 too', () => {
  fuzz((random) => {
    cases++;
    const allocation = 1 + random.below(1 << 18);
    const sender = new SendCredit();
    const receiver = new ReceiveCredit(allocation);
    expect(sender.update(allocation, 0)).toBe(true);
    let held = 0;
    let total = 0;
    // In steps that pass 2^32 often.
    for (let i = 0; i < 200; i++) {
      const room = sender.available;
      expect(room).toBeLessThanOrEqual(allocation - held);
      const sent = random.chance(50) ? room : random.below(room + 1);
      sender.take(sent);
      expect(receiver.receive(sent)).toBe(true);
      held += sent;
      total += sent;
      expect(receiver.receive(allocation - held + 1)).toBe(false);
      const forwarded = random.below(held + 1);
      receiver.forward(forwarded);
      held -= forwarded;
      if (receiver.owesUpdate || random.chance(30)) {
        receiver.tell();
        expect(sender.update(allocation, receiver.forwarded)).toBe(true);
        expect(sender.available).toBe(allocation - held);
      }
    }
    expect(total).toBeGreaterThan(0);
  });
});

test('credit: counts go on over 2^32', () => {
  const sender = new SendCredit();
  const receiver = new ReceiveCredit(2 ** 30);
  sender.update(2 ** 30, 0);
  for (let i = 0; i < 20; i++) {
    expect(sender.available).toBe(2 ** 30);
    sender.take(2 ** 30 - 7);
    expect(receiver.receive(2 ** 30 - 7)).toBe(true);
    expect(receiver.receive(8)).toBe(false);
    receiver.forward(2 ** 30 - 7);
    expect(receiver.owesUpdate).toBe(true);
    receiver.tell();
    expect(sender.update(2 ** 30, receiver.forwarded)).toBe(true);
  }
  expect(sender.update(2 ** 30, receiver.forwarded - 1)).toBe(true);
  expect(sender.update(2 ** 30, (receiver.forwarded + 1) >>> 0)).toBe(false);
});

test('a device without a host refuses the guest', () => {
  const made = new VsockBench(new VsockDevice({ cid: 3 })).up();
  made.send({ op: Op.Request, guestPort: 1, hostPort: 2 });
  expect(made.receiveAll()).toMatchObject([{ op: Op.Reset }]);
});
