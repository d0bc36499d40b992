import { AgentLink } from '../../../src/machine/agent-link';
import { ConsolePort, type PortHost } from '../../../src/machine/console-port';

/** A port of a guest, with what the guest wrote and what it has got. */
class Port {
  output = '';
  input = '';
  room = Infinity;
  readonly port: ConsolePort;
  constructor() {
    const host: PortHost = {
      take: () => {
        const bytes = Buffer.from(this.output);
        this.output = '';
        return bytes;
      },
      receive: (bytes) => {
        const count = Math.min(bytes.length, this.room);
        this.input += Buffer.from(bytes.subarray(0, count)).toString();
        this.room -= count;
        return count;
      },
    };
    this.port = new ConsolePort(() => host);
  }
  write(text: string): void {
    this.output += text;
    this.port.drain();
  }
}

class Channel {
  accepting = true;
  received = '';
  pumped = 0;
  receive(bytes: Uint8Array): void {
    this.received += Buffer.from(bytes).toString();
  }
  pump(): void {
    this.pumped++;
  }
}

function connected(): { serial: Port; named: Port; channel: Channel; link: AgentLink } {
  const [serial, named, channel] = [new Port(), new Port(), new Channel()];
  const link = new AgentLink([serial.port, named.port]);
  link.connect(channel);
  return { serial, named, channel, link };
}

test.each(['serial', 'named'] as const)(
  'the port the agent speaks on first is its port: %s',
  (name) => {
    const all = connected();
    const { channel, link } = all;
    const carrier = all[name];
    const other = all[name === 'serial' ? 'named' : 'serial'];
    expect(link.offer(Buffer.from('too early'))).toBe(0);
    carrier.write('hello');
    other.write('somebody else');
    carrier.write(', again');
    expect(channel.received).toBe('hello, again');
    expect(link.offer(Buffer.from('answer'))).toBe(6);
    expect([carrier.input, other.input]).toEqual(['answer', '']);
  },
);

test('a port that is full takes a part, and has the channel go on when there is room', () => {
  const { named, serial, channel, link } = connected();
  named.write('hello');
  named.room = 3;
  expect(link.offer(Buffer.from('answer'))).toBe(3);
  serial.port.onSpace();
  expect(channel.pumped).toBe(0);
  named.port.onSpace();
  expect(channel.pumped).toBe(1);
});

test('bytes stay in the port while the channel does not accept them', () => {
  const { named, channel, link } = connected();
  channel.accepting = false;
  named.write('hello');
  expect([channel.received, named.output]).toEqual(['', 'hello']);
  channel.accepting = true;
  link.drain();
  expect([channel.received, named.output]).toEqual(['hello', '']);
});
