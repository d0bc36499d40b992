/**
 * The default guest, as people meet it through the command line, and its kernel by every Linux boot
 * protocol. Needs what `vexit guest` makes; `npm test` sees to that.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { VirtualMachine } from 'vexit';
import { ensureDefaultGuest, type DefaultGuest } from '../../src/guest/default-guest.js';
import { DEFAULT_GUEST_CMDLINE } from '../../src/guest/cmdline.js';
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
  test('keeps the streams of a command apart and ends with its status', async () => {
    const script = 'uname -sm; nproc; echo err >&2; exit 7';
    const { status, stdout, stderr } = await vexit(['--', 'sh', '-c', script]);
    expect({ status, stdout, stderr }).toEqual({
      status: 7,
      stdout: 'Linux x86_64\n1\n',
      stderr: 'err\n',
    });
  });

  test('passes standard input to a command, every byte of it, and its end', async () => {
    const input = Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i * 7 + (i >> 8)) % 256));
    const { status, stdout } = await vexit(
      ['--', 'sh', '-c', 'cat | md5sum; wc -c < /proc/version'],
      input,
    );
    const { createHash } = await import('node:crypto');
    const md5 = createHash('md5').update(input).digest('hex');
    expect(status).toBe(0);
    expect(stdout.split('\n')[0]).toBe(`${md5}  -`);
  });

  test.each([2, 4])('brings up %i processors', async (cpus) => {
    const { status, stdout } = await vexit(['--cpus', String(cpus), '--', 'nproc']);
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${cpus}\n` });
  });

  test('tells a command that is not there (127), not executable (126), or killed (128 + n)', async () => {
    expect((await vexit(['--', '/nonexistent'])).status).toBe(127);
    const script = '/etc/passwd; echo $?; kill -TERM $$';
    const { status, stdout } = await vexit(['--', 'sh', '-c', script]);
    expect({ status, stdout }).toEqual({ status: 143, stdout: '126\n' });
  });

  test('gives the guest memory above 4 GiB', async () => {
    const { status, stdout } = await vexit([
      '--memory',
      '5G',
      '--',
      'grep',
      'MemTotal',
      '/proc/meminfo',
    ]);
    expect(status).toBe(0);
    const kib = Number(/MemTotal:\s+(\d+) kB/.exec(stdout)?.[1]);
    expect(kib).toBeGreaterThan(4.7 * 2 ** 20);
    expect(kib).toBeLessThanOrEqual(5 * 2 ** 20);
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

  /** Boots to the shell's prompt and returns what the console showed. */
  async function bootToShell(kernel: string, bootProtocol: 'linux' | 'pvh'): Promise<string> {
    const vm = await VirtualMachine.create({
      kernel,
      bootProtocol,
      initrd: guest.initrds,
      cmdline: DEFAULT_GUEST_CMDLINE,
      memory: '128M',
    });
    let text = '';
    const prompt = new Promise<void>((resolve) => {
      vm.serial.output.on('data', (bytes: Buffer) => {
        text += bytes.toString();
        if (text.endsWith('# ')) resolve();
      });
    });
    const watchdog = setTimeout(() => void vm.stop(), BOOT_TIMEOUT_S * 1000);
    try {
      await vm.start();
      await Promise.race([prompt, vm.wait()]);
      return text;
    } finally {
      clearTimeout(watchdog);
      await vm.stop();
    }
  }

  test('boots as an ELF file by the 64-bit entry', async () => {
    expect(await bootToShell(guest.kernel, 'linux')).toMatch(/# $/);
  });

  test('boots as an ELF file by PVH', async () => {
    expect(await bootToShell(guest.kernel, 'pvh')).toMatch(/# $/);
  });

  test('boots as a bzImage', async () => {
    const { bzImage } = await ensureGuestKernel(() => undefined);
    expect(await bootToShell(bzImage, 'linux')).toMatch(/# $/);
  });
});
