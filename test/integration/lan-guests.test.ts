/** Bare-metal guests on a LAN: what one sends arrives at the others whole, in order, however slow they are. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeKvm } from '../support/kvm';
import { Guest } from '../support/run-guest';

const WATCHDOG_MS = 300_000;
/** What the guest sends, in hexadecimal as it reports it. */
const FRAMES = (20_000).toString(16);
/** With `VEXIT_TEST_WORK=full` a hundred thousand, which takes interpreted guests a minute. */
const FULL = process.env.VEXIT_TEST_WORK === 'full';
const MANY = FULL ? (100_000).toString(16) : FRAMES;

describeKvm('guests on a LAN', () => {
  const before = process.env.XDG_RUNTIME_DIR;
  let runtime = '';

  beforeAll(() => {
    runtime = mkdtempSync(path.join(os.tmpdir(), 'vxlan-'));
    process.env.XDG_RUNTIME_DIR = runtime;
  });
  afterAll(() => {
    rmSync(runtime, { recursive: true, force: true });
    if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
    else process.env.XDG_RUNTIME_DIR = before;
  });

  test('five of them: all get every frame of one, in order', async () => {
    const start = (name: string): Promise<Guest> =>
      Guest.start('lan', { name, net: { kind: 'lan', lan: 'metal' } }, WATCHDOG_MS);
    await using first = await start('first');
    await using second = await start('second');
    await using third = await start('third');
    await using fourth = await start('fourth');
    await using sender = await start('sender');
    const receivers = [first, second, third, fourth];
    for (const guest of [...receivers, sender]) await guest.shows('up');
    for (const guest of receivers) {
      guest.send(FULL ? 'R' : 'r');
      await guest.shows('ready');
    }
    sender.send(FULL ? 'S' : 's');
    const sent = await sender.ended();
    expect(sent.values('sent')).toEqual([MANY]);
    for (const guest of receivers) {
      const { values, report } = await guest.ended();
      expect(values('received')).toEqual([MANY]);
      expect(values('wrong')).toEqual(['0']);
      expect(report.reason).toBe('power-off');
    }
    expect(readdirSync(path.join(runtime, 'vexit/lan'))).toEqual([]);
  }, 320_000);

  test('a VM that ends and is made again is on the LAN again', async () => {
    const net = { kind: 'lan', lan: 'metal' } as const;
    await using sender = await Guest.start('lan', { name: 'sender', net }, WATCHDOG_MS);
    await using receiver = await Guest.start('lan', { name: 'receiver', net }, WATCHDOG_MS);
    await receiver.shows('up');
    await receiver.vm.stop();
    await using again = await Guest.start('lan', { name: 'receiver', net }, WATCHDOG_MS);
    for (const guest of [sender, again]) await guest.shows('up');
    again.send('r');
    await again.shows('ready');
    sender.send('s');
    const { values } = await again.ended();
    expect([values('received'), values('wrong')]).toEqual([[FRAMES], ['0']]);
  }, 320_000);
});
