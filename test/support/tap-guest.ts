/**
 * Linux's own network stack as the guest of a backend: a TAP device in a network namespace, its frames
 * read and written here with virtio-net headers.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, readSync, writevSync } from 'node:fs';
import { native, type WatchHandle } from '../../src/kvm/native.js';
import {
  ArrayFrame,
  GsoType,
  NO_OFFLOADS,
  plainMeta,
  type GuestFrame,
  type GuestPort,
  type NetBackend,
  type NetOffloads,
} from '../../src/net/net-backend.js';

const VNET_HEADER = 12;
/** TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 of linux/if_tun.h. */
const TUN_F_ALL = 1 | 2 | 4;
const GSO_ECN = 0x80;
const BATCH = 64;
let devices = 0;

/** True where a TAP device and network namespaces can be made. */
export function canUseTap(): boolean {
  try {
    execFileSync('unshare', ['-n', 'true'], { stdio: 'ignore' });
    closeSync(native().tapOpen('vxprobe%d', false, false).fd);
    return true;
  } catch {
    return false;
  }
}

export class TapGuest implements GuestPort {
  readonly offloads: NetOffloads;
  private readonly fd: number;
  private readonly watch: WatchHandle;
  private readonly holder: ChildProcess;
  private readonly frame = new ArrayFrame(new Uint8Array(0), 0, 0);
  private readonly buffer = new Uint8Array(VNET_HEADER + 65_536 + 64);
  private readonly meta = plainMeta();
  private readonly header = Buffer.alloc(VNET_HEADER);
  frames = 0;

  private constructor(
    private readonly backend: NetBackend,
    offload: boolean,
  ) {
    this.offloads = offload ? { csum: true, tso4: true, tso6: true } : NO_OFFLOADS;
    const name = `vxt${process.pid % 100_000}x${devices++}`;
    const addon = native();
    this.fd = addon.tapOpen(name, false, true).fd;
    addon.tapSetVnetHeaderSize(this.fd, VNET_HEADER);
    addon.tapSetOffload(this.fd, offload ? TUN_F_ALL : 0);
    this.holder = spawn('unshare', ['-n', 'sleep', '1000'], { stdio: 'ignore' });
    this.enter(name);
    this.watch = addon.watchReadable(this.fd, () => this.read());
    backend.attach(this);
  }

  /** A guest with the addresses that DHCP would give. */
  static open(backend: NetBackend, options: { offload: boolean; setUp?: boolean }): TapGuest {
    const guest = new TapGuest(backend, options.offload);
    if (options.setUp !== false) {
      guest.sh('ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2');
    }
    return guest;
  }

  /** Runs a shell command in the namespace and waits: for set-up only, frames do not flow. */
  sh(command: string): string {
    return execFileSync('nsenter', [...this.target(), 'sh', '-c', command], { encoding: 'utf8' });
  }

  /** Runs a program in the namespace while frames flow. */
  run(
    argv: readonly string[],
    input?: string | Buffer,
  ): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const child = spawn('nsenter', [...this.target(), ...argv]);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => out.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => err.push(bytes));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) =>
        resolve({
          code,
          stdout: Buffer.concat(out).toString('latin1'),
          stderr: Buffer.concat(err).toString(),
        }),
      );
    });
  }

  receive(frame: GuestFrame): boolean {
    const { meta, header, payload, payloadStart } = frame;
    const bytes = this.header;
    bytes[0] = meta.needsCsum ? 1 : 0;
    bytes[1] = meta.gsoType;
    bytes.writeUInt16LE(meta.gsoType === GsoType.None ? 0 : meta.headerLength, 2);
    bytes.writeUInt16LE(meta.gsoSize, 4);
    bytes.writeUInt16LE(meta.needsCsum ? meta.csumStart : 0, 6);
    bytes.writeUInt16LE(meta.needsCsum ? meta.csumOffset : 0, 8);
    const end = payloadStart + frame.payloadLength;
    this.frames++;
    try {
      writevSync(this.fd, [
        bytes,
        header.subarray(0, frame.headerLength),
        payload.subarray(payloadStart, end),
      ]);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      setTimeout(() => {
        this.backend.onRoom();
      }, 1);
      return false;
    }
    return true;
  }

  close(): void {
    native().unwatch(this.watch);
    closeSync(this.fd);
    this.holder.kill('SIGKILL');
  }

  private target(): string[] {
    return ['-t', String(this.holder.pid), '-n', '--'];
  }

  private enter(name: string): void {
    const pid = String(this.holder.pid);
    // The namespace is there a moment after the process.
    const script = `
      own=$(readlink /proc/self/ns/net)
      while [ "$(readlink /proc/${pid}/ns/net)" = "$own" ]; do sleep 0.01; done
      ip link set ${name} netns ${pid}`;
    execFileSync('sh', ['-c', script]);
    // Addresses of IPv6 are good at once where this can be set.
    this.sh('echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad || true');
    this.sh(
      `ip link set ${name} name eth0; ip link set lo up; ip link set eth0 up txqueuelen 1000`,
    );
  }

  private read(): void {
    for (let i = 0; i < BATCH; i++) {
      let count: number;
      try {
        count = readSync(this.fd, this.buffer);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        break;
      }
      this.frame.set(this.buffer, VNET_HEADER, count - VNET_HEADER);
      this.meta.needsCsum = (this.buffer[0]! & 1) !== 0;
      this.meta.gsoType = this.buffer[1]! & ~GSO_ECN;
      const half = (at: number): number => this.buffer[at]! + 256 * this.buffer[at + 1]!;
      this.meta.headerLength = half(2);
      this.meta.gsoSize = half(4);
      this.meta.csumStart = half(6);
      this.meta.csumOffset = half(8);
      this.backend.transmit(this.frame, this.meta);
    }
    this.backend.flush();
  }
}
