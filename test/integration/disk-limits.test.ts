/** Rate limits of disks of whole VMs, by what the guest says has been done and the host's clock. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeKvm } from '../support/kvm';
import { imageDirectory, startDiskGuest } from '../support/disk-guest';
import { checkLeaks, type Guest } from '../support/run-guest';

const MIB = 2 ** 20;
const image = imageDirectory();

/** Answers so far, by the last whole "n=" line. */
function answers(guest: Guest): number {
  const text = guest.serial;
  const at = text.lastIndexOf('\nn=', text.lastIndexOf('\n') - 1);
  return at < 0 ? 0 : parseInt(text.slice(at + 3), 16);
}

/** The moment of the next "n=" line, and what it says. */
async function nextAnswer(guest: Guest): Promise<{ count: number; at: number }> {
  const before = answers(guest);
  while (answers(guest) === before) await sleep(1);
  return { count: answers(guest), at: performance.now() };
}

describeKvm('rate limits', () => {
  checkLeaks();

  const cases = [
    {
      what: 'bytes a second, reads of 64 KiB',
      limit: { bytesPerSecond: 16 * MIB },
      load: 'b0,80,8;',
      perSecond: 256,
    },
    {
      what: 'bytes a second, writes of 4 KiB',
      limit: { bytesPerSecond: 2 * MIB },
      load: 'b1,8,8;',
      perSecond: 512,
    },
    {
      what: 'operations a second',
      limit: { operationsPerSecond: 400 },
      load: 'b0,1,8;',
      perSecond: 400,
    },
    {
      what: 'operations a second of four queues in two I/O threads',
      limit: { operationsPerSecond: 400, queues: 4 },
      load: 'b0,1,10;',
      perSecond: 400,
    },
  ];
  // Measured from one line of the guest's to a later one, after the burst: what delays one of them
  // (lines come every 16 answers) is small against the time between.
  test.each(cases)('hold within 5 %: $what', async ({ limit, load, perSecond }) => {
    const disks = [{ path: image('limited.img', 8 * MIB), ...limit }];
    await using guest = await startDiskGuest(`s0;${load}`, { disks, ioThreads: 2 });
    await guest.shows('capacity=');
    await sleep(500);
    const from = await nextAnswer(guest);
    await sleep(2000);
    const to = await nextAnswer(guest);
    const measured = ((to.count - from.count) * 1000) / (to.at - from.at);
    expect(measured / perSecond).toBeGreaterThan(0.95);
    expect(measured / perSecond).toBeLessThan(1.05);
    expect(guest.vm.disks[0]!.statistics.throttled).toBeGreaterThan(0);
    guest.send('.');
    await guest.shows('strays=0\n');
    expect(guest.serial).toContain('errors=0\n');
  });

  test('can be changed while the guest runs, and taken away', async () => {
    const disks = [{ path: image('changed.img', 8 * MIB), operationsPerSecond: 50 }];
    await using guest = await startDiskGuest('s0;b0,1,8;', { disks });
    const disk = guest.vm.disks[0]!;
    await guest.shows('capacity=');
    const measure = async (): Promise<number> => {
      const { reads: before } = disk.statistics;
      const began = performance.now();
      await sleep(1000);
      return ((disk.statistics.reads - before) * 1000) / (performance.now() - began);
    };
    await disk.setRateLimit({ operationsPerSecond: 200 });
    await sleep(500);
    const limited = await measure();
    expect(limited).toBeGreaterThan(75);
    expect(limited).toBeLessThan(220);
    await disk.setRateLimit({});
    await sleep(100);
    expect(await measure()).toBeGreaterThan(300);
    await expect(disk.setRateLimit({ bytesPerSecond: 0 })).rejects.toThrow('never let the guest');
    guest.send('.');
    await guest.shows('strays=0\n');
    expect(guest.serial).toContain('errors=0\n');
  });
});
