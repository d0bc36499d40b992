import { AgentChannel, type CommandExit } from '../../../src/agent/agent-channel';
import { setImmediate as turn } from 'node:timers/promises';

function frame(type: number, payload: Uint8Array | string = ''): Buffer {
  const body = Buffer.from(payload as string);
  return Buffer.concat([Buffer.from([type, 0, body.length & 0xff, body.length >> 8]), body]);
}
const credit = (bytes: number): Buffer => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(bytes);
  return frame(0x15, payload);
};
const STDOUT = 0x11;
const STDERR = 0x12;
const EXIT = 0x13;
const READY = 0x14;
/** How every agent begins: HELLO with its version, then READY. */
const GREETING = Buffer.concat([frame(0x10, Buffer.from([1])), frame(READY)]);

/** A channel to a port that takes `room` bytes. */
class Harness {
  room = Infinity;
  wanted = 0;
  private sent = Buffer.alloc(0);
  readonly channel = new AgentChannel(
    (bytes) => {
      const count = Math.min(bytes.length, this.room);
      this.sent = Buffer.concat([this.sent, bytes.subarray(0, count)]);
      this.room -= count;
      return count;
    },
    () => this.wanted++,
  );

  /** What the guest got: [type, payload] of each whole frame. */
  frames(): [number, string][] {
    const frames: [number, string][] = [];
    while (this.sent.length >= 4) {
      const end = 4 + this.sent.readUInt16LE(2);
      if (this.sent.length < end) break;
      frames.push([this.sent[0]!, this.sent.subarray(4, end).toString('latin1')]);
      this.sent = this.sent.subarray(end);
    }
    return frames;
  }
  stdinSent(): string {
    return this.frames()
      .filter(([type]) => type === 1)
      .map(([, payload]) => payload)
      .join('');
  }
}

test('output streams, the exit, and their end', async () => {
  const { channel } = new Harness();
  let out = '';
  let err = '';
  const ends: string[] = [];
  const exits: CommandExit[] = [];
  channel.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()));
  channel.stderr.on('data', (bytes: Buffer) => (err += bytes.toString()));
  channel.stdout.on('end', () => ends.push('stdout'));
  channel.stderr.on('end', () => ends.push('stderr'));
  channel.on('exit', (exit) => exits.push(exit));
  const all = Buffer.concat([
    frame(0x10, 'hello'),
    frame(READY),
    frame(STDOUT, 'one '),
    frame(STDERR, 'error'),
    frame(0x99, 'unknown'),
    frame(STDOUT, 'two'),
    frame(EXIT, Buffer.from([0, 42])),
    frame(STDOUT, 'after the exit'),
  ]);
  for (const byte of all) channel.receive(Uint8Array.of(byte));
  await turn();
  await turn();
  expect(out).toBe('one two');
  expect(err).toBe('error');
  expect(exits).toEqual([{ kind: 'exited', value: 42 }]);
  expect(ends.sort()).toEqual(['stderr', 'stdout']);
});

test.each([
  [[1, 9], { kind: 'signalled', value: 9 }],
  [[2, 2], { kind: 'not-started', value: 2 }],
  [[3, 22], { kind: 'no-root', value: 22 }],
  [[200, 1], { kind: 'exited', value: 1 }],
  [[], { kind: 'exited', value: 0 }],
])('exit frame %j', (payload, expected) => {
  const { channel } = new Harness();
  const exits: CommandExit[] = [];
  channel.on('exit', (exit) => exits.push(exit));
  channel.receive(frame(EXIT, Buffer.from(payload)));
  expect(exits).toEqual([expected]);
});

test('the guest hears that its exit has arrived, behind input that is on its way', () => {
  const harness = new Harness();
  const { channel } = harness;
  channel.receive(GREETING);
  harness.room = 6;
  channel.stdin.write('input');
  channel.receive(frame(EXIT, Buffer.from([0, 0])));
  expect(harness.frames()).toEqual([]);
  harness.room = Infinity;
  channel.pump();
  expect(harness.frames()).toEqual([
    [0x01, 'input'],
    [0x05, ''],
  ]);
});

test('standard input waits for the guest to be ready, then for its credit', async () => {
  const harness = new Harness();
  const { channel } = harness;
  channel.stdin.write('x'.repeat(3000));
  await turn();
  expect(harness.frames()).toEqual([]);
  channel.receive(GREETING);
  expect(harness.stdinSent()).toHaveLength(2048);
  channel.receive(credit(10));
  expect(harness.stdinSent()).toHaveLength(10);
  channel.receive(credit(100_000));
  expect(harness.stdinSent()).toHaveLength(3000 - 2058);
  channel.stdin.end('y');
  await turn();
  // The last bytes, then an empty frame: the end of input.
  expect(harness.frames()).toEqual([
    [1, 'y'],
    [1, ''],
  ]);
});

test('nothing is sent before the agent has greeted: its terminal line would echo it', () => {
  const harness = new Harness();
  harness.channel.resize(24, 80);
  expect(harness.frames()).toEqual([]);
  harness.channel.receive(frame(0x10, Buffer.from([1])));
  expect(harness.frames()).toEqual([[2, '\x18\x00\x50\x00']]);
});

test('credit is bounded, and a short credit frame is ignored', async () => {
  const harness = new Harness();
  const { channel } = harness;
  channel.receive(GREETING);
  for (let i = 0; i < 4; i++) channel.receive(credit(0xffff_ffff));
  channel.receive(frame(0x15, 'abc'));
  channel.stdin.write(Buffer.alloc(2 ** 21));
  await turn();
  expect(harness.stdinSent()).toHaveLength(2 ** 20);
});

test('frames go out whole through a port that takes a byte at a time', async () => {
  const harness = new Harness();
  harness.room = 0;
  const { channel } = harness;
  channel.receive(GREETING);
  channel.resize(24, 80);
  channel.signal(15);
  channel.stdin.write('input');
  channel.shutdown();
  await turn();
  for (let i = 0; i < 200; i++) {
    harness.room = 1;
    channel.pump();
  }
  expect(harness.frames()).toEqual([
    [2, '\x18\x00\x50\x00'],
    [3, '\x0f'],
    [1, 'input'],
    [4, ''],
  ]);
});

test('a reader that is behind makes the channel stop accepting, until it reads', async () => {
  const harness = new Harness();
  const { channel } = harness;
  while (channel.accepting) channel.receive(frame(STDOUT, Buffer.alloc(4096)));
  expect(channel.stdout.readableLength).toBeLessThanOrEqual(64 * 1024 + 4096);
  const before = harness.wanted;
  channel.stdout.resume();
  await turn();
  await turn();
  expect(harness.wanted).toBeGreaterThan(before);
  expect(channel.accepting).toBe(true);
});

test('what is not a frame ends everything once', async () => {
  const { channel } = new Harness();
  let broken = 0;
  channel.on('broken', () => broken++);
  channel.stdout.resume();
  const ended = new Promise((resolve) => channel.stdout.on('end', resolve));
  channel.receive(frame(STDOUT, 'fine'));
  channel.receive(Buffer.from('this is no frame at all'));
  await ended;
  expect(broken).toBe(1);
  // Writes after the end are swallowed, and their callbacks called.
  await new Promise((resolve) => channel.stdin.write('x', resolve));
});
