/** MSRs, starts and interrupts that no kernel asks for; letters and numbers name hostile cases. */
import { describeKvm } from '../support/kvm';
import { Guest, checkLeaks, runGuest, until } from '../support/run-guest';

const SLOW_MS = 110_000;

describeKvm('a hostile processor', () => {
  checkLeaks();

  test('G8: MSRs that are not there, and wild values', async () => {
    const { report, values, serial } = await runGuest('processor', { cmdline: 'do=m' }, SLOW_MS);
    expect(values('readable')).toEqual(['1']);
    expect(values('faults')).toEqual(['1']);
    expect(serial).toContain('msrs done\n');
    expect(report.reason).toBe('power-off');
  });

  test('G10: a storm of INIT and SIPI, after which the processor starts', async () => {
    const options = { cmdline: 'do=i', cpus: 2 };
    const { report, serial } = await runGuest('processor', options, SLOW_MS);
    expect(serial).toContain('started\n');
    expect(report.reason).toBe('power-off');
  });

  test('G7: vectors that are none, APICs that are not there, a line that stays active', async () => {
    const { report, values, serial } = await runGuest('processor', { cmdline: 'do=l' }, SLOW_MS);
    // How often a line comes without an EOI is KVM's own affair; the guest gets on beside it.
    expect(parseInt(values('unacknowledged')[0]!, 16)).toBeGreaterThan(0);
    expect(serial).toContain('interrupts done\n');
    expect(report.reason).toBe('power-off');
  });

  test('G11: a processor that writes on image and command line while another one resets', async () => {
    await using guest = await Guest.start('processor', { cmdline: 'do=w', cpus: 2 }, SLOW_MS);
    const rebooted = (): boolean => guest.reboots >= 5 || guest.vm.state !== 'running';
    await until('five reboots', rebooted, SLOW_MS);
    await guest.vm.stop();
    const { report, values } = await guest.ended();
    expect(report.reason).toBe('stopped');
    expect(values('image').length).toBeGreaterThanOrEqual(5);
    expect(new Set(values('image'))).toEqual(new Set(['1000']));
  });

  test.each([
    { what: 'INIT and SIPI (G10)', command: 'I', cpus: 2 },
    { what: 'interrupts (G7)', command: 'L', cpus: 1 },
  ])('pause, resume and stop in a storm of $what, beside another VM', async ({ command, cpus }) => {
    await using other = await Guest.start('control');
    await using guest = await Guest.start('processor', { cmdline: `do=${command}`, cpus });
    await guest.shows('storm\n');
    for (let i = 0; i < 3; i++) {
      await guest.vm.pause();
      expect(guest.vm.state).toBe('paused');
      await guest.vm.resume();
    }
    other.send('ep');
    expect((await other.ended()).serial).toContain('echo\n');
    await guest.vm.stop();
    expect((await guest.ended()).report).toMatchObject({ reason: 'stopped', status: 130 });
  });
});
