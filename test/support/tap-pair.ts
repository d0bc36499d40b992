/**
 * Two TAP devices on a bridge in a network namespace: one for the device that is tested, the other to
 * see and make what is on its wire.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, readSync, writeSync } from 'node:fs';
import { native } from '../../src/kvm/native.js';
import { openTap, type OpenTap } from '../../src/net/tap/open-tap.js';

const HEADER = 12;
/** TUN_F_CSUM, TSO4, TSO6, TSO_ECN. */
const ALL_OFFLOADS = 15;
let made = 0;

/** A frame on the wire, without its header, and the header. */
export interface WireFrame {
  readonly header: Buffer;
  readonly bytes: Buffer;
}

export class TapPair {
  private readonly far: { readonly fd: number; readonly name: string };
  private readonly holder: ChildProcess;
  private readonly buffer = Buffer.alloc(HEADER + 66_000);

  private constructor(readonly tap: OpenTap) {
    const { name } = tap;
    this.far = native().tapOpen(`${name}f`, false, true);
    native().tapSetVnetHeaderSize(this.far.fd, HEADER);
    native().tapSetOffload(this.far.fd, ALL_OFFLOADS);
    this.holder = spawn('unshare', ['-n', 'sleep', '1000'], { stdio: 'ignore' });
  }

  /** A name that no other tap has. */
  static newName(): string {
    return `vxp${process.pid % 100_000}x${made++}`;
  }

  static open(queues = 1): TapPair {
    return TapPair.around(openTap({ kind: 'tap', name: TapPair.newName(), queues }));
  }

  /** Connects a tap that may be somebody else's: then without files. */
  static around(tap: OpenTap): TapPair {
    const pair = new TapPair(tap);
    const pid = String(pair.holder.pid);
    const { name } = pair.tap;
    // The namespace is there a moment after the process. Nothing speaks on the wire by itself.
    execFileSync('sh', [
      '-c',
      `own=$(readlink /proc/self/ns/net)
       while [ "$(readlink /proc/${pid}/ns/net)" = "$own" ]; do sleep 0.01; done
       ip link set ${name} down; ip link set ${name} netns ${pid}; ip link set ${name}f netns ${pid}`,
    ]);
    pair.sh(
      `echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
       echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
       ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up
       for i in ${name} ${name}f; do ip link set $i mtu 9000 master br0 up; done
       until bridge link show dev ${name} | grep -q 'state forwarding'; do sleep 0.01; done
       until bridge link show dev ${name}f | grep -q 'state forwarding'; do sleep 0.01; done`,
    );
    // What the host's own stack has said before.
    for (const fd of [...pair.tap.fds, pair.far.fd]) pair.drain(fd);
    return pair;
  }

  private drain(fd: number): WireFrame[] {
    const frames: WireFrame[] = [];
    for (;;) {
      try {
        const count = readSync(fd, this.buffer);
        const header = Buffer.from(this.buffer.subarray(0, HEADER));
        frames.push({ header, bytes: Buffer.from(this.buffer.subarray(HEADER, count)) });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        return frames;
      }
    }
  }

  /** What a command line begins with that is to run in the namespace. */
  get command(): string[] {
    return ['nsenter', '-t', String(this.holder.pid), '-n', '--'];
  }

  /** Runs a shell command in the namespace. */
  sh(command: string): string {
    const [program, ...target] = this.command;
    return execFileSync(program!, [...target, 'sh', '-c', command], { encoding: 'utf8' });
  }

  /** Puts a frame on the wire. */
  send(bytes: readonly number[] | Buffer, header: readonly number[] = []): void {
    const head = Buffer.alloc(HEADER);
    head.set(header);
    writeSync(this.far.fd, Buffer.concat([head, Buffer.from(bytes)]));
  }

  /** What has come over the wire. */
  take(): WireFrame[] {
    return this.drain(this.far.fd);
  }

  close(): void {
    for (const fd of [...this.tap.fds, this.far.fd]) closeSync(fd);
    this.holder.kill('SIGKILL');
  }
}
