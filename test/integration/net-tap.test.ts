/** Whole VMs on a TAP device: a bare-metal driver that sends everything back. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describeKvm } from '../support/kvm';
import { checkLeaks, Guest, until } from '../support/run-guest';
import { canUseTap } from '../support/tap-guest';
import { TapPair } from '../support/tap-pair';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
const MAC = '52:54:00:00:00:01';
const GUEST = [0x52, 0x54, 0, 0, 0, 1];
const HOST = [0x52, 0x54, 0, 9, 9, 9];
const usable = canUseTap();
const describeTap = usable ? describeKvm : describe.skip;
if (!usable) console.warn('skipped: no TAP devices or network namespaces here');

/** A frame of a local experimental protocol. */
function frame(text: string, length = 60): Buffer {
  const bytes = Buffer.alloc(length, 0x2e);
  bytes.set([...GUEST, ...HOST, 0x88, 0xb5]);
  bytes.write(text, 14, 'latin1');
  return bytes;
}

function answer(text: string, length = 60): string {
  const bytes = frame(text, length);
  bytes.set([...HOST, ...GUEST]);
  return bytes.toString('latin1');
}

describeTap('a VM on a tap', () => {
  checkLeaks();

  async function start(): Promise<{ guest: Guest; wire: TapPair }> {
    const name = TapPair.newName();
    const net = { kind: 'tap' as const, name, mac: MAC };
    const guest = await Guest.start('net', { net });
    await guest.shows('link=1\n');
    return { guest, wire: TapPair.around({ kind: 'tap', name, fds: [] }) };
  }

  /** Frames that the guest sends back, and nothing else. */
  async function echoes(wire: TapPair, count: number): Promise<string[]> {
    const frames: string[] = [];
    await until('the guest answers', () => {
      frames.push(...wire.take().map(({ bytes }) => bytes.toString('latin1')));
      return frames.length >= count;
    });
    return frames;
  }

  test('gets frames and sends them back, until it ends; the tap ends with it', async () => {
    const { guest, wire } = await start();
    try {
      await using running = guest;
      const texts = Array.from({ length: 20 }, (_, i) => `frame ${i}`);
      for (const text of texts) wire.send(frame(text));
      expect(await echoes(wire, 20)).toEqual(texts.map((text) => answer(text)));
      wire.send(frame('long', 1514));
      expect(await echoes(wire, 1)).toEqual([answer('long', 1514)]);
      await running.vm.pause();
      wire.send(frame('paused'));
      await running.vm.resume();
      expect(await echoes(wire, 1)).toEqual([answer('paused')]);
      const [network] = running.vm.networks;
      network!.setLink(false);
      await running.shows('link=0\n');
      wire.send(frame('unplugged'));
      await until('the frame is thrown away', () => network!.statistics.rxDropped === 1);
      network!.setLink(true);
      await until('the link is up', () => running.serial.split('link=1\n').length === 3);
      const frames = { perSecond: 0.001, burst: 1 };
      await network!.setRateLimit({ rx: { frames } });
      for (const text of ['one', 'two']) wire.send(frame(text));
      expect(await echoes(wire, 1)).toEqual([answer('one')]);
      await network!.setRateLimit({});
      expect(await echoes(wire, 1)).toEqual([answer('two')]);
      await expect(
        network!.setRateLimit({ tx: { frames: { perSecond: 0, burst: 1 } } }),
      ).rejects.toMatchObject({ code: 'ERR_CONFIG' });
      wire.send(frame('q'));
      const { report, values } = await running.ended();
      expect(report.reason).toBe('power-off');
      // The host's own stack has spoken to it too, before the tap was in its namespace.
      expect(parseInt(values('count')[0]!, 16)).toBeGreaterThanOrEqual(25);
      expect(wire.sh('cat /proc/net/dev')).not.toContain(`${wire.tap.name}:`);
    } finally {
      wire.close();
    }
  });

  test('sees its link go down with the tap, and goes on', async () => {
    const { guest, wire } = await start();
    const notes: string[] = [];
    guest.vm.on('note', (note) => notes.push(note));
    try {
      await using running = guest;
      wire.send(frame('here'));
      expect(await echoes(wire, 1)).toEqual([answer('here')]);
      wire.sh(`ip link del ${wire.tap.name}`);
      await running.shows('link=0\n');
      expect(running.vm.state).toBe('running');
      expect(notes).toContain(
        `tap ${wire.tap.name} is gone: the link of the guest's interface is down`,
      );
    } finally {
      wire.close();
    }
  });
});

describeKvm('vexit run --net tap=', () => {
  test.each([
    ['tap=sixteen-letters-', 'the name of tap "sixteen-letters-" is too long'],
    ['tap=a,mac=01:00:5e:00:00:01', '01:00:5e:00:00:01 is not a unicast MAC address'],
    ['tap=lo', usable ? 'lo is an interface, but not a tap' : ''],
  ])('%s is one line and status 2', (net, message) => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [CLI, 'run', '--net', net, '--', 'true'],
      {
        encoding: 'utf8',
      },
    );
    expect(stderr).toContain(`vexit: ${message}`);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(status).toBe(2);
  });

  test('published ports belong to a user network', () => {
    const args = ['run', '--net', 'tap=tap0', '--publish', '8080:80', '--', 'true'];
    const { status, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });
    expect(stderr).toContain('--publish is about a user network');
    expect(status).toBe(2);
  });
});
