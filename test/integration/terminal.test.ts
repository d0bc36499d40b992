/** The interactive console on a real pseudo-terminal, made by script(1) of util-linux. */
import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';

const CLI = path.resolve(__dirname, '../../dist/cli.js');

/** A shell line on a terminal, with what it shows. */
class Terminal {
  text = '';
  private ended = false;
  private readonly child: ChildProcess;

  constructor(line: string) {
    this.child = spawn('script', ['-qec', line, '/dev/null'], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stdout!.on('data', (bytes: Buffer) => (this.text += bytes.toString('latin1')));
    this.child.on('close', () => (this.ended = true));
  }
  type(keys: string): void {
    this.child.stdin!.write(keys);
  }
  async shows(text: string): Promise<void> {
    try {
      await until(text, () => this.text.includes(text), 30_000);
    } catch {
      throw new Error(`the terminal does not show ${JSON.stringify(text)}: ${this.text}`);
    }
  }
  async closes(): Promise<void> {
    await until('the end', () => this.ended, 20_000);
  }
  kill(): void {
    this.child.kill('SIGKILL');
  }
}

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
