/** The devices of the board as a guest meets them; letters and numbers name hostile cases. */
import { describeKvm } from '../support/kvm';
import { Guest, checkLeaks, runGuest, until } from '../support/run-guest';

/** Ports that belong to a device: the board's, and PIC, PIT and speaker inside KVM. */
const DEVICE_PORTS: readonly [first: number, last: number][] = [
  ...([
    [0x20, 0x21],
    [0x40, 0x43],
    [0x60, 0x61],
    [0x64, 0x64],
    [0x70, 0x71],
  ] as const),
  ...([
    [0x80, 0x80],
    [0x92, 0x92],
    [0xa0, 0xa1],
    [0xe9, 0xe9],
    [0x402, 0x402],
  ] as const),
  ...([
    [0x2e8, 0x2ef],
    [0x2f8, 0x2ff],
    [0x3e8, 0x3ef],
    [0x3f8, 0x3ff],
  ] as const),
  ...([
    [0x4d0, 0x4d1],
    [0x505, 0x505],
    [0x600, 0x60b],
    [0xcf8, 0xcff],
  ] as const),
].map(([first, last]) => [first, last]);

const isDevicePort = (port: number): boolean =>
  DEVICE_PORTS.some(([first, last]) => port >= first && port <= last);

/** Ports of the "wWIDTH=first-last" lines, one by one. */
function portsOf(ranges: readonly string[]): number[] {
  return ranges.flatMap((range) => {
    const [first, last] = range.split('-').map((text) => parseInt(text, 16));
    return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });
}

/** The BCD numbers of the RTC as a time; register B says whether hours count to 12. */
function rtcTime(line: string): number {
  const fields = line.split(' ').map((text) => parseInt(text, 16));
  const [seconds, minutes, hours, day, month, year, century, control] = fields as [
    ...[number, number, number, number, number, number, number, number],
  ];
  const binary = (value: number): number =>
    (control & 4) !== 0 ? value : (value >> 4) * 10 + (value & 15);
  const hour =
    (control & 2) !== 0 ? binary(hours) : (binary(hours & 0x7f) % 12) + (hours & 0x80 ? 12 : 0);
  const fullYear = binary(century) * 100 + binary(year);
  return Date.UTC(fullYear, binary(month) - 1, binary(day), hour, binary(minutes), binary(seconds));
}

describeKvm('devices', () => {
  checkLeaks();

  test('G1: all ports of all widths, string I/O up to a page, port 0xffff', async () => {
    const { report, values, serial, debugConsole } = await runGuest('ports', {}, 110_000);
    expect(report.reason).toBe('power-off');
    expect(serial).toContain('writes done\n');
    for (const width of [1, 2, 4]) {
      const answering = portsOf(values(`w${width}`));
      // Nothing answers where there is no device...
      const strangers = answering.filter(
        (port) => !Array.from({ length: width }, (_, i) => port + i).some(isDevicePort),
      );
      expect(strangers).toEqual([]);
      // ...and what has registers that are never all ones does.
      const present = [0x64, 0x92, 0xe9, 0x2fa, 0x3fd, 0x402, 0x505, 0x608, 0xcf9];
      expect(answering).toEqual(expect.arrayContaining(present));
    }
    expect(values('insb')).toEqual(['1']);
    expect(values('inswl')).toEqual(['1']);
    expect(values('insb_e9')).toEqual(['1']);
    expect(values('edge')).toEqual(['ffffffffffff']);
    const page = '0123456789abcdef'.repeat(256);
    // The sweep's own writes come first; of wide writes the port takes the low byte.
    const text = debugConsole.slice(debugConsole.indexOf('0'));
    expect(text).toBe(`0${page}${'02468ace'.repeat(2)}${'048c'.repeat(4)}`);
  });

  test('G2, G6: MMIO of every width and alignment where nothing is, and at the interrupt controllers', async () => {
    const { report, values } = await runGuest('mmio');
    expect(report.reason).toBe('power-off');
    expect(values('wrong')).toEqual([]);
    expect(values('touched')).toEqual(['50']);
    expect(values('failures')).toEqual(['0']);
    expect(values('straddle')).toEqual(['ffff3412']);
    expect(values('straddled')).toEqual(['ccdd']);
    expect(values('movs')).toEqual(['20']);
    expect(values('version')).toEqual(['14']);
  });

  test('PIT through the PIC, local APIC timer, and a serial echo through the IOAPIC', async () => {
    await using guest = await Guest.start('interrupts');
    await guest.shows('echo ready\n');
    guest.send('hello');
    await guest.shows('HELLO');
    // More than the receiver's FIFO holds.
    const text = 'abcdefghijklmnopqrstuvwxyz '.repeat(20);
    guest.send(`${text}.`);
    const { report, values, serial } = await guest.ended();
    expect(report.reason).toBe('power-off');
    expect(values('pit')).toEqual(['1']);
    expect(values('oneshot')).toEqual(['1']);
    expect(values('periodic')).toEqual(['1']);
    expect(serial).toContain(`HELLO${text.toUpperCase()}\n`);
    expect(values('received')).toEqual([(5 + text.length + 1).toString(16)]);
    expect(values('interrupts')).toEqual(['1']);
    expect(values('wrong')).toEqual(['0']);
  });

  test('debug console, firmware log and POST port', async () => {
    const { values, debugConsole, firmwareLog } = await runGuest('control', { cmdline: 'do=lp' });
    expect(debugConsole).toBe('debug console\n');
    expect(firmwareLog).toBe('firmware log\n');
    expect(values('post')).toEqual(['3c']);
  });

  test("the RTC has the host's time", async () => {
    const before = Math.floor(Date.now() / 1000) * 1000;
    const { values } = await runGuest('control', { cmdline: 'do=rp' });
    const time = rtcTime(values('rtc')[0]!);
    expect(time).toBeGreaterThanOrEqual(before - 1000);
    expect(time).toBeLessThanOrEqual(Date.now() + 1000);
  });

  test('--cpu hides features', async () => {
    const leaves = async (cpu: string): Promise<Map<string, number[]>> => {
      const { values } = await runGuest('control', { cmdline: 'do=up', cpu });
      return new Map(
        values('cpuid').map((line) => {
          const [leaf, ...registers] = line.split(' ');
          return [leaf!, registers.map((text) => parseInt(text, 16))];
        }),
      );
    };
    const all = await leaves('host');
    // Bits that KVM offers everywhere, and that kvm-pvm does not let shine through.
    const masked = await leaves('host,-x2apic,-lahf_lm');
    const X2APIC = 1 << 21;
    const LAHF_LM = 1;
    expect(all.get('1')![2]! & X2APIC).toBe(X2APIC);
    expect(all.get('80000001')![2]! & LAHF_LM).toBe(LAHF_LM);
    expect(masked.get('1')![2]).toBe((all.get('1')![2]! & ~X2APIC) >>> 0);
    expect(masked.get('80000001')![2]).toBe(all.get('80000001')![2]! & ~LAHF_LM);
  });

  test('a triple fault ends with the registers', async () => {
    const { report } = await runGuest('control', { cmdline: 'do=t' });
    expect(report).toMatchObject({ reason: 'triple-fault', status: 122 });
    expect(report.dump).toMatch(/^rip {4}[0-9a-f]{16}/m);
    expect(report.dump).toMatch(/cr2 200000000000/);
    // The instruction that faulted: movb $0, (%rax).
    expect(report.dump).toMatch(/^code .*<c6> 00 00/m);
  });

  test('G9: code where there is no memory ends with the registers, not in a loop', async () => {
    const { report } = await runGuest('control', { cmdline: 'do=x' });
    expect(report).toMatchObject({ reason: 'internal-error', status: 125 });
    expect(report.message).toContain('KVM_EXIT_INTERNAL_ERROR');
    expect(report.dump).toContain('emulation failure');
    expect(report.dump).toMatch(/^rip {4}00000000c8000000/m);
    expect(report.dump).toMatch(/^code .*<\?\?>/m);
  });

  test('pvpanic', async () => {
    const { report } = await runGuest('control', { cmdline: 'do=a' });
    expect(report).toMatchObject({ reason: 'panic', status: 121 });
  });

  test('G5: the debug-exit port is there when asked for, and only then', async () => {
    const on = await runGuest('control', { cmdline: 'do=dp', debugExit: true });
    expect(on.report).toMatchObject({ reason: 'debug-exit', status: 15 });
    const off = await runGuest('control', { cmdline: 'do=dp' });
    expect(off.report.reason).toBe('power-off');
    expect(off.serial).toContain('no debug exit\n');
  });

  test('reset by i8042, port 0xcf9 and port 0x92 starts the guest again', async () => {
    await using guest = await Guest.start('control');
    const ready = (): number => guest.serial.split('ready\n').length - 1;
    for (const [i, command] of ['k', 'c', '9'].entries()) {
      await until(`ready ${i + 1} times`, () => ready() === i + 1);
      guest.send(command);
      await until('a reboot', () => guest.reboots === i + 1);
    }
    await until('ready again', () => ready() === 4);
    guest.send('p');
    const { report } = await guest.ended();
    expect(report.reason).toBe('power-off');
    expect(guest.reboots).toBe(3);
  });

  test.each(['k', 'c', '9'])('reset %s ends the VM with onReboot "exit"', async (command) => {
    const { report, reboots } = await runGuest('control', {
      cmdline: `do=${command}`,
      onReboot: 'exit',
    });
    expect(report).toMatchObject({ reason: 'reset', status: 120 });
    expect(reboots).toBe(0);
  });
});
