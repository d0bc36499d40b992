/**
 * A user without privileges who may use /dev/kvm, and a host of their own: name spaces for mounts, where
 * /dev/kvm is open to everybody and /dev/net/tun another node, and for the network, where ping sockets are
 * allowed and the loopback interface has {@link HOST_ADDRESS} and {@link HOST_ADDRESS6} too. The name server
 * is 127.0.0.1.
 */
import {
  spawn,
  spawnSync,
  type ChildProcess,
  type ChildProcessWithoutNullStreams,
} from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cacheDirectory } from '../../src/guest/cache.js';
import { ensureDefaultGuest } from '../../src/guest/default-guest.js';
import { until } from './run-guest.js';

const ROOT = path.resolve(__dirname, '../..');
/** An id that nobody has: not in /etc/passwd either. */
export const USER_ID = 60_123;
/** Addresses of the host beyond its loopback network (RFC 5737, RFC 3849). */
export const HOST_ADDRESS = '198.51.100.7';
export const HOST_ADDRESS6 = '2001:db8::7';

/** Runs with the arguments: directory, minor number of /dev/kvm, node, clone. Prints "ready". */
const SETUP = `
  set -e
  mount -t tmpfs -o mode=755 tmpfs "$1/dev"
  mknod -m 666 "$1/dev/kvm" c 10 "$2"
  mount --bind "$1/dev/kvm" /dev/kvm
  if [ -e /dev/net/tun ]; then
    mknod -m 600 "$1/dev/tun" c 10 200
    mount --bind "$1/dev/tun" /dev/net/tun
  fi
  mount --bind "$3" "$1/node"
  mount --bind "$4" "$1/vexit"
  echo nameserver 127.0.0.1 > "$1/resolv.conf"
  [ ! -e /etc/resolv.conf ] || mount --bind "$1/resolv.conf" /etc/resolv.conf
  echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range
  ip link set lo up
  ip addr add ${HOST_ADDRESS}/32 dev lo
  ip addr add ${HOST_ADDRESS6}/128 dev lo nodad
  echo ready
  exec sleep 100000`;

/** What a program said and how it ended. */
export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Arguments of unshare(1). Mounts are not to be seen outside; where none is shared they are not, and in a
 * chroot that cannot be asked for.
 */
function nameSpaces(): string[] {
  const shared = / shared:\d/.test(readFileSync('/proc/self/mountinfo', 'utf8'));
  return ['--mount', '--net', '--propagation', shared ? 'private' : 'unchanged'];
}

/** Why there can be no such user here; the empty string when there can. */
export function unprivilegedProblem(): string {
  if (process.getuid?.() !== 0) return 'needs root';
  const script = 'mount -t tmpfs tmpfs /dev/shm && ip link set lo up';
  const args = [...nameSpaces(), 'sh', '-c', script];
  const { status, stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
  return status === 0 ? '' : `no name spaces here: ${stderr}`;
}

/** Copies what is in the cache of the default guest; the original is its owner's alone. */
async function copyGuest(target: string): Promise<void> {
  const { kernel, initrds, agent } = await ensureDefaultGuest('built', () => undefined);
  const names = new Set(
    [kernel, ...initrds, agent].map((file) => path.basename(path.dirname(file))),
  );
  const cache = cacheDirectory();
  for (const name of names)
    cpSync(path.join(cache, name), path.join(target, name), { recursive: true });
  for (const name of readdirSync(cache).filter((file) => file.endsWith('.current'))) {
    const text = readFileSync(path.join(cache, name), 'utf8');
    if (names.has(text)) writeFileSync(path.join(target, name), text);
  }
}

export class UnprivilegedHost {
  /** Of the user, as all that is in it. */
  readonly home: string;

  private constructor(
    /** Everybody may enter it. Gone after {@link dispose}. */
    readonly directory: string,
    private readonly holder: ChildProcess,
  ) {
    this.home = path.join(directory, 'home');
  }

  /** The user's directories have the default guest in their cache, which is made first if it is not there. */
  static async create(): Promise<UnprivilegedHost> {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'vxuser-'));
    chmodSync(directory, 0o755);
    for (const name of ['dev', 'vexit', 'home/.cache/vexit', 'home/state', 'home/run']) {
      mkdirSync(path.join(directory, name), { recursive: true });
    }
    writeFileSync(path.join(directory, 'node'), '');
    await copyGuest(path.join(directory, 'home/.cache/vexit'));
    const home = path.join(directory, 'home');
    chownSync(home, USER_ID, USER_ID);
    chmodSync(path.join(home, 'run'), 0o700);
    for (const name of readdirSync(home, { recursive: true }) as string[]) {
      lchownSync(path.join(home, name), USER_ID, USER_ID);
    }
    const minor = String(statSync('/dev/kvm').rdev & 0xff);
    const args = [...nameSpaces(), 'sh', '-c', SETUP, 'sh'];
    const holder = spawn('unshare', [...args, directory, minor, process.execPath, ROOT]);
    let said = '';
    for (const stream of [holder.stdout, holder.stderr]) {
      stream.on('data', (bytes: Buffer) => (said += bytes.toString()));
    }
    const host = new UnprivilegedHost(directory, holder);
    try {
      const settled = (): boolean => said.includes('ready') || holder.exitCode !== null;
      await until('the name spaces are there', settled);
      if (holder.exitCode !== null) throw new Error(`no name spaces: ${said}`);
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
    return host;
  }

  /** A program's path in the name space, and its arguments, for {@link spawn}: `vexit` of this clone. */
  vexit(...args: readonly string[]): string[] {
    return [
      path.join(this.directory, 'node'),
      path.join(this.directory, 'vexit/dist/cli.js'),
      ...args,
    ];
  }

  /** Starts a program of the user, or of root, in {@link home}; its first argument is its path. */
  spawn(
    argv: readonly string[],
    { root = false, env = {} }: { root?: boolean; env?: Readonly<Record<string, string>> } = {},
  ): ChildProcessWithoutNullStreams {
    const { home } = this;
    const id = String(USER_ID);
    const ids = [`--reuid=${id}`, `--regid=${id}`, '--clear-groups', '--bounding-set=-all'];
    const drop = root ? [] : ['setpriv', ...ids, '--inh-caps=-all'];
    const enter = ['-t', String(this.holder.pid), '-m', '-n', '--'];
    const change = ['sh', '-c', 'cd "$0" && exec "$@"', home];
    const variables = {
      HOME: home,
      XDG_CACHE_HOME: path.join(home, '.cache'),
      XDG_STATE_HOME: path.join(home, 'state'),
      XDG_RUNTIME_DIR: path.join(home, 'run'),
      PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin',
      NO_COLOR: '1',
      ...env,
    };
    return spawn('nsenter', [...enter, ...drop, ...change, ...argv], { env: variables });
  }

  /** Runs a program to its end. */
  async run(
    argv: readonly string[],
    options: { root?: boolean; env?: Readonly<Record<string, string>>; input?: string } = {},
  ): Promise<Outcome> {
    const child = this.spawn(argv, options);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    const status = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    return { status, stdout, stderr };
  }

  /** Ends the name spaces. Programs that were started are their starter's to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.holder.kill('SIGKILL');
    await until(
      'the holder is gone',
      () => this.holder.exitCode !== null || this.holder.signalCode !== null,
    );
    if (existsSync(this.directory)) rmSync(this.directory, { recursive: true, force: true });
  }
}
