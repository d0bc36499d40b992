/** The command line: exit statuses, what is said about bad input, help, completion, doctor. */
import { createSocket } from 'node:dgram';
import { createServer, Server, type AddressInfo } from 'node:net';
import { spawn, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';

const ROOT = path.resolve(__dirname, '../..');
const CLI = path.join(ROOT, 'dist/cli.js');

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where the program could leave files; empty before and after every command. */
const PLACES = ['tmp', 'cache', 'run', 'data', 'config'] as const;

function vexit(args: readonly string[], input = ''): Outcome {
  const [tmp, cache, run, data, config] = PLACES.map((place) => path.join(dir, 'places', place));
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'latin1',
    input,
    timeout: 60_000,
    maxBuffer: 16 * 2 ** 20,
    env: {
      ...process.env,
      TMPDIR: tmp,
      XDG_CACHE_HOME: cache,
      XDG_RUNTIME_DIR: run,
      XDG_DATA_HOME: data,
      XDG_CONFIG_HOME: config,
      // The one file that stays on purpose.
      VEXIT_CODE_CACHE: '0',
    },
  });
  return { status, stdout, stderr };
}

function leftovers(): string[] {
  return PLACES.flatMap((place) => readdirSync(path.join(dir, 'places', place)));
}

/** Runs the obedient guest. */
function control(orders: string, ...args: string[]): Outcome {
  const kernel = ['--kernel', buildGuest('control'), '--memory', '16M'];
  return vexit(['run', ...kernel, '--cmdline', `do=${orders}`, ...args]);
}

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'vexit-cli-'));
  for (const place of PLACES) mkdirSync(path.join(dir, 'places', place), { recursive: true });
});
afterAll(() => rmSync(dir, { recursive: true }));

/** A file with these bytes. */
function file(name: string, content: Uint8Array | string): string {
  const at = path.join(dir, name);
  writeFileSync(at, content);
  return at;
}

describeKvm('exit statuses of vexit run', () => {
  test.each([
    { what: 'power off', orders: 'p', args: [], status: 0, says: 'powered off' },
    {
      what: 'reboot with --no-reboot',
      orders: 'k',
      args: ['--no-reboot'],
      status: 120,
      says: 'rebooted',
    },
    { what: 'panic', orders: 'a', args: [], status: 121, says: 'panicked' },
    { what: 'triple fault', orders: 't', args: [], status: 122, says: 'triple fault' },
    { what: 'debug exit', orders: 'd', args: ['--debug-exit'], status: 15, says: 'wrote 7' },
    { what: 'internal error', orders: 'x', args: [], status: 125, says: 'KVM_EXIT_INTERNAL_ERROR' },
    {
      what: 'time-out',
      orders: 'S',
      args: ['--timeout', '1'],
      status: 124,
      says: 'stopped after 1 s',
    },
  ])('$what: $status', ({ orders, args, status, says }) => {
    const outcome = control(orders, ...args, '--verbose');
    expect(outcome.stderr).toContain(says);
    expect(outcome.status).toBe(status);
    if (status === 122 || status === 125) expect(outcome.stderr).toMatch(/^rip +[0-9a-f]{16}/m);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s: %d', async (signal, status) => {
    const kernel = ['--kernel', buildGuest('control'), '--memory', '16M', '--cmdline', 'do=S'];
    const child = spawn(process.execPath, [CLI, 'run', ...kernel]);
    let output = '';
    let code: number | null | undefined;
    child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
    child.on('close', (value) => (code = value));
    await until('spin', () => output.includes('spin'));
    child.kill(signal);
    await until('the end', () => code !== undefined, 5000);
    expect(code).toBe(status);
  });

  test('--json prints the end as one line of JSON', () => {
    const { stderr, status } = control('t', '--json');
    const line = stderr.split('\n').find((text) => text.startsWith('{'))!;
    expect(JSON.parse(line)).toMatchObject({ reason: 'triple-fault', status: 122 });
    expect(status).toBe(122);
  });

  test('console on standard output, other logs on standard error when asked for', () => {
    const without = control('lp');
    expect(without.stdout).toBe('post=3c\n');
    expect(without.stderr).not.toContain('firmware log');
    const firmware = control('lp', '--firmware-log');
    expect(firmware.stdout).toBe('post=3c\n');
    expect(firmware.stderr).toContain('firmware log\n');
    expect(firmware.stderr).not.toContain('debug console');
    expect(control('lp', '--debug-console').stderr).toContain('debug console\n');
  });

  test('standard input is the console input, and its end is Ctrl-d', () => {
    const kernel = ['--kernel', buildGuest('control'), '--memory', '16M', '--timeout', '20'];
    const { stdout } = vexit(['run', ...kernel], 'eep');
    expect(stdout).toBe('ready\necho\necho\n');
    const ended = vexit(['run', ...kernel.slice(0, -1), '2'], 'e');
    expect(ended.stdout).toBe('ready\necho\ncontrol=4\ncontrol=4\n');
    expect(ended.status).toBe(124);
  });

  test('a slow reader of standard output gets everything', () => {
    const run = [process.execPath, CLI, 'run', '--kernel', buildGuest('control')];
    const script = `${run.join(' ')} --memory 16M --cmdline do=Fp </dev/null 2>/dev/null | (sleep 2; wc -c)`;
    const { stdout } = spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: 60_000 });
    expect(Number(stdout)).toBe(64 * 4096 + 'flooded\n'.length);
  });

  test('a reader that goes away ends the VM', () => {
    const run = [process.execPath, CLI, 'run', '--kernel', buildGuest('control')];
    const script = `${run.join(' ')} --memory 16M --cmdline do=o </dev/null 2>/dev/null | head -c 100; echo " \${PIPESTATUS[0]}"`;
    const { stdout } = spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: 30_000 });
    expect(stdout).toMatch(/^[a-z]{100} 125\n$/);
  });
});

describeKvm('bad input to vexit', () => {
  const kernel = (): string => buildGuest('control');
  const cases: { what: string; args: () => string[]; says: RegExp }[] = [
    {
      what: 'no /dev/kvm',
      args: () => ['--kernel', kernel(), '--kvm', '/nonexistent'],
      says: /cannot open \/nonexistent.*modprobe/,
    },
    {
      what: '/dev/null for KVM',
      args: () => ['--kernel', kernel(), '--kvm', '/dev/null'],
      says: /\/dev\/null is not KVM.*give/,
    },
    {
      what: 'a kernel that is not there',
      args: () => ['--kernel', `${dir}/none`],
      says: /none does not exist: check/,
    },
    { what: 'an empty kernel', args: () => ['--kernel', file('empty', '')], says: /empty/ },
    { what: 'a directory as kernel', args: () => ['--kernel', dir], says: /director|regular file/ },
    {
      what: 'a FIFO-like device as kernel',
      args: () => ['--kernel', '/dev/zero'],
      says: /\/dev\/zero.*regular file/,
    },
    {
      what: 'a truncated kernel',
      args: () => {
        const at = file('truncated', readFileSync(kernel()));
        truncateSync(at, 4200);
        return ['--kernel', at];
      },
      says: /truncated/,
    },
    {
      what: 'an ELF header alone',
      args: () => ['--kernel', file('header', readFileSync(kernel()).subarray(0, 64))],
      says: /header/,
    },
    {
      what: 'a text file as kernel',
      args: () => ['--kernel', file('text', 'not a kernel\n'.repeat(1000))],
      says: /not a kernel of a known kind.*give/,
    },
    {
      what: 'a 32-bit Linux',
      args: () => ['--kernel', buildGuest('multiboot'), '--boot-protocol', 'linux'],
      says: /32-bit.*x86_64/,
    },
    {
      what: 'a kernel too big for the memory',
      args: () => ['--kernel', file('big', Buffer.alloc(17 * 2 ** 20)), '--boot-protocol', 'flat'],
      says: /do not fit/,
    },
    {
      what: 'an initrd that is not there',
      args: () => ['--kernel', kernel(), '--initrd', `${dir}/none`],
      says: /none does not exist: check/,
    },
    {
      what: 'an initrd too big for the memory',
      args: () => ['--kernel', kernel(), '--initrd', file('initrd', Buffer.alloc(20 * 2 ** 20))],
      says: /initrd needs 20 MiB.*--memory \d+M/,
    },
    {
      what: 'a command line too long',
      args: () => ['--kernel', kernel(), '--cmdline', 'x'.repeat(5000)],
      says: /at most 2047.*shorten/,
    },
    {
      what: 'a newline in the command line',
      args: () => ['--kernel', kernel(), '--cmdline', 'a\nb'],
      says: /newline at position 1/,
    },
    {
      what: 'an escape character in the command line',
      args: () => ['--kernel', kernel(), '--cmdline', 'a\x1bb'],
      says: /control character at position 1/,
    },
    ...['0', '33', '1.5', 'x', '-1', ''].map((cpus) => ({
      what: `--cpus "${cpus}"`,
      args: () => ['--kernel', kernel(), `--cpus=${cpus}`],
      says: /1 to 32|cpus/,
    })),
    ...['0', '3', '8M', '100000000G', 'abc', '-1G', '1.5G', ''].map((memory) => ({
      what: `--memory "${memory}"`,
      args: () => ['--kernel', kernel(), `--memory=${memory}`],
      says: /memory/,
    })),
    {
      what: 'an unknown feature',
      args: () => ['--kernel', kernel(), '--cpu', 'host,-none'],
      says: /unknown processor feature.*write/,
    },
    {
      what: 'an unknown option',
      args: () => ['--kernel', kernel(), '--frobnicate'],
      says: /frobnicate/,
    },
    {
      what: 'an unknown boot protocol',
      args: () => ['--kernel', kernel(), '--boot-protocol', 'x'],
      says: /boot-protocol|Choices/,
    },
    {
      what: 'an option given twice',
      args: () => ['--kernel', kernel(), '--memory', '16M', '--memory', '32M'],
      says: /--memory is given 2 times/,
    },
    {
      what: '--kernel given twice',
      args: () => ['--kernel', kernel(), '--kernel', kernel()],
      says: /--kernel is given 2 times/,
    },
    {
      what: '--cpus given twice',
      args: () => ['--kernel', kernel(), '--cpus', '1', '--cpus', '2'],
      says: /--cpus is given 2 times/,
    },
    {
      what: '--timeout given twice',
      args: () => ['--kernel', kernel(), '--timeout', '5', '--timeout', '6'],
      says: /--timeout is given 2 times/,
    },
    {
      what: '--cpu given twice',
      args: () => ['--kernel', kernel(), '--cpu', 'host', '--cpu', 'host'],
      says: /--cpu is given 2 times/,
    },
    {
      what: '--timeout 0',
      args: () => ['--kernel', kernel(), '--timeout', '0'],
      says: /--timeout/,
    },
    {
      what: '--timeout x',
      args: () => ['--kernel', kernel(), '--timeout', 'x'],
      says: /--timeout/,
    },
    { what: 'an odd name', args: () => ['--kernel', kernel(), '--name', '../x'], says: /name/ },
    {
      what: 'a kernel and firmware',
      args: () => ['--kernel', kernel(), '--firmware', kernel()],
      says: /a kernel and firmware at once/,
    },
    {
      what: 'firmware of an odd size',
      args: () => ['--firmware', kernel()],
      says: /multiple of 64 KiB/,
    },
    {
      what: 'a flat address that is none',
      args: () => ['--kernel', kernel(), '--boot-protocol', 'flat', '--flat-address', 'x'],
      says: /--flat-address x/,
    },
    { what: 'a stray argument', args: () => ['stray', '--kernel', kernel()], says: /stray/ },
    {
      what: 'a command without the default guest',
      args: () => ['--kernel', kernel(), '--', 'true'],
      says: /default guest/,
    },
    {
      what: '-- without a command',
      args: () => ['--kernel', kernel(), '--'],
      says: /no command after --/,
    },
    {
      what: 'a network and none',
      args: () => ['--kernel', kernel(), '--net', 'none', '--publish', '80'],
      says: /--net none goes with no other/,
    },
    { what: '--env without a value', args: () => ['--env', 'X', '--', 'true'], says: /NAME=VALUE/ },
  ];

  test.each(cases)('$what', ({ args, says }) => {
    const list = args();
    const memory = list.some((arg) => arg.startsWith('--memory')) ? [] : ['--memory', '16M'];
    const { status, stdout, stderr } = vexit(['run', ...memory, ...list]);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^vexit: [^\n]+\n$/);
    expect(stderr).toMatch(says);
    // No stack trace, no name of a JavaScript error.
    expect(stderr).not.toMatch(/ at .*:\d+:\d+|TypeError|RangeError/);
    expect(status).toBe(2);
    expect(leftovers()).toEqual([]);
  });

  test.each(['tcp', 'udp'])('a published port that is taken (%s)', async (protocol) => {
    const server = protocol === 'tcp' ? createServer() : createSocket('udp4');
    const listening = new Promise((resolve) => server.once('listening', resolve));
    if (server instanceof Server) server.listen(0, '127.0.0.1');
    else server.bind(0, '127.0.0.1');
    await listening;
    const { port } = server.address() as AddressInfo;
    const publish = ['--publish', `${port}:80/${protocol}`];
    const { status, stdout, stderr } = vexit(['run', '--kernel', kernel(), ...publish]);
    server.close();
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^vexit: port 127.0.0.1:\d+\/\w+ of the host is taken: [^\n]+\n$/);
    expect(status).toBe(2);
  });

  test('a NUL in the command line (library only: no argument can hold one)', async () => {
    const { VirtualMachine } = await import('vexit');
    const options = { kernel: kernel(), memory: '16M', cmdline: 'a\0b' };
    await expect(VirtualMachine.create(options)).rejects.toMatchObject({
      code: 'ERR_CMDLINE',
      message: expect.stringContaining('a NUL at position 1') as string,
    });
  });

  test('no permission for /dev/kvm', () => {
    if (process.getuid?.() !== 0) return;
    // A device nobody else may open, whatever the mode of /dev/kvm is here.
    const guarded = file('guarded', '');
    const drop = ['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--'];
    const command = [process.execPath, CLI, 'run', '--kernel', kernel(), '--kvm', guarded];
    spawnSync('chmod', ['600', guarded]);
    spawnSync('chmod', ['755', dir]);
    const { status, stderr, stdout } = spawnSync('setpriv', [...drop, ...command], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
    expect(stderr).toMatch(
      /^vexit: cannot open .*permission denied: add yourself to the kvm group[^\n]*\n$/,
    );
    expect(status).toBe(2);
  });

  test.each([
    { args: [], says: /say what to do/ },
    { args: ['xyzzyxyzzy'], says: /xyzzyxyzzy/ },
    { args: ['rn'], says: /run/ },
    { args: ['completion', 'csh'], says: /no completion for csh.*bash, zsh or fish/ },
    { args: ['doctor', '--frob'], says: /frob/ },
  ])('vexit $args', ({ args, says }) => {
    const { status, stdout, stderr } = vexit(args);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^vexit: [^\n]+\n$/);
    expect(stderr).toMatch(says);
    expect(status).toBe(2);
  });
});

describe('help, version, completion, doctor', () => {
  test.each(['run', 'doctor', 'guest', 'disk', 'completion'])(
    'vexit %s --help has examples',
    (command) => {
      const { status, stdout, stderr } = vexit([command, '--help']);
      expect(status).toBe(0);
      expect(stderr).toBe('');
      expect(stdout).toContain('Examples:');
      expect(stdout).toMatch(new RegExp(`vexit ${command}`));
      expect(stdout.split('\n').every((line) => line.length <= 100)).toBe(true);
    },
  );

  test('vexit --help lists the commands', () => {
    const { status, stdout } = vexit(['--help']);
    expect(status).toBe(0);
    for (const command of ['run', 'doctor', 'guest', 'disk', 'completion']) {
      expect(stdout).toContain(`vexit ${command}`);
    }
  });

  test('vexit --version', () => {
    const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(vexit(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  test('bash completes commands, options and values', () => {
    const { stdout: script } = vexit(['completion', 'bash']);
    const at = file('completion.bash', script);
    expect(spawnSync('bash', ['-n', at], { encoding: 'utf8' })).toMatchObject({
      status: 0,
      stderr: '',
    });
    const bin = path.join(dir, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(path.join(bin, 'vexit'), `#!/bin/sh\nexec ${process.execPath} ${CLI} "$@"\n`, {
      mode: 0o755,
    });
    const complete = (...words: string[]): string[] => {
      const line = `source ${at}; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _vexit; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout } = spawnSync('bash', ['-c', line], {
        encoding: 'utf8',
        env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
      });
      return stdout.split('\n').filter((word) => word !== '');
    };
    expect(complete('vexit', '')).toEqual(expect.arrayContaining(['run', 'doctor']));
    expect(complete('vexit', 'do')).toContain('doctor');
    expect(complete('vexit', 'disk', '')).toEqual(['create', 'info', 'resize']);
    expect(complete('vexit', 'disk', 'resize', '--sh')).toContain('--shrink');
    expect(complete('vexit', 'run', '--mem')).toContain('--memory');
    expect(complete('vexit', 'run', '--boot-protocol', '')).toContain('multiboot');
  });

  test.each(['zsh', 'fish'])('the %s script registers a completion', (shell) => {
    const { stdout, status } = vexit(['completion', shell]);
    expect(status).toBe(0);
    expect(stdout).toMatch(shell === 'zsh' ? /compdef _vexit vexit/ : /^complete -c vexit/m);
    const parse = shell === 'zsh' ? ['zsh', '-n'] : ['fish', '--no-execute'];
    const { status: valid, error } = spawnSync(parse[0]!, [
      parse[1]!,
      file(`completion.${shell}`, stdout),
    ]);
    if (error === undefined) expect(valid).toBe(0);
  });

  test('doctor, and doctor --json', () => {
    const { status, stdout } = vexit(['doctor']);
    const json = vexit(['doctor', '--json']);
    const report = JSON.parse(json.stdout) as {
      usable: boolean;
      checks: { name: string; status: string; detail: string; hint?: string }[];
    };
    expect(status).toBe(report.usable ? 0 : 1);
    expect(json.status).toBe(status);
    expect(json.stderr).toBe('');
    const names = report.checks.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['node', 'addon', 'kvm', 'memory']));
    for (const { name, status: result, hint } of report.checks) {
      expect(stdout).toContain(name);
      expect(['ok', 'note', 'fail']).toContain(result);
      if (result !== 'ok') expect(hint).not.toBe('');
    }
  });
});
