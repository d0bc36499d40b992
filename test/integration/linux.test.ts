/**
 * The default guest, as people meet it through the command line, and its kernel by every Linux boot
 * protocol. Needs what `vexit guest` makes; `npm test` sees to that.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { VirtualMachine } from 'vexit';
import { ensureDefaultGuest, type DefaultGuest } from '../../src/guest/default-guest.js';
import { openSource } from '../../src/boot/boot-source.js';
import { detectProtocol } from '../../src/boot/detect.js';
import { defaultGuestCmdline } from '../../src/guest/cmdline.js';
import { ensureGuestKernel } from '../../src/guest/kernel.js';
import { describeKvm } from '../support/kvm.js';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
/** A boot takes some seconds here; a busy machine may need many times that. */
const BOOT_TIMEOUT_S = 900;

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `vexit` with this on standard input. */
function vexit(args: readonly string[], input: string | Buffer = ''): Promise<Ended> {
  const child = spawn(process.execPath, [CLI, 'run', '--timeout', String(BOOT_TIMEOUT_S), ...args]);
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (bytes: Buffer) => out.push(bytes));
  child.stderr.on('data', (bytes: Buffer) => err.push(bytes));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve) => {
    child.on('close', (status) => {
      const stdout = Buffer.concat(out).toString();
      resolve({ status, stdout, stderr: Buffer.concat(err).toString() });
    });
  });
}

jest.setTimeout((BOOT_TIMEOUT_S + 20) * 1000);

describeKvm('vexit run with the default guest', () => {
  test('gives a command its streams, apart from each other, and ends with its status', async () => {
    const input = Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i * 7 + (i >> 8)) % 256));
    const script = 'uname -sm; nproc; md5sum; /etc/passwd; echo $?; echo err >&2; exit 7';
    const { status, stdout, stderr } = await vexit(['--', 'sh', '-c', script], input);
    const md5 = createHash('md5').update(input).digest('hex');
    expect(stdout).toBe(`Linux x86_64\n1\n${md5}  -\n126\n`);
    expect(stderr).toMatch(/Permission denied\nerr\n$/);
    expect(status).toBe(7);
  });

  test('brings up 2 processors, leaves a closed terminal alone, and tells who was killed', async () => {
    const close = 'exec <&- >&- 2>&-; sleep 1; echo opened again >/dev/tty';
    const command = ['sh', '-c', `nproc; ${close}; kill $$`];
    const { status, stdout } = await vexit(['--cpus', '2', '--tty', '--', ...command]);
    expect({ status, stdout }).toEqual({ status: 128 + 15, stdout: '2\r\nopened again\r\n' });
  });

  // RAM above 3 GiB continues at 4 GiB. Every page costs the guest time at its boot.
  test('brings up 4 processors with memory above 4 GiB', async () => {
    const script = 'nproc; grep MemTotal /proc/meminfo; grep "System RAM" /proc/iomem';
    const options = ['--cpus', '4', '--memory', '3200M'];
    const { status, stdout } = await vexit([...options, '--', 'sh', '-c', script]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^4\n/);
    const mib = Number(/MemTotal:\s+(\d+) kB/.exec(stdout)?.[1]) / 1024;
    // The kernel keeps some 130 MiB to itself: without the part above 4 GiB it would be 2940.
    expect(mib).toBeGreaterThan(3000);
    expect(mib).toBeLessThanOrEqual(3200);
    expect(stdout).toMatch(/^100000000-107ffffff : System RAM$/m);
  });

  test('tells a command that is not there', async () => {
    expect((await vexit(['--', '/nonexistent'])).status).toBe(127);
  });

  test('reads a script for the shell from a pipe, and powers off at its end', async () => {
    const { status, stdout } = await vexit([], 'echo six times seven is $((6 * 7))\n');
    expect(stdout).toContain('six times seven is 42');
    expect(status).toBe(0);
  });

  test('powers off when standard input has ended before the shell starts', async () => {
    expect((await vexit([])).status).toBe(0);
  });

  test('a panic of the guest kernel has a status of its own', async () => {
    const { status, stderr } = await vexit(['--', 'sh', '-c', 'echo c > /proc/sysrq-trigger']);
    expect(stderr).toContain('panicked');
    expect(status).toBe(121);
  });
});

describeKvm('the default kernel', () => {
  let guest: DefaultGuest;

  beforeAll(async () => {
    guest = await ensureDefaultGuest('built', () => undefined);
  });

  /** Boots, types a command at the shell's prompt, and returns what the console showed. */
  async function bootToShell(kernel: string, bootProtocol: 'linux' | 'pvh'): Promise<string> {
    const vm = await VirtualMachine.create({
      kernel,
      bootProtocol,
      initrd: guest.initrds,
      cmdline: defaultGuestCmdline('built'),
      memory: '128M',
    });
    let text = '';
    let typed = false;
    const answer = new Promise<void>((resolve) => {
      vm.serial.output.on('data', (bytes: Buffer) => {
        text += bytes.toString();
        // Behind the prompt, busybox may ask the terminal where the cursor is.
        if (!typed && text.includes(':~# ')) {
          typed = true;
          vm.serial.input.write('echo six times seven is $((6 * 7))\n');
        }
        if (text.includes('six times seven is 42')) resolve();
      });
    });
    const watchdog = setTimeout(() => void vm.stop(), BOOT_TIMEOUT_S * 1000);
    try {
      await vm.start();
      await Promise.race([answer, vm.wait()]);
      return text;
    } finally {
      clearTimeout(watchdog);
      await vm.stop();
    }
  }

  test('is entered at the 64-bit entry of its ELF file by vexit run', () => {
    const source = openSource(guest.kernel, 'ERR_KERNEL');
    expect(detectProtocol(source, undefined).protocol).toBe('linux');
    source.close();
  });

  test('boots as an ELF file by PVH', async () => {
    expect(await bootToShell(guest.kernel, 'pvh')).toContain('six times seven is 42');
  });

  test('boots as a bzImage', async () => {
    const { bzImage } = await ensureGuestKernel(() => undefined);
    expect(await bootToShell(bzImage, 'linux')).toContain('six times seven is 42');
  });
});
