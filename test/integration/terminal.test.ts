/** The interactive console on a real pseudo-terminal: the serial port's, and Linux' hvc0. */
import path from 'node:path';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { Terminal } from '../support/terminal';

const CLI = path.resolve(__dirname, '../../dist/cli.js');

/** vexit, then its status and the terminal's settings. */
function session(...args: string[]): Terminal {
  const run = [process.execPath, CLI, 'run', '--kernel', buildGuest('control'), '--memory', '16M'];
  const command = [...run, ...args].join(' ');
  return new Terminal(`${command}; echo "status=$?"; stty -a | tr ';' '\\n'`);
}

describeKvm('interactive console', () => {
  let terminal: Terminal | undefined;
  afterEach(() => terminal?.kill());

  /** Line editing, echo and signals are on again. */
  async function expectRestored(): Promise<void> {
    await terminal!.closes();
    const settings = terminal!.text.slice(terminal!.text.indexOf('status='));
    expect(settings).toMatch(/(^|\s)icanon(\s|$)/);
    expect(settings).toMatch(/(^|\s)echo(\s|$)/);
    expect(settings).toMatch(/(^|\s)isig(\s|$)/);
  }

  test('keys go to the guest; Ctrl-a h helps, Ctrl-a Ctrl-a sends one, Ctrl-a x quits', async () => {
    terminal = session();
    await terminal.shows('Ctrl-a x quits');
    await terminal.shows('ready');
    // Raw: Ctrl-c is the guest's, and nothing is echoed by the terminal.
    terminal.type('\x03');
    await terminal.shows('control=3');
    terminal.type('e');
    await terminal.shows('echo');
    expect(terminal.text).not.toContain('^C');
    terminal.type('\x01h');
    await terminal.shows('switch the VM off and quit');
    terminal.type('\x01\x01');
    await terminal.shows('control=1\r');
    terminal.type('\x01');
    terminal.type('x');
    await terminal.shows('status=130');
    await expectRestored();
    // One Ctrl-a arrived, not two.
    expect(terminal.text.split('control=1').length - 1).toBe(1);
  });

  test.each([
    { what: 'the guest powers off', args: [], keys: 'p', status: 0 },
    { what: 'the guest triple-faults', args: [], keys: 't', status: 122 },
    { what: 'the time is over', args: ['--timeout', '3'], keys: 'S', status: 124 },
  ])('the terminal is restored when $what', async ({ args, keys, status }) => {
    terminal = session(...args);
    await terminal.shows('ready');
    terminal.type(keys);
    await terminal.shows(`status=${status}`);
    await expectRestored();
  });

  test('Ctrl-a p presses the power button of a guest that does not listen', async () => {
    terminal = session();
    await terminal.shows('ready');
    terminal.type('\x01p');
    terminal.type('e');
    await terminal.shows('echo');
    terminal.type('p');
    await terminal.shows('status=0');
    await expectRestored();
  });
});

describeKvm('the virtio console of Linux', () => {
  /** A boot takes 20 s of a processor here; a busy machine may need many times that. */
  const BOOT_MS = 600_000;
  let terminal: Terminal | undefined;
  afterEach(() => terminal?.kill());

  test(
    'is a shell on hvc0 with the size of the window, whatever that becomes',
    async () => {
      const vexit = [process.execPath, CLI, 'run', '--console', 'virtio', '--net', 'none'].join(
        ' ',
      );
      terminal = new Terminal(`stty rows 31 columns 97; tty; ${vexit}; echo "status=$?"; stty -a`);
      await terminal.shows(':~# ', BOOT_MS);
      terminal.type('tty; stty size\n');
      await terminal.shows(/^\/dev\/hvc0\n31 97\n/m);
      // What is in the foreground gets a signal, and finds the new size.
      const waits = "trap 'stty size; exit' WINCH; echo set; while :; do sleep 0.2; done";
      terminal.type(`sh -c "${waits}"\n`);
      await terminal.shows(/^set\n/m);
      terminal.resize(45, 120);
      await terminal.shows(/^45 120\n/m);
      // Ctrl-c is the guest's. Before the program runs it would be a letter of the shell's next line,
      // which is edited with signals off, and nothing would end the program.
      terminal.type('sh -c "echo ru""ns; sleep 1000"\n');
      await terminal.shows(/^runs\n/m);
      terminal.type('\x03echo still $((40 + 2))\nexit\n');
      await terminal.shows(/^still 42\n/m);
      await terminal.shows(/^status=0\n/m, 60_000);
      await terminal.closes();
      expect(terminal.text).toMatch(/ icanon /);
      expect(terminal.text).toMatch(/ echo /);
    },
    BOOT_MS + 120_000,
  );
});
